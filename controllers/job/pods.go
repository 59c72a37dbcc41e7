package job

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/loop"
)

// burst bounds how many pods one reconciliation creates or deletes.
const burst = 500

// longestPrefix is how much of a generateName the API server keeps: the index must be in it.
const longestPrefix = 58

// manage keeps as many pods running as the Job wants now.
func (r *run) manage(ctx context.Context) error {
	if r.suspended() {
		loop.Say(ctx, "Suspended")
		return r.dismiss(ctx, r.active)
	}
	wanted := r.wanted()
	if surplus := r.surplus(wanted); len(surplus) > 0 {
		loop.Say(ctx, "TooManyPods", "delete", len(surplus))
		return r.dismiss(ctx, surplus)
	}
	missing := wanted - len(r.active)
	if r.replaceOnlyFailed() {
		missing -= r.terminating
	}
	if missing <= 0 {
		return nil
	}
	if !r.perIndex() {
		if wait := r.backoff.remaining(r.key); wait > 0 {
			loop.Say(ctx, "BackOff", "wait", wait.String())
			r.again = controllers.Sooner(r.again, wait)
			return nil
		}
	}
	return r.create(ctx, min(missing, burst))
}

// wanted is how many pods should run now.
func (r *run) wanted() int {
	parallelism := int(ptr.Deref(r.job.Spec.Parallelism, 1))
	if r.job.Spec.Completions == nil {
		if r.succeeded > 0 {
			return len(r.active) // one has found the end: the others may finish, none is added
		}
		return parallelism
	}
	return max(min(int(*r.job.Spec.Completions)-r.succeeded, parallelism), 0)
}

// surplus chooses pods to delete: of an indexed Job, first those with an index that is done, doubled or out of range.
func (r *run) surplus(wanted int) []*corev1.Pod {
	chosen, rest := r.misplaced()
	if over := len(rest) - wanted; over > 0 {
		controllers.RankActive(rest)
		chosen = append(chosen, rest[:over]...)
	}
	return chosen[:min(len(chosen), burst)]
}

// dismiss deletes pods that the Job can do without. They are let go first, so that they do not count as failed.
func (r *run) dismiss(ctx context.Context, pods []*corev1.Pod) error {
	err := controllers.Parallel(len(pods), func(i int) error {
		if !hasFinalizer(pods[i]) {
			return nil
		}
		return r.release(ctx, pods[i])
	})
	if err != nil {
		return err
	}
	for _, pod := range pods {
		r.counted[pod.UID] = struct{}{}
	}
	return r.delete(ctx, pods)
}

func (r *run) delete(ctx context.Context, pods []*corev1.Pod) error {
	if len(pods) == 0 {
		return nil
	}
	uids := make([]types.UID, len(pods))
	for i, pod := range pods {
		uids[i] = pod.UID
	}
	r.expected.ExpectDeletions(r.key, uids...)
	gone := make([]bool, len(pods))
	err := controllers.Parallel(len(pods), func(i int) error {
		err := r.DeletePod(ctx, r.job, pods[i])
		if err != nil {
			r.expected.Deleted(r.key, pods[i].UID)
		}
		err = controllers.IgnoreNotFound(err)
		gone[i] = err == nil
		return err
	})
	for i, pod := range pods {
		if gone[i] {
			r.active = slices.DeleteFunc(slices.Clone(r.active), func(other *corev1.Pod) bool { return other == pod })
			r.terminating++
		}
	}
	return err
}

func (r *run) create(ctx context.Context, count int) error {
	var numbers []int
	if r.indexed() {
		numbers = r.pending(count)
		count = len(numbers)
	}
	if count == 0 {
		return nil
	}
	loop.Say(ctx, "TooFewPods", "create", count)
	r.expected.ExpectCreations(r.key, count)
	made := make([]*corev1.Pod, count)
	created, err := controllers.SlowStart(count, func(i int) error {
		pod := r.newPod()
		if r.indexed() {
			r.number(pod, numbers[i])
		}
		var err error
		made[i], err = r.CreatePod(ctx, r.job, pod)
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			r.expected.Created(r.key, 1)
			return nil
		}
		return err
	})
	if err != nil {
		r.expected.Created(r.key, count-created)
	}
	for _, pod := range made {
		if pod != nil {
			r.active = append(r.active, pod)
		}
	}
	return err
}

func (r *run) newPod() *corev1.Pod {
	pod := controllers.PodFromTemplate(&r.job.Spec.Template, r.job)
	pod.Finalizers = append(pod.Finalizers, batchv1.JobTrackingFinalizer)
	return pod
}

// number gives a pod its completion index: in its name and host name, an annotation, a label, and the environment of its
// containers.
func (r *run) number(pod *corev1.Pod, index int) {
	text := strconv.Itoa(index)
	suffix := "-" + text + "-"
	pod.GenerateName = r.job.Name[:min(len(r.job.Name), longestPrefix-len(suffix))] + suffix
	pod.Spec.Hostname = fmt.Sprintf("%s-%d", r.job.Name, index)
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Annotations[batchv1.JobCompletionIndexAnnotation] = text
	pod.Labels[batchv1.JobCompletionIndexAnnotation] = text
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if slices.ContainsFunc(containers[i].Env, func(env corev1.EnvVar) bool { return env.Name == "JOB_COMPLETION_INDEX" }) {
				continue
			}
			containers[i].Env = append(containers[i].Env, corev1.EnvVar{Name: "JOB_COMPLETION_INDEX", ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: fmt.Sprintf("metadata.labels['%s']", batchv1.JobCompletionIndexAnnotation)},
			}})
		}
	}
	r.numberFailures(pod, index)
}
