package daemonset

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/controllers"
)

// watch asks for a set when it, one of its pods or revisions, or a node changes.
func (c *Controller) watch() {
	controllers.IndexByOwner(c.pods)
	controllers.IndexByOwner(c.revisions)
	c.sets.Handle(client.Handler[*appsv1.DaemonSet]{
		Add: func(set *appsv1.DaemonSet) {
			c.loop.Add(controllers.Key(set), controllers.Cause("daemonsets", set, "added"))
		},
		Update: func(old, set *appsv1.DaemonSet) {
			if old.ResourceVersion != set.ResourceVersion {
				c.loop.Add(controllers.Key(set), controllers.Cause("daemonsets", set, "changed"))
			}
		},
		Delete: func(set *appsv1.DaemonSet) {
			c.expected.Forget(controllers.Key(set))
			c.loop.Add(controllers.Key(set), controllers.Cause("daemonsets", set, "deleted"))
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) {
			if set, ok := c.owner(pod); ok {
				c.expected.Created(controllers.Key(set), 1)
				c.loop.Add(controllers.Key(set), controllers.Cause("pods", pod, "added"))
			}
		},
		Update: func(old, pod *corev1.Pod) {
			if old.ResourceVersion == pod.ResourceVersion {
				return
			}
			set, ok := c.owner(pod)
			if before, had := c.owner(old); had && (!ok || before.UID != set.UID) {
				c.loop.Add(controllers.Key(before), controllers.Cause("pods", pod, "left"))
			}
			if ok {
				if pod.DeletionTimestamp != nil {
					c.expected.Deleted(controllers.Key(set), pod.UID)
				}
				c.loop.Add(controllers.Key(set), controllers.Cause("pods", pod, "changed"))
			}
		},
		Delete: func(pod *corev1.Pod) {
			if set, ok := c.owner(pod); ok {
				c.expected.Deleted(controllers.Key(set), pod.UID)
				c.loop.Add(controllers.Key(set), controllers.Cause("pods", pod, "deleted"))
			}
		},
	})
	c.revisions.Handle(client.Handler[*appsv1.ControllerRevision]{
		Delete: func(revision *appsv1.ControllerRevision) {
			if set, ok := controllers.ControllerOf(c.sets, "DaemonSet", revision); ok {
				c.loop.Add(controllers.Key(set), controllers.Cause("controllerrevisions", revision, "deleted"))
			}
		},
	})
	c.nodes.Handle(client.Handler[*corev1.Node]{
		Add: func(node *corev1.Node) { c.askAll(node, "added") },
		Update: func(old, node *corev1.Node) {
			// What a kubelet reports every few seconds does not matter here.
			if !maps.Equal(old.Labels, node.Labels) || !slices.EqualFunc(old.Spec.Taints, node.Spec.Taints, func(a, b corev1.Taint) bool {
				return a.MatchTaint(&b) && a.Value == b.Value
			}) {
				c.askAll(node, "changed")
			}
		},
		Delete: func(node *corev1.Node) { c.askAll(node, "deleted") },
	})
}

func (c *Controller) owner(pod *corev1.Pod) (*appsv1.DaemonSet, bool) {
	return controllers.ControllerOf(c.sets, "DaemonSet", pod)
}

func (c *Controller) askAll(node *corev1.Node, what string) {
	for _, set := range c.sets.List("", nil) {
		c.loop.Add(controllers.Key(set), controllers.Cause("nodes", node, what))
	}
}
