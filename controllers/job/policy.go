package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// countedFailures is how many of the newly failed pods count against the backoffLimit, and, when a rule says that the Job
// fails, why.
func (r *run) countedFailures() (count int, failJob string) {
	for _, pod := range r.fresh.failed {
		action, message := r.policyOf(pod)
		if action == batchv1.PodFailurePolicyActionFailJob && failJob == "" {
			failJob = message
		}
		if action != batchv1.PodFailurePolicyActionIgnore {
			count++
		}
	}
	return count, failJob
}

// policyOf finds the first rule of the podFailurePolicy that a pod matches; without any it counts.
func (r *run) policyOf(pod *corev1.Pod) (batchv1.PodFailurePolicyAction, string) {
	policy := r.job.Spec.PodFailurePolicy
	if policy == nil {
		return batchv1.PodFailurePolicyActionCount, ""
	}
	for i := range policy.Rules {
		rule := &policy.Rules[i]
		if rule.Action == batchv1.PodFailurePolicyActionFailIndex && !r.perIndex() {
			continue
		}
		if rule.OnExitCodes != nil {
			if status := exitMatches(pod, rule.OnExitCodes); status != nil {
				return rule.Action, fmt.Sprintf("Container %s for pod %s/%s failed with exit code %v matching %v rule at index %d",
					status.Name, pod.Namespace, pod.Name, status.State.Terminated.ExitCode, rule.Action, i)
			}
			continue
		}
		for _, condition := range pod.Status.Conditions {
			wanted := batchv1.PodFailurePolicyOnPodConditionsPattern{Type: condition.Type, Status: condition.Status}
			if slices.Contains(rule.OnPodConditions, wanted) {
				return rule.Action, fmt.Sprintf("Pod %s/%s has condition %v matching %v rule at index %d",
					pod.Namespace, pod.Name, condition.Type, rule.Action, i)
			}
		}
	}
	return batchv1.PodFailurePolicyActionCount, ""
}

func exitMatches(pod *corev1.Pod, rule *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			status := &statuses[i]
			if rule.ContainerName != nil && *rule.ContainerName != status.Name || status.State.Terminated == nil {
				continue
			}
			code := status.State.Terminated.ExitCode
			if code == 0 {
				continue // success is never matched
			}
			in := slices.Contains(rule.Values, code)
			if rule.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn == in {
				return status
			}
		}
	}
	return nil
}

// successByPolicy ends an indexed Job early when a rule of its successPolicy is met.
func (r *run) successByPolicy() *verdict {
	policy := r.job.Spec.SuccessPolicy
	if policy == nil {
		return nil
	}
	for i := range policy.Rules {
		rule := &policy.Rules[i]
		candidates := r.done
		if rule.SucceededIndexes != nil {
			wanted := parseIndexes(*rule.SucceededIndexes, r.completions())
			candidates = indexes{}
			for index := range wanted {
				if r.done.has(index) {
					candidates.add(index)
				}
			}
			if rule.SucceededCount == nil && candidates.len() < wanted.len() {
				continue
			}
		}
		if candidates.len() >= int(ptr.Deref(rule.SucceededCount, 0)) && candidates.len() > 0 {
			return &verdict{success: true, reason: batchv1.JobReasonSuccessPolicy, message: fmt.Sprintf("Matched rules at index %d", i)}
		}
	}
	return nil
}
