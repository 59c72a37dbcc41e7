package job

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"kubette/loop"
)

// verdict is how a Job ends.
type verdict struct {
	success         bool
	reason, message string
}

// judge decides whether the Job is over. A verdict that was announced before stands.
func (r *run) judge(ctx context.Context) {
	r.verdict = r.announced()
	if r.verdict == nil {
		r.verdict = r.failure()
	}
	if r.verdict == nil && r.indexed() {
		r.verdict = r.successByPolicy()
	}
	if r.verdict != nil {
		loop.Say(ctx, "Verdict", "success", r.verdict.success, "reason", r.verdict.reason)
	}
}

func (r *run) announced() *verdict {
	if c := condition(&r.job.Status, batchv1.JobFailureTarget); c != nil && c.Status == corev1.ConditionTrue {
		return &verdict{reason: c.Reason, message: c.Message}
	}
	if c := condition(&r.job.Status, batchv1.JobSuccessCriteriaMet); c != nil && c.Status == corev1.ConditionTrue {
		return &verdict{success: true, reason: c.Reason, message: c.Message}
	}
	return nil
}

func (r *run) failure() *verdict {
	if _, message := r.countedFailures(); message != "" {
		return &verdict{reason: batchv1.JobReasonPodFailurePolicy, message: message}
	}
	limit := int(ptr.Deref(r.job.Spec.BackoffLimit, 6))
	switch {
	case r.failed > limit, r.restartsExceed(limit):
		return &verdict{reason: batchv1.JobReasonBackoffLimitExceeded, message: "Job has reached the specified backoff limit"}
	case r.job.Spec.ActiveDeadlineSeconds != nil && r.job.Status.StartTime != nil && !r.suspended() && r.deadline() < 0:
		return &verdict{reason: batchv1.JobReasonDeadlineExceeded, message: "Job was active longer than specified deadline"}
	}
	return r.failureByIndex()
}

// deadline is how long until activeDeadlineSeconds are over: below zero when they are, 0 when there is none.
func (r *run) deadline() time.Duration {
	if r.job.Spec.ActiveDeadlineSeconds == nil || r.job.Status.StartTime == nil || r.suspended() || finished(&r.job.Status) {
		return 0
	}
	left := time.Until(r.job.Status.StartTime.Add(time.Duration(*r.job.Spec.ActiveDeadlineSeconds) * time.Second))
	if left == 0 {
		return -1
	}
	return left
}

// restartsExceed counts the restarts within pods, when it is the kubelet who tries again (restartPolicy OnFailure).
func (r *run) restartsExceed(limit int) bool {
	if r.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	restarts := 0
	for _, pod := range r.pods {
		if pod.Status.Phase != corev1.PodRunning && pod.Status.Phase != corev1.PodPending {
			continue
		}
		for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for _, status := range statuses {
				restarts += int(status.RestartCount)
			}
		}
	}
	if limit == 0 {
		return restarts > 0
	}
	return restarts >= limit
}

// reached says whether enough pods have succeeded. Without a number of completions one is enough, when all have ended.
func (r *run) reached() bool {
	if len(r.active) > 0 {
		return false
	}
	if r.job.Spec.Completions == nil {
		return r.succeeded > 0
	}
	return r.succeeded >= int(*r.job.Spec.Completions)
}

// stop deletes the pods that still run when the Job is over.
func (r *run) stop(ctx context.Context) error {
	return r.delete(ctx, r.active)
}
