package statefulset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
	"kubette/controllers"
)

// watch asks for a set when it, one of its pods, or a claim of its pods changes.
func (c *Controller) watch() {
	controllers.IndexByOwner(c.pods)
	controllers.IndexByOwner(c.revisions)
	c.sets.Handle(client.Handler[*appsv1.StatefulSet]{
		Add: func(set *appsv1.StatefulSet) {
			c.loop.Add(controllers.Key(set), controllers.Cause("statefulsets", set, "added"))
		},
		Update: func(old, set *appsv1.StatefulSet) {
			if old.ResourceVersion != set.ResourceVersion {
				c.loop.Add(controllers.Key(set), controllers.Cause("statefulsets", set, "changed"))
			}
		},
		Delete: func(set *appsv1.StatefulSet) {
			c.loop.Add(controllers.Key(set), controllers.Cause("statefulsets", set, "deleted"))
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { c.podChanged(pod, "added") },
		Update: func(old, pod *corev1.Pod) {
			if old.ResourceVersion == pod.ResourceVersion {
				return
			}
			before, now := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(pod)
			if before != nil && (now == nil || now.UID != before.UID) {
				c.podChanged(old, "left")
			}
			c.podChanged(pod, "changed")
		},
		Delete: func(pod *corev1.Pod) { c.podChanged(pod, "deleted") },
	})
	c.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Delete: func(claim *corev1.PersistentVolumeClaim) {
			// A pod of a set may wait for its old claim to go before it gets a new one.
			for _, set := range c.sets.List(claim.Namespace, nil) {
				if len(set.Spec.VolumeClaimTemplates) > 0 {
					c.loop.Add(controllers.Key(set), controllers.Cause("persistentvolumeclaims", claim, "deleted"))
				}
			}
		},
	})
}

func (c *Controller) podChanged(pod *corev1.Pod, what string) {
	cause := controllers.Cause("pods", pod, what)
	if metav1.GetControllerOfNoCopy(pod) != nil {
		if set, ok := controllers.ControllerOf(c.sets, "StatefulSet", pod); ok {
			c.loop.Add(controllers.Key(set), cause)
		}
		return
	}
	for _, set := range c.sets.List(pod.Namespace, nil) { // it can be adopted
		selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) && isMember(set, pod) {
			c.loop.Add(controllers.Key(set), cause)
		}
	}
}
