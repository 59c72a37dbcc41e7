package disruption

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// staleAfter is how long a pod may be said to be a target of a disruption without being deleted. Whoever said so, for
// example an eviction, has then given up, or ended.
const staleAfter = 2 * time.Minute

// staleIn says when a pod's mark as a target of a disruption will be stale. Pods that have finished keep theirs, and those
// that their kubelet ends, which may take long.
func staleIn(pod *corev1.Pod) (time.Duration, bool) {
	condition := controllers.PodCondition(&pod.Status, corev1.DisruptionTarget)
	if pod.DeletionTimestamp != nil || controllers.IsFinished(pod) || condition == nil ||
		condition.Status != corev1.ConditionTrue || condition.Reason == corev1.PodReasonTerminationByKubelet {
		return 0, false
	}
	return max(time.Until(condition.LastTransitionTime.Add(staleAfter)), 0), true
}

// unmark takes back that a pod is a target of a disruption, when that is stale.
func (c *Controller) unmark(ctx context.Context, namespace, name string) (time.Duration, error) {
	pod, ok := c.pods.Get(namespace, name)
	if !ok {
		return 0, nil
	}
	left, marked := staleIn(pod)
	if !marked || left > 0 {
		return left, nil
	}
	loop.Say(ctx, "StaleDisruptionTarget")
	changed := pod.DeepCopy()
	controllers.SetPodCondition(&changed.Status, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse, ObservedGeneration: pod.Generation,
	})
	_, err := client.Of[*corev1.Pod](c.Client).UpdateStatus(ctx, changed)
	return 0, controllers.IgnoreNotFound(err)
}
