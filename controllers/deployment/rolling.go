package deployment

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/loop"
)

// roll takes a step of a rolling update: up if there is room, else down if enough pods are available.
func (r *rollout) roll(ctx context.Context) error {
	current, err := r.ensure(ctx, true)
	if err != nil {
		return err
	}
	if scaled, err := r.scaleCurrent(ctx, current); scaled || err != nil {
		return r.reported(ctx, err)
	}
	if scaled, err := r.scaleOld(ctx, r.current()); scaled || err != nil {
		return r.reported(ctx, err)
	}
	if r.complete(&r.Status) {
		if err := r.cleanUp(ctx); err != nil {
			return err
		}
	}
	return r.report(ctx)
}

func (r *rollout) reported(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return r.report(ctx)
}

// budgets are the pods that may be beyond the wanted number, and those that may be missing. Percentages of the wanted
// number are rounded up for the surge and down for the missing; when both come to nothing, one pod may be missing, or
// the rollout could never move.
func (r *rollout) budgets() (surge, unavailable int32) {
	wanted := *r.Spec.Replicas
	rolling := r.Spec.Strategy.RollingUpdate
	if r.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || rolling == nil {
		return 0, 0
	}
	zero := intstr.FromInt32(0)
	// Both were validated when they were stored.
	s, _ := intstr.GetScaledValueFromIntOrPercent(ptr.To(ptr.Deref(rolling.MaxSurge, zero)), int(wanted), true)
	u, _ := intstr.GetScaledValueFromIntOrPercent(ptr.To(ptr.Deref(rolling.MaxUnavailable, zero)), int(wanted), false)
	if s == 0 && u == 0 {
		u = 1
	}
	return int32(s), min(int32(u), wanted)
}

// roomFor says how many pods the current version's ReplicaSet may have now.
func (r *rollout) roomFor(set *appsv1.ReplicaSet) int32 {
	wanted, have := *r.Spec.Replicas, *set.Spec.Replicas
	if r.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return wanted
	}
	surge, _ := r.budgets()
	room := wanted + surge - replicas(r.sets)
	if room <= 0 {
		return have
	}
	return have + min(room, wanted-have)
}

func (r *rollout) scaleCurrent(ctx context.Context, set *appsv1.ReplicaSet) (bool, error) {
	wanted := *r.Spec.Replicas
	switch {
	case *set.Spec.Replicas == wanted:
		return false, nil
	case *set.Spec.Replicas > wanted:
		return r.scale(ctx, set, wanted)
	}
	return r.scale(ctx, set, r.roomFor(set))
}

// scaleOld takes pods away from old versions: the sick ones first, which are no loss, then healthy ones as far as the
// budget allows.
func (r *rollout) scaleOld(ctx context.Context, current *appsv1.ReplicaSet) (bool, error) {
	if replicas(r.old()) == 0 {
		return false, nil
	}
	_, unavailable := r.budgets()
	atLeast := *r.Spec.Replicas - unavailable
	// Pods of the new version that are not available yet must not be counted on.
	unproven := *current.Spec.Replicas - current.Status.AvailableReplicas
	most := replicas(r.sets) - atLeast - unproven
	if most <= 0 {
		loop.Say(ctx, "WaitForAvailable", "available", available(r.sets), "atLeast", atLeast)
		return false, nil
	}
	sick, err := r.removeSick(ctx, most)
	if err != nil {
		return false, err
	}
	healthy, err := r.removeHealthy(ctx, available(r.sets)-atLeast)
	return sick+healthy > 0, err
}

// removeSick scales old ReplicaSets down by the pods that are not available, at most by a number.
func (r *rollout) removeSick(ctx context.Context, most int32) (int32, error) {
	removed := int32(0)
	for _, set := range r.old() {
		have := *set.Spec.Replicas
		count := min(most-removed, have-set.Status.AvailableReplicas)
		if have == 0 || count <= 0 {
			continue
		}
		if _, err := r.scale(ctx, set, have-count); err != nil {
			return removed, err
		}
		removed += count
	}
	return removed, nil
}

func (r *rollout) removeHealthy(ctx context.Context, most int32) (int32, error) {
	removed := int32(0)
	for _, set := range r.old() {
		have := *set.Spec.Replicas
		count := min(most-removed, have)
		if count <= 0 {
			continue
		}
		if _, err := r.scale(ctx, set, have-count); err != nil {
			return removed, err
		}
		removed += count
	}
	return removed, nil
}

// replicas sums how many pods ReplicaSets want.
func replicas(sets []*appsv1.ReplicaSet) (sum int32) {
	for _, set := range sets {
		sum += *set.Spec.Replicas
	}
	return sum
}

func available(sets []*appsv1.ReplicaSet) (sum int32) {
	for _, set := range sets {
		sum += set.Status.AvailableReplicas
	}
	return sum
}
