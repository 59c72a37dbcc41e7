package statefulset

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/loop"
)

// partition is the number below which a rolling update leaves pods as they are.
func (r *run) partition() int {
	if rolling := r.set.Spec.UpdateStrategy.RollingUpdate; rolling != nil {
		return int(ptr.Deref(rolling.Partition, 0))
	}
	return 0
}

// maxUnavailable is how many pods an update may make unavailable at once.
func (r *run) maxUnavailable() int {
	rolling := r.set.Spec.UpdateStrategy.RollingUpdate
	if rolling == nil || rolling.MaxUnavailable == nil {
		return 1
	}
	// Validated when it was stored. A percentage is rounded up.
	count, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxUnavailable, r.wanted(), true)
	if err != nil {
		return 1
	}
	return max(count, 1)
}

// roll deletes pods of older versions, from the highest number down to the partition; the next step makes them anew.
func (r *run) roll(ctx context.Context, replicas []*corev1.Pod) error {
	most := r.maxUnavailable()
	if most > 1 {
		return r.rollSeveral(ctx, replicas, most)
	}
	for place := len(replicas) - 1; place >= r.partition(); place-- {
		pod := replicas[place]
		if pod == nil {
			return nil
		}
		if revisionOf(pod) != r.update.Name && pod.DeletionTimestamp == nil {
			loop.Say(ctx, "UpdatePod", "name", pod.Name)
			return r.deletePod(ctx, pod)
		}
		if !r.isHealthy(pod) {
			loop.Say(ctx, "WaitForReady", "name", pod.Name)
			return nil
		}
	}
	return nil
}

func (r *run) rollSeveral(ctx context.Context, replicas []*corev1.Pod, most int) error {
	unavailable := 0
	for _, pod := range replicas {
		if !r.isHealthy(pod) {
			unavailable++
		}
	}
	for place := len(replicas) - 1; place >= r.partition() && unavailable < most; place-- {
		pod := replicas[place]
		if pod == nil || revisionOf(pod) == r.update.Name || pod.DeletionTimestamp != nil {
			continue
		}
		loop.Say(ctx, "UpdatePod", "name", pod.Name)
		if r.isHealthy(pod) {
			unavailable++
		}
		if err := r.deletePod(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}
