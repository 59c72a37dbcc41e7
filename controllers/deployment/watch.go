package deployment

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
	"kubette/controllers"
)

// watch asks for a Deployment when it or one of its ReplicaSets changes, and, for Recreate, when an old pod has gone.
func (c *Controller) watch() {
	controllers.IndexByOwner(c.sets)
	controllers.IndexByOwner(c.pods)
	c.deployments.Handle(client.Handler[*appsv1.Deployment]{
		Add: func(d *appsv1.Deployment) {
			c.loop.Add(controllers.Key(d), controllers.Cause("deployments", d, "added"))
		},
		Update: func(old, d *appsv1.Deployment) {
			if old.ResourceVersion != d.ResourceVersion {
				c.loop.Add(controllers.Key(d), controllers.Cause("deployments", d, "changed"))
			}
		},
		Delete: func(d *appsv1.Deployment) {
			c.wrote.Forget(string(d.UID))
			c.loop.Add(controllers.Key(d), controllers.Cause("deployments", d, "deleted"))
		},
	})
	c.sets.Handle(client.Handler[*appsv1.ReplicaSet]{
		Add:    func(set *appsv1.ReplicaSet) { c.setChanged(set, "added") },
		Update: c.setUpdated,
		Delete: func(set *appsv1.ReplicaSet) { c.setChanged(set, "deleted") },
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Update: func(old, pod *corev1.Pod) {
			if controllers.IsFinished(pod) && !controllers.IsFinished(old) {
				c.podEnded(pod, "finished")
			}
		},
		Delete: func(pod *corev1.Pod) { c.podEnded(pod, "deleted") },
	})
}

func (c *Controller) setUpdated(old, set *appsv1.ReplicaSet) {
	if old.ResourceVersion == set.ResourceVersion {
		return
	}
	before, now := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(set)
	if before != nil && (now == nil || now.UID != before.UID) {
		c.setChanged(old, "left")
	}
	c.setChanged(set, "changed")
}

func (c *Controller) setChanged(set *appsv1.ReplicaSet, what string) {
	cause := controllers.Cause("replicasets", set, what)
	if metav1.GetControllerOfNoCopy(set) != nil {
		if d, ok := controllers.ControllerOf(c.deployments, "Deployment", set); ok {
			c.loop.Add(controllers.Key(d), cause)
		}
		return
	}
	// Without an owner it can be adopted.
	for _, d := range c.deployments.List(set.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(set.Labels)) {
			c.loop.Add(controllers.Key(d), cause)
		}
	}
}

func (c *Controller) podEnded(pod *corev1.Pod, what string) {
	set, ok := controllers.ControllerOf(c.sets, "ReplicaSet", pod)
	if !ok {
		return
	}
	d, ok := controllers.ControllerOf(c.deployments, "Deployment", set)
	if ok && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		c.loop.Add(controllers.Key(d), controllers.Cause("pods", pod, what))
	}
}
