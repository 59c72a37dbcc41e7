package protection

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// noteUse shows in the condition Unused of a bound claim whether a pod refers to it, and since when none does (KEP-5541,
// the feature gate PersistentVolumeClaimUnusedSinceTime). It returns the claim as it is then. A claim that is not bound
// yet is left to the binder, which writes its status at the same time.
func (c *Claims) noteUse(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	if claim.DeletionTimestamp != nil || claim.Status.Phase != corev1.ClaimBound {
		return claim, nil
	}
	known := c.pods.ByIndex(claimIndex, controllers.Key(claim))
	used := slices.ContainsFunc(known, func(pod *corev1.Pod) bool { return refers(pod, claim) })
	state := unused(claim)
	if state != nil && (state.Status == corev1.ConditionFalse) == used {
		return claim, nil
	}
	if !used { // the cache may not know the newest pod
		user, err := c.user(ctx, claim, refers)
		if err != nil {
			return claim, err
		}
		used = user != ""
	}
	now := corev1.PersistentVolumeClaimCondition{Type: corev1.PersistentVolumeClaimUnused, LastTransitionTime: metav1.Now(),
		Status: corev1.ConditionTrue, Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC"}
	if used {
		now.Status, now.Reason, now.Message = corev1.ConditionFalse, "PodUsingPVC", "A pod is currently referencing this PVC"
	}
	changed := claim.DeepCopy()
	switch state := unused(changed); {
	case state == nil:
		changed.Status.Conditions = append(changed.Status.Conditions, now)
	case state.Status != now.Status:
		*state = now
	default:
		return claim, nil
	}
	loop.Say(ctx, "Unused", "status", now.Status)
	return client.Of[*corev1.PersistentVolumeClaim](c.Client).UpdateStatus(ctx, changed)
}

// unused is a claim's condition Unused, if it has one.
func unused(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaimCondition {
	for i := range claim.Status.Conditions {
		if claim.Status.Conditions[i].Type == corev1.PersistentVolumeClaimUnused {
			return &claim.Status.Conditions[i]
		}
	}
	return nil
}

// refers says whether a pod that has not ended refers to a claim, also one that waits for its node.
func refers(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return !ended(pod) && slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool { return isOf(pod, volume, claim) })
}

// ended says that a pod has finished, or is on its way out and none of its containers runs.
func ended(pod *corev1.Pod) bool {
	s := &pod.Status
	return controllers.IsFinished(pod) || pod.DeletionTimestamp != nil &&
		!running(s.InitContainerStatuses) && !running(s.ContainerStatuses) && !running(s.EphemeralContainerStatuses)
}

func running(statuses []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(statuses, func(status corev1.ContainerStatus) bool {
		return status.State.Terminated == nil && status.State.Waiting == nil
	})
}

// isOf says whether a pod's volume is a claim: one that it names, or the one that was made for the pod.
func isOf(pod *corev1.Pod, volume corev1.Volume, claim *corev1.PersistentVolumeClaim) bool {
	return controllers.ClaimName(pod, &volume) == claim.Name && (volume.Ephemeral == nil || metav1.IsControlledBy(claim, pod))
}
