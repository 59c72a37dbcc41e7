package job

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

// perIndex says whether each index has a backoffLimit of its own.
func (r *run) perIndex() bool { return r.job.Spec.BackoffLimitPerIndex != nil }

func annotated(pod *corev1.Pod, annotation string) int {
	count, err := strconv.Atoi(pod.Annotations[annotation])
	if err != nil {
		return 0
	}
	return count
}

// breaks says whether a failed pod was the last attempt at its index.
func (r *run) breaks(pod *corev1.Pod) bool {
	action, _ := r.policyOf(pod)
	switch action {
	case batchv1.PodFailurePolicyActionFailIndex:
		return true
	case batchv1.PodFailurePolicyActionIgnore:
		return false
	}
	return annotated(pod, batchv1.JobIndexFailureCountAnnotation) >= int(*r.job.Spec.BackoffLimitPerIndex)
}

// lastFailure is the latest failed pod of an index, which holds its count of failures. It keeps its finalizer until it has
// a successor.
func (r *run) lastFailure(index int) *corev1.Pod {
	var last *corev1.Pod
	for _, pod := range r.pods {
		if indexOf(pod) == index && r.tracked(pod) && r.isFailed(pod) && (last == nil || attempts(pod) > attempts(last)) {
			last = pod
		}
	}
	return last
}

func attempts(pod *corev1.Pod) int {
	return annotated(pod, batchv1.JobIndexFailureCountAnnotation) + annotated(pod, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

// waits says whether an index has failed too short ago to be tried again, and sees to it that the Job is looked at then.
func (r *run) waits(index int) bool {
	if !r.perIndex() {
		return false
	}
	last := r.lastFailure(index)
	if last == nil {
		return false
	}
	wait := time.Until(endOf(last).Add(delayAfter(attempts(last) + 1)))
	if wait > 0 {
		r.again = controllers.Sooner(r.again, wait)
	}
	return wait > 0
}

// numberFailures notes on a new pod how often its index has failed.
func (r *run) numberFailures(pod *corev1.Pod, index int) {
	if !r.perIndex() {
		return
	}
	failures, ignored := 0, 0
	if last := r.lastFailure(index); last != nil {
		failures, ignored = annotated(last, batchv1.JobIndexFailureCountAnnotation), annotated(last, batchv1.JobIndexIgnoredFailureCountAnnotation)
		if action, _ := r.policyOf(last); action == batchv1.PodFailurePolicyActionIgnore {
			ignored++
		} else {
			failures++
		}
	}
	pod.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(failures)
	if ignored > 0 {
		pod.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(ignored)
	}
}

// held says whether a pod's finalizer must stay on because its index has no newer pod yet.
func (r *run) held(pod *corev1.Pod) bool {
	index := indexOf(pod)
	if !r.perIndex() || r.verdict != nil || r.job.DeletionTimestamp != nil || !r.isFailed(pod) || index < 0 || index >= r.completions() ||
		r.done.has(index) || r.broken.has(index) {
		return false
	}
	for _, other := range append(r.pods[:len(r.pods):len(r.pods)], r.active...) {
		if indexOf(other) == index && attempts(other) > attempts(pod) {
			return false
		}
	}
	return true
}

// failureByIndex ends a Job whose indexes have failed: more of them than allowed, or one when no index is left to try.
func (r *run) failureByIndex() *verdict {
	if !r.perIndex() || r.broken.len() == 0 {
		return nil
	}
	if most := r.job.Spec.MaxFailedIndexes; most != nil && r.broken.len() > int(*most) {
		return &verdict{reason: batchv1.JobReasonMaxFailedIndexesExceeded, message: "Job has exceeded the specified maximal number of failed indexes"}
	}
	if r.job.Spec.Completions != nil && r.done.len()+r.broken.len() >= int(ptr.Deref(r.job.Spec.Completions, 0)) {
		return &verdict{reason: batchv1.JobReasonFailedIndexes, message: "Job has failed indexes"}
	}
	return nil
}
