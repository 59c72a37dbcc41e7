package deployment

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"kubette/controllers"
	"kubette/loop"
)

// recreate takes a step of the Recreate strategy: all old pods away, wait until they have ended, then the new ones.
func (r *rollout) recreate(ctx context.Context) error {
	if _, err := r.ensure(ctx, false); err != nil {
		return err
	}
	scaled := false
	for _, set := range r.old() {
		done, err := r.scale(ctx, set, 0)
		if err != nil {
			return err
		}
		scaled = scaled || done
	}
	if scaled {
		return r.report(ctx)
	}
	if r.oldPodsRun() {
		loop.Say(ctx, "WaitForOldPods")
		return r.report(ctx)
	}
	current, err := r.ensure(ctx, true)
	if err != nil {
		return err
	}
	if _, err := r.scale(ctx, current, *r.Spec.Replicas); err != nil {
		return err
	}
	if r.complete(&r.Status) {
		if err := r.cleanUp(ctx); err != nil {
			return err
		}
	}
	return r.report(ctx)
}

// oldPodsRun looks at the pods themselves: a ReplicaSet does not count those on their way out, but they still run.
func (r *rollout) oldPodsRun() bool {
	for _, set := range r.old() {
		if set.Status.Replicas > 0 {
			return true
		}
		for _, pod := range controllers.Owned(r.pods, set.UID) {
			if pod.Status.Phase == corev1.PodUnknown || !controllers.IsFinished(pod) {
				return true
			}
		}
	}
	return false
}
