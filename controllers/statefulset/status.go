package statefulset

import (
	"context"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// tally collects pods that were made in this step, which the cache does not show yet.
type tally struct {
	mu   sync.Mutex
	pods []*corev1.Pod
}

func (t *tally) add(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods = append(t.pods, pod)
}

// report counts the pods into the status. When a rolling update is complete its version becomes the current one.
func (r *run) report(ctx context.Context) error {
	status := appsv1.StatefulSetStatus{
		ObservedGeneration: r.set.Generation,
		CurrentRevision:    r.current.Name,
		UpdateRevision:     r.update.Name,
		CollisionCount:     &r.collisions,
		Conditions:         r.set.Status.Conditions,
	}
	for _, pod := range append(r.pods[:len(r.pods):len(r.pods)], r.created.pods...) {
		status.Replicas++
		if r.isReady(pod) {
			status.ReadyReplicas++
			if r.isAvailable(pod) {
				status.AvailableReplicas++
			}
		}
		if pod.DeletionTimestamp != nil {
			continue
		}
		if revisionOf(pod) == r.current.Name {
			status.CurrentReplicas++
		}
		if revisionOf(pod) == r.update.Name {
			status.UpdatedReplicas++
		}
	}
	wanted := int32(r.wanted())
	if r.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType &&
		status.UpdatedReplicas == wanted && status.ReadyReplicas == wanted && status.Replicas == wanted {
		status.CurrentReplicas, status.CurrentRevision = status.UpdatedReplicas, status.UpdateRevision
	}
	if equality.Semantic.DeepEqual(status, r.set.Status) {
		return nil
	}
	loop.Say(ctx, "Status", "replicas", status.Replicas, "ready", status.ReadyReplicas, "updated", status.UpdatedReplicas)
	changed := r.set.DeepCopy()
	changed.Status = status
	_, err := client.Of[*appsv1.StatefulSet](r.Client).UpdateStatus(ctx, changed)
	return controllers.IgnoreNotFound(err)
}

// nextAvailable is how long until the next ready pod has been ready for minReadySeconds.
func (r *run) nextAvailable() (next time.Duration) {
	for _, pod := range r.pods {
		_, left := controllers.IsAvailable(pod, r.set.Spec.MinReadySeconds)
		next = controllers.Sooner(next, left)
	}
	return next
}
