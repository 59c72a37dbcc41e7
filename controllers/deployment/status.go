package deployment

import (
	"context"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/loop"
)

// counted is the status that the ReplicaSets give, with the conditions as they are, but Available.
func (r *rollout) counted() appsv1.DeploymentStatus {
	status := appsv1.DeploymentStatus{
		ObservedGeneration: r.Generation,
		CollisionCount:     r.Status.CollisionCount,
		Conditions:         slices.Clone(r.Status.Conditions),
	}
	terminating, known := int32(0), true
	for _, set := range r.sets {
		status.Replicas += set.Status.Replicas
		status.ReadyReplicas += set.Status.ReadyReplicas
		status.AvailableReplicas += set.Status.AvailableReplicas
		terminating += ptr.Deref(set.Status.TerminatingReplicas, 0)
		// One that its controller has not looked at yet has no pods, and takes none of the others' away.
		known = known && (set.Status.TerminatingReplicas != nil || set.Status.ObservedGeneration == 0)
	}
	if known {
		status.TerminatingReplicas = &terminating
	}
	if current := r.current(); current != nil {
		status.UpdatedReplicas = current.Status.Replicas
	}
	status.UnavailableReplicas = max(replicas(r.sets)-status.AvailableReplicas, 0)

	_, unavailable := r.budgets()
	if status.AvailableReplicas >= *r.Spec.Replicas-unavailable {
		setCondition(&status, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable",
			"Deployment has minimum availability.")
	} else {
		setCondition(&status, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable",
			"Deployment does not have minimum availability.")
	}
	return status
}

// reportOnly writes the counts, and leaves the progress alone.
func (r *rollout) reportOnly(ctx context.Context) error { return r.write(ctx, r.counted()) }

func (r *rollout) write(ctx context.Context, status appsv1.DeploymentStatus) error {
	if equality.Semantic.DeepEqual(r.Status, status) {
		return nil
	}
	loop.Say(ctx, "Status", "replicas", status.Replicas, "updated", status.UpdatedReplicas, "ready", status.ReadyReplicas,
		"available", status.AvailableReplicas)
	r.Status = status
	return r.writeStatus(ctx)
}

func (r *rollout) hasDeadline() bool {
	return r.Spec.ProgressDeadlineSeconds != nil && *r.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

func (r *rollout) condition(kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	return condition(&r.Status, kind)
}

func (r *rollout) setCondition(kind appsv1.DeploymentConditionType, state corev1.ConditionStatus, reason, message string) {
	setCondition(&r.Status, kind, state, reason, message)
}

func condition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return &status.Conditions[i]
		}
	}
	return nil
}

// setCondition changes a condition if its state or reason is new. The transition time moves with the state only, the
// update time with every change.
func setCondition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType, state corev1.ConditionStatus, reason, message string) {
	old := condition(status, kind)
	if old != nil && old.Status == state && old.Reason == reason {
		return
	}
	fresh := appsv1.DeploymentCondition{Type: kind, Status: state, Reason: reason, Message: message,
		LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now()}
	if old != nil && old.Status == state {
		fresh.LastTransitionTime = old.LastTransitionTime
	}
	removeCondition(status, kind)
	status.Conditions = append(status.Conditions, fresh)
}

func removeCondition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) {
	status.Conditions = slices.DeleteFunc(slices.Clone(status.Conditions), func(c appsv1.DeploymentCondition) bool { return c.Type == kind })
}
