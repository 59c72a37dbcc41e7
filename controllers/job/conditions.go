package job

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/loop"
)

func condition(status *batchv1.JobStatus, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return &status.Conditions[i]
		}
	}
	return nil
}

func isTrue(status *batchv1.JobStatus, kind batchv1.JobConditionType) bool {
	c := condition(status, kind)
	return c != nil && c.Status == corev1.ConditionTrue
}

func finished(status *batchv1.JobStatus) bool {
	return isTrue(status, batchv1.JobComplete) || isTrue(status, batchv1.JobFailed)
}

func (r *run) setCondition(kind batchv1.JobConditionType, state corev1.ConditionStatus, reason, message string) bool {
	fresh := batchv1.JobCondition{Type: kind, Status: state, Reason: reason, Message: message, LastProbeTime: metav1.Now(), LastTransitionTime: metav1.Now()}
	old := condition(&r.job.Status, kind)
	switch {
	case old == nil:
		r.job.Status.Conditions = append(r.job.Status.Conditions, fresh)
	case old.Status == state && old.Reason == reason:
		return false
	default:
		*old = fresh
	}
	return true
}

// announce says how the Job ends, before its last pods have.
func (r *run) announce() {
	if r.verdict == nil {
		return
	}
	kind := batchv1.JobFailureTarget
	if r.verdict.success {
		kind = batchv1.JobSuccessCriteriaMet
	}
	if condition(&r.job.Status, kind) == nil {
		r.setCondition(kind, corev1.ConditionTrue, r.verdict.reason, r.verdict.message)
	}
}

// conclude writes the status, ends the Job if it is over, and tells of that when it is written.
func (r *run) conclude(ctx context.Context) error {
	over := r.finish()
	if err := r.write(ctx); err != nil || !over {
		return err
	}
	if !r.verdict.success {
		r.Events.Event(r.job, corev1.EventTypeWarning, r.verdict.reason, "%s", r.verdict.message)
		return nil
	}
	if wanted := r.job.Spec.Completions; wanted != nil && r.job.Status.Succeeded > *wanted {
		r.Events.Event(r.job, corev1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached")
	}
	r.Events.Event(r.job, corev1.EventTypeNormal, "Completed", "Job completed")
	return nil
}

// finish ends the Job when it is over, all pods have ended, and all are counted, and says whether that is so.
func (r *run) finish() bool {
	uncounted := r.uncounted()
	if r.verdict == nil || r.unfinished || len(r.active) > 0 || r.terminating > 0 || len(uncounted.Succeeded)+len(uncounted.Failed) > 0 {
		return false
	}
	kind := batchv1.JobFailed
	if r.verdict.success {
		kind = batchv1.JobComplete
	}
	if !r.setCondition(kind, corev1.ConditionTrue, r.verdict.reason, r.verdict.message) {
		return false
	}
	r.job.Status.Ready, r.job.Status.Terminating = ptr.To(int32(0)), ptr.To(int32(0))
	if r.verdict.success {
		r.job.Status.CompletionTime = ptr.To(metav1.Now())
	}
	return true
}

// noteSuspension shows in a condition that the Job was suspended or resumed. Resuming starts its clock anew.
func (r *run) noteSuspension(ctx context.Context) {
	before := condition(&r.job.Status, batchv1.JobSuspended)
	switch {
	case r.suspended():
		if r.setCondition(batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended") {
			loop.Say(ctx, "Suspend")
			r.job.Status.StartTime = nil
			r.Events.Event(r.job, corev1.EventTypeNormal, "Suspended", "Job suspended")
		}
	case before != nil && before.Status == corev1.ConditionTrue:
		r.setCondition(batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed")
		loop.Say(ctx, "Resume")
		r.job.Status.StartTime = ptr.To(metav1.Now())
		r.Events.Event(r.job, corev1.EventTypeNormal, "Resumed", "Job resumed")
	}
}
