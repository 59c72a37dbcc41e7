package job

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
	"kubette/controllers"
)

// watch asks for a Job when it or one of its pods changes, and for pods whose Job is gone or finished.
func (c *Controller) watch() {
	controllers.IndexByOwner(c.pods)
	c.jobs.Handle(client.Handler[*batchv1.Job]{
		Add: func(job *batchv1.Job) { c.ask(job, controllers.Cause("jobs", job, "added")) },
		Update: func(old, job *batchv1.Job) {
			if old.ResourceVersion == job.ResourceVersion {
				return
			}
			cause := controllers.Cause("jobs", job, "changed")
			switch {
			case finished(&job.Status):
				if !finished(&old.Status) {
					c.backoff.forget(controllers.Key(job))
					c.releaseAll(job, "finished")
				}
			case job.Generation == old.Generation:
				c.askSoon(job, cause) // its status, which pods' changes lead to
			default:
				c.ask(job, cause)
			}
		},
		Delete: func(job *batchv1.Job) {
			c.expected.Forget(controllers.Key(job))
			c.backoff.forget(controllers.Key(job)) // another Job of its name starts anew
			c.wrote.Forget(string(job.UID))
			c.ask(job, controllers.Cause("jobs", job, "deleted"))
			c.releaseAll(job, "deleted")
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { c.podChanged(pod, "added", true) },
		Update: func(old, pod *corev1.Pod) {
			if old.ResourceVersion == pod.ResourceVersion {
				return
			}
			before, now := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(pod)
			if before != nil && (now == nil || now.UID != before.UID) {
				c.podChanged(old, "left", false)
			}
			c.podChanged(pod, "changed", false)
		},
		Delete: c.podDeleted,
	})
}

func (c *Controller) ask(job *batchv1.Job, cause string) {
	c.loop.Add(task{namespace: job.Namespace, name: job.Name}, cause)
}

// batchPeriod is how long news of pods are collected before their Job is looked at, as in Kubernetes: many of its pods change
// at once.
const batchPeriod = time.Second

func (c *Controller) askSoon(job *batchv1.Job, cause string) {
	c.loop.AddAfter(task{namespace: job.Namespace, name: job.Name}, batchPeriod, cause)
}

// releaseAll looks at the pods of a Job that will not be reconciled any more.
func (c *Controller) releaseAll(job *batchv1.Job, what string) {
	for _, pod := range controllers.Owned(c.pods, job.UID) {
		if hasFinalizer(pod) {
			c.loop.Add(task{namespace: pod.Namespace, name: pod.Name, orphan: true}, controllers.Cause("jobs", job, what))
		}
	}
}

func (c *Controller) podChanged(pod *corev1.Pod, what string, created bool) {
	cause := controllers.Cause("pods", pod, what)
	if !hasFinalizer(pod) {
		c.setCounted(pod.UID, false) // the cache has caught up
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		c.tellAdopters(pod, cause)
	}
	job, ok := controllers.ControllerOf(c.jobs, "Job", pod)
	if !ok || finished(&job.Status) {
		if hasFinalizer(pod) && (owner == nil || owner.Kind == "Job") {
			c.loop.Add(task{namespace: pod.Namespace, name: pod.Name, orphan: true}, cause)
		}
		return
	}
	switch {
	case pod.DeletionTimestamp != nil:
		c.expected.Deleted(controllers.Key(job), pod.UID)
	case created:
		c.expected.Created(controllers.Key(job), 1)
	}
	c.askSoon(job, cause)
}

func (c *Controller) podDeleted(pod *corev1.Pod) {
	c.setCounted(pod.UID, false)
	if job, ok := controllers.ControllerOf(c.jobs, "Job", pod); ok {
		c.expected.Deleted(controllers.Key(job), pod.UID)
		c.askSoon(job, controllers.Cause("pods", pod, "deleted"))
	}
}

func (c *Controller) tellAdopters(pod *corev1.Pod, cause string) {
	if len(pod.Labels) == 0 || pod.DeletionTimestamp != nil {
		return
	}
	for _, job := range c.jobs.List(pod.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) {
			c.askSoon(job, cause)
		}
	}
}
