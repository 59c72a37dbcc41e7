package replicaset

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
	"kubette/controllers"
)

// watch asks for a set when it or one of its pods changes.
func (c *Controller[T]) watch() {
	controllers.IndexByOwner(c.pods)
	controllers.IndexByOwner(c.sets)
	resource := client.ResourceOf[T]().Resource
	c.sets.Handle(client.Handler[T]{
		Add: func(set T) { c.loop.Add(controllers.Key(set), controllers.Cause(resource, set, "added")) },
		Update: func(old, set T) {
			if old.GetResourceVersion() != set.GetResourceVersion() {
				c.loop.Add(controllers.Key(set), controllers.Cause(resource, set, "changed"))
			}
		},
		Delete: func(set T) {
			c.expected.Forget(controllers.Key(set))
			c.loop.Add(controllers.Key(set), controllers.Cause(resource, set, "deleted"))
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{Add: c.podAdded, Update: c.podChanged, Delete: c.podDeleted})
}

func (c *Controller[T]) podAdded(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		c.podDeleted(pod) // after a restart of the watch it may be seen for the first time on its way out
		return
	}
	set, ok := c.owner(pod)
	if !ok {
		c.tellAdopters(pod, "added")
		return
	}
	c.ask(set, pod, "added", c.expected.Created(controllers.Key(set), 1))
}

func (c *Controller[T]) podChanged(old, pod *corev1.Pod) {
	if old.ResourceVersion == pod.ResourceVersion {
		return
	}
	if pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil {
		c.podDeleted(pod) // the kubelet needs its time, but the set can already see to a successor
		return
	}
	set, owned := c.owner(pod)
	if before, ok := c.owner(old); ok && (!owned || before.GetUID() != set.GetUID()) {
		c.ask(before, pod, "left", true)
	}
	switch {
	case owned:
		c.ask(set, pod, "changed", false)
	case metav1.GetControllerOfNoCopy(pod) == nil:
		c.tellAdopters(pod, "changed")
	}
}

func (c *Controller[T]) podDeleted(pod *corev1.Pod) {
	if set, ok := c.owner(pod); ok {
		c.ask(set, pod, "deleted", c.expected.Deleted(controllers.Key(set), pod.UID))
	}
}

func (c *Controller[T]) owner(pod *corev1.Pod) (T, bool) {
	return controllers.ControllerOf(c.sets, c.kind.Kind, pod)
}

// ask has a set reconciled; not at once when it is large and only its counts may have changed.
func (c *Controller[T]) ask(set T, pod *corev1.Pod, what string, now bool) {
	var delay time.Duration
	if !now {
		view := c.kind.View(set)
		delay = controllers.BatchDelay(int(max(view.Status.Replicas, *view.Spec.Replicas)))
	}
	cause := controllers.Cause("pods", pod, what)
	if delay == 0 {
		c.loop.Add(controllers.Key(set), cause)
	} else {
		c.loop.AddAfter(controllers.Key(set), delay, cause)
	}
}

// tellAdopters asks for the sets that could adopt a pod without an owner.
func (c *Controller[T]) tellAdopters(pod *corev1.Pod, what string) {
	if metav1.GetControllerOfNoCopy(pod) != nil || pod.DeletionTimestamp != nil || len(pod.Labels) == 0 {
		return
	}
	for _, set := range c.sets.List(pod.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(c.kind.View(set).Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) {
			c.ask(set, pod, what, true)
		}
	}
}
