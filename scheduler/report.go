package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"kubette/client"
	"kubette/scheduler/framework"
	"kubette/store"
)

// Reasons of the condition PodScheduled when it is False.
const (
	unschedulable  = corev1.PodReasonUnschedulable
	schedulerError = corev1.PodReasonSchedulerError
)

// longestNote is how long the message of an event may be.
const longestNote = 1024

// report is what is to be written into a pod's status.
type report struct {
	pod       *corev1.Pod
	condition *corev1.PodCondition // nil to leave the conditions alone
	nominate  *string              // nil to leave the nominated node alone
	cause     string               // the step that found it out
}

// sayUnschedulable tells people that a pod has no node, and why: as an event, and as its condition PodScheduled. cause is
// the step that found it out.
func (s *Scheduler) sayUnschedulable(pod *framework.Pod, cause, reason, message string, nominate *string) {
	note := message
	if len(note) > longestNote {
		note = note[:longestNote-4] + " ..."
	}
	s.events.Event(pod.Pod, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", "%s", note)
	s.slips.post(report{pod: pod.Pod, nominate: nominate, cause: cause, condition: &corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: pod.Generation,
	}})
}

// writeReports writes pods' status, one after the other, so that an older report never overwrites a newer one.
func (s *Scheduler) writeReports(ctx context.Context) {
	for ctx.Err() == nil {
		for _, slip := range s.slips.take() {
			if err := s.write(ctx, slip); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				slog.Warn("a pod's status was not written", "pod", slip.pod.Namespace+"/"+slip.pod.Name, "error", err)
			}
		}
		select {
		case <-s.slips.filled:
		case <-ctx.Done():
		}
	}
}

func (s *Scheduler) write(ctx context.Context, slip report) error {
	old := slip.pod
	if latest, ok := s.pods.Get(old.Namespace, old.Name); ok && latest.UID == old.UID {
		old = latest
	}
	status := old.Status.DeepCopy()
	changed := slip.condition != nil && setCondition(status, *slip.condition)
	if slip.nominate != nil && status.NominatedNodeName != *slip.nominate {
		status.NominatedNodeName, changed = *slip.nominate, true
	}
	if !changed {
		return nil
	}
	patch, err := statusPatch(old, status)
	if err != nil {
		return err
	}
	if slip.cause != "" {
		ctx = store.WithCause(ctx, slip.cause)
	}
	_, err = client.Of[*corev1.Pod](s.client).Patch(ctx, old.Namespace, old.Name, types.StrategicMergePatchType, patch, "status")
	return err
}

// statusPatch is the difference between a pod's status and a newer one, for that very pod and no other of its name.
func statusPatch(pod *corev1.Pod, status *corev1.PodStatus) ([]byte, error) {
	old, err := json.Marshal(&corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, err
	}
	// The UID is only in the new one, and so becomes part of the patch.
	modified, err := json.Marshal(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: *status})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(old, modified, &corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return patch, nil
}

// setCondition sets a condition, and says whether that changed anything.
func setCondition(status *corev1.PodStatus, condition corev1.PodCondition) bool {
	condition.LastTransitionTime = metav1.Now()
	i := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, condition)
		return true
	}
	old := &status.Conditions[i]
	condition.LastProbeTime = old.LastProbeTime
	if old.Status == condition.Status {
		condition.LastTransitionTime = old.LastTransitionTime
	}
	if *old == condition {
		return false
	}
	*old = condition
	return true
}
