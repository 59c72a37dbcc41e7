// Package ttlafterfinished deletes Jobs some time after they have ended, as their ttlSecondsAfterFinished says.
package ttlafterfinished

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces.
const Name = "ttl-after-finished-controller"

// Controller deletes Jobs whose time has come.
type Controller struct {
	controllers.Base
	jobs client.Informer[*batchv1.Job]
	loop *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{Base: base, jobs: client.InformerFor[*batchv1.Job](base.Informers)}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: 5, Machine: base.Machine})
	ask := func(job *batchv1.Job, what string) {
		if _, ok := endOf(job); ok && job.Spec.TTLSecondsAfterFinished != nil && job.DeletionTimestamp == nil {
			c.loop.Add(controllers.Key(job), controllers.Cause("jobs", job, what))
		}
	}
	c.jobs.Handle(client.Handler[*batchv1.Job]{
		Add:    func(job *batchv1.Job) { ask(job, "added") },
		Update: func(_, job *batchv1.Job) { ask(job, "changed") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// endOf is when a Job ended, if it has.
func endOf(job *batchv1.Job) (time.Time, bool) {
	for _, condition := range job.Status.Conditions {
		if (condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed) && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// left is how long a Job still has; false means that its time does not run.
func left(job *batchv1.Job) (time.Duration, bool) {
	end, ok := endOf(job)
	if !ok || job.Spec.TTLSecondsAfterFinished == nil || job.DeletionTimestamp != nil {
		return 0, false
	}
	return time.Until(end.Add(time.Duration(*job.Spec.TTLSecondsAfterFinished) * time.Second)), true
}

// Reconcile deletes a Job whose time is over, or comes back when it is.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	job, ok := c.jobs.Get(namespace, name)
	if !ok {
		return 0, nil
	}
	rest, runs := left(job)
	if !runs || rest > 0 {
		return max(rest, 0), nil
	}
	// The user may have given it more time: the API itself is asked before it is deleted.
	job, err = client.Of[*batchv1.Job](c.Client).Get(ctx, namespace, name)
	if err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	if rest, runs = left(job); !runs || rest > 0 {
		return max(rest, 0), nil
	}
	loop.Say(ctx, "Expired")
	err = client.Of[*batchv1.Job](c.Client).Delete(ctx, namespace, name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationForeground), Preconditions: &metav1.Preconditions{UID: &job.UID},
	})
	return 0, controllers.IgnoreNotFound(err)
}
