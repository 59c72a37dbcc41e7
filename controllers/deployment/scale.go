package deployment

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/loop"
)

// Each ReplicaSet remembers how large the Deployment was, and how large it could get, when the set was last scaled.
const (
	desiredAnnotation = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation     = "deployment.kubernetes.io/max-replicas"
)

// scale gives a ReplicaSet a number of replicas and says so in an event. It returns whether the number changed.
func (r *rollout) scale(ctx context.Context, set *appsv1.ReplicaSet, to int32) (bool, error) {
	if *set.Spec.Replicas == to {
		return false, nil
	}
	return r.resizeSet(ctx, set, to)
}

// resizeSet also refreshes what the set remembers, when only that has changed.
func (r *rollout) resizeSet(ctx context.Context, set *appsv1.ReplicaSet, to int32) (bool, error) {
	from := *set.Spec.Replicas
	changed := set.DeepCopy()
	changed.Spec.Replicas = ptr.To(to)
	if !r.remember(changed) && from == to {
		return false, nil
	}
	loop.Say(ctx, "Scale", "name", set.Name, "from", from, "to", to)
	written, err := client.Of[*appsv1.ReplicaSet](r.Client).Update(ctx, changed)
	if err != nil {
		return false, err
	}
	r.replace(written)
	if from == to {
		return false, nil
	}
	direction := "up"
	if to < from {
		direction = "down"
	}
	r.Events.Event(r.Deployment, corev1.EventTypeNormal, "ScalingReplicaSet",
		"Scaled %s replica set %s from %d to %d", direction, set.Name, from, to)
	return true, nil
}

// remember notes the Deployment's size on a set, and says whether that is new.
func (r *rollout) remember(set *appsv1.ReplicaSet) bool {
	surge, _ := r.budgets()
	desired, most := strconv.Itoa(int(*r.Spec.Replicas)), strconv.Itoa(int(*r.Spec.Replicas+surge))
	changed := set.Annotations[desiredAnnotation] != desired || set.Annotations[maxAnnotation] != most
	if set.Annotations == nil {
		set.Annotations = map[string]string{}
	}
	set.Annotations[desiredAnnotation], set.Annotations[maxAnnotation] = desired, most
	return changed
}

// resized says whether the Deployment's replicas were changed since its ReplicaSets were last scaled.
func (r *rollout) resized() bool {
	for _, set := range r.sets {
		if desired, ok := number(set, desiredAnnotation); ok && *set.Spec.Replicas > 0 && desired != *r.Spec.Replicas {
			return true
		}
	}
	return false
}

func number(set *appsv1.ReplicaSet, annotation string) (int32, bool) {
	value, err := strconv.ParseInt(set.Annotations[annotation], 10, 32)
	return int32(value), err == nil
}

// resize follows a change of replicas, without a step of the rollout that may be under way or paused.
func (r *rollout) resize(ctx context.Context) error {
	if _, err := r.ensure(ctx, false); err != nil {
		return err
	}
	if err := r.follow(ctx); err != nil {
		return err
	}
	if _, asked := r.rollbackTo(); r.Spec.Paused && !asked {
		if err := r.cleanUp(ctx); err != nil {
			return err
		}
	}
	return r.reportOnly(ctx)
}

func (r *rollout) follow(ctx context.Context) error {
	if only := r.activeOrLatest(); only != nil {
		_, err := r.scale(ctx, only, *r.Spec.Replicas)
		return err
	}
	// The new version has taken over entirely: whatever old ones still have is left over.
	if current := r.current(); r.saturated(current) {
		for _, set := range active(r.old()) {
			if _, err := r.scale(ctx, set, 0); err != nil {
				return err
			}
		}
		return nil
	}
	if r.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		return r.spread(ctx)
	}
	return nil
}

// activeOrLatest returns the one ReplicaSet that has pods; if none has any, the one of the template, or else the newest.
// With several it returns nil.
func (r *rollout) activeOrLatest() *appsv1.ReplicaSet {
	switch running := active(r.sets); {
	case len(r.sets) == 0 || len(running) > 1:
		return nil
	case len(running) == 1:
		return running[0]
	}
	if current := r.current(); current != nil {
		return current
	}
	return r.sets[len(r.sets)-1]
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.DeleteFunc(slices.Clone(sets), func(set *appsv1.ReplicaSet) bool { return *set.Spec.Replicas == 0 })
}

func (r *rollout) saturated(set *appsv1.ReplicaSet) bool {
	if set == nil {
		return false
	}
	desired, ok := number(set, desiredAnnotation)
	wanted := *r.Spec.Replicas
	return ok && *set.Spec.Replicas == wanted && desired == wanted && set.Status.AvailableReplicas == wanted
}

// spread shares a change of replicas in mid-rollout out over the versions, in proportion to their size, so that a bad
// new version does not get all the new pods. What rounding leaves over goes to the largest set.
func (r *rollout) spread(ctx context.Context) error {
	sets := active(r.sets)
	allowed := int32(0)
	if *r.Spec.Replicas > 0 {
		surge, _ := r.budgets()
		allowed = *r.Spec.Replicas + surge
	}
	toAdd := allowed - replicas(sets)
	// When there is more to give, newer sets come first among those of one size; when there is less, older ones.
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if *a.Spec.Replicas != *b.Spec.Replicas {
			return int(*b.Spec.Replicas - *a.Spec.Replicas)
		}
		age := a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		if age == 0 {
			age = strings.Compare(a.Name, b.Name)
		}
		if toAdd > 0 {
			return -age
		}
		return age
	})
	sizes := make([]int32, len(sets))
	added := int32(0)
	for i, set := range sets {
		share := r.share(set, toAdd, added)
		sizes[i] = *set.Spec.Replicas + share
		added += share
	}
	if len(sizes) > 0 && toAdd != 0 {
		sizes[0] = max(sizes[0]+toAdd-added, 0)
	}
	for i, set := range sets {
		if _, err := r.resizeSet(ctx, set, sizes[i]); err != nil {
			return err
		}
	}
	return nil
}

// share is the part of a change that falls to a set: at most what is left of it.
func (r *rollout) share(set *appsv1.ReplicaSet, toAdd, added int32) int32 {
	if *set.Spec.Replicas == 0 || toAdd == 0 || toAdd == added {
		return 0
	}
	if toAdd > 0 {
		return min(r.fraction(set), toAdd-added)
	}
	return max(r.fraction(set), toAdd-added)
}

func (r *rollout) fraction(set *appsv1.ReplicaSet) int32 {
	have := *set.Spec.Replicas
	if *r.Spec.Replicas == 0 {
		return -have
	}
	surge, _ := r.budgets()
	before, ok := number(set, maxAnnotation)
	if !ok || before == 0 {
		if before = r.Status.Replicas; before == 0 {
			return 0
		}
	}
	size := float64(have) * float64(*r.Spec.Replicas+surge) / float64(before)
	return int32(math.Round(size)) - have
}
