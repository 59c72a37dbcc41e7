package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/scheduler/framework"
)

// victim is a pod that has to go.
type victim struct {
	pod   *corev1.Pod
	waits *cancellable // what it waits for before it is bound, or nil
}

// evict has the victims go. The pod is not tried before that is said to all of them; then it waits, like any other, for them
// to be gone.
func (s *Scheduler) evict(ctx context.Context, q *queued, pod *framework.Pod, on candidate) {
	// Less important pods that are expected there may no longer fit: they look for another place.
	for _, n := range s.nominated {
		if n.node == on.node.Name && n.pod.Priority < pod.Priority {
			s.nominate(n.pod, "")
			s.slips.post(report{pod: n.pod.Pod, nominate: new(string), cause: traceID(ctx)}) // its echo wakes them
		}
	}
	leaving := slices.DeleteFunc(slices.Clone(on.victims), (*framework.Pod).Terminating)
	if len(leaving) == 0 {
		return
	}
	victims := make([]victim, 0, len(leaving))
	for _, p := range leaving {
		v := victim{pod: p.Pod}
		if placed, ok := s.placed[p.UID]; ok {
			v.waits = placed.waits
		}
		victims = append(victims, v)
	}
	preemptor, node := pod.Pod, on.node.Name
	q.preempting, q.missed, q.lastVictim = true, false, victims[len(victims)-1].pod.UID
	s.work.Go(func() {
		failed := false
		for _, v := range victims {
			if err := s.evictOne(ctx, preemptor, v, node); err != nil {
				slog.Warn("a pod was not evicted", "pod", v.pod.Namespace+"/"+v.pod.Name, "error", err)
				failed = true
				break
			}
		}
		s.inbox.post(func() {
			q.preempting = false
			switch {
			case failed:
				s.queue.activate(q, "preemption failed")
			case q.missed:
				s.queue.move(q, "preemption done")
			}
		})
	})
}

// evictOne takes away a pod's place. One that waits for its volumes, and is not bound yet, goes back into the queue; any other
// is told in its status why it has to go, and deleted.
func (s *Scheduler) evictOne(ctx context.Context, preemptor *corev1.Pod, v victim, node string) error {
	if v.waits != nil && v.waits.giveUp() {
		s.events.Event(v.pod, preemptor, corev1.EventTypeNormal, "Preempted", "Preempting", "Preempted by pod %s on node %s (in kube-scheduler memory).",
			preemptor.UID, node)
		return nil
	}
	status := v.pod.Status.DeepCopy()
	if setCondition(status, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message:            fmt.Sprintf("%s: preempting to accommodate a higher priority pod", preemptor.Spec.SchedulerName),
		ObservedGeneration: v.pod.Generation,
	}) {
		patch, err := statusPatch(v.pod, status)
		if err != nil {
			return err
		}
		pods := client.Of[*corev1.Pod](s.client)
		if _, err = pods.Patch(ctx, v.pod.Namespace, v.pod.Name, types.StrategicMergePatchType, patch, "status"); err != nil {
			return ignoreNotFound(err)
		}
	}
	err := client.Of[*corev1.Pod](s.client).Delete(ctx, v.pod.Namespace, v.pod.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &v.pod.UID},
	})
	if err != nil {
		return ignoreNotFound(err)
	}
	s.events.Event(v.pod, preemptor, corev1.EventTypeNormal, "Preempted", "Preempting", "Preempted by pod %s on node %s", preemptor.UID, node)
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
