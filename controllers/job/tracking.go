package job

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// tracked says whether a pod still has to be counted.
func (r *run) tracked(pod *corev1.Pod) bool {
	_, counted := r.counted[pod.UID]
	return !counted && hasFinalizer(pod)
}

func hasFinalizer(pod *corev1.Pod) bool {
	return slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer)
}

// alreadyCounted is a copy of what was let go and may look untouched in the cache. It has to be taken before the pods are
// listed: the other way round, a pod listed with its finalizer could be struck off in between, and would count twice.
func (c *Controller) alreadyCounted() map[types.UID]struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counted)
}

func (c *Controller) setCounted(uid types.UID, counted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if counted {
		c.counted[uid] = struct{}{}
	} else {
		delete(c.counted, uid)
	}
}

func (r *run) uncounted() *batchv1.UncountedTerminatedPods {
	if r.job.Status.UncountedTerminatedPods == nil {
		r.job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	return r.job.Status.UncountedTerminatedPods
}

// countedAtOnce bounds how many pods are counted in one step, so that their names fit into the status, and a Job with many
// does not hold up the others. It is Kubernetes' MaxUncountedPods.
const countedAtOnce = 500

// track counts the pods that have ended, in the three writes that the package's comment tells of, and then ends the Job if
// it is over. Each write is one status update; without news there is none.
func (r *run) track(ctx context.Context) error {
	r.settle() // what an earlier step left
	var release []*corev1.Pod
	uncounted := r.uncounted()
	for _, pod := range r.pods {
		if len(release) == countedAtOnce {
			r.unfinished = true // the write that comes now leads to the next step
			break
		}
		if !r.tracked(pod) || r.held(pod) {
			continue
		}
		known := slices.Contains(uncounted.Succeeded, pod.UID) || slices.Contains(uncounted.Failed, pod.UID)
		switch {
		case known:
		case pod.Status.Phase == corev1.PodSucceeded:
			if !r.indexed() {
				uncounted.Succeeded = append(uncounted.Succeeded, pod.UID)
			}
		case r.isFailed(pod), r.verdict != nil && !r.verdict.success: // what a failed Job cuts short has failed, however it ends
			if !r.inRange(pod) {
				break // of an index that is not wanted any more
			}
			if action, _ := r.policyOf(pod); action != batchv1.PodFailurePolicyActionIgnore {
				uncounted.Failed = append(uncounted.Failed, pod.UID)
			}
		case r.verdict == nil && r.job.DeletionTimestamp == nil:
			continue // it runs
		}
		release = append(release, pod)
	}
	if r.indexed() {
		r.job.Status.CompletedIndexes = r.done.String()
		r.job.Status.Succeeded = int32(r.done.len())
		if r.perIndex() {
			r.job.Status.FailedIndexes = ptr.To(r.broken.String())
		}
	}
	r.announce()
	if len(release) == 0 {
		return r.conclude(ctx)
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	loop.Say(ctx, "CountPods", "pods", len(release))
	err := controllers.Parallel(len(release), func(i int) error { return r.release(ctx, release[i]) })
	if err != nil {
		return err
	}
	for _, pod := range release {
		r.counted[pod.UID] = struct{}{}
	}
	r.settle()
	return r.conclude(ctx)
}

// settle turns the UIDs of pods without the finalizer into numbers.
func (r *run) settle() {
	waiting := map[types.UID]bool{}
	for _, pod := range r.pods {
		waiting[pod.UID] = r.tracked(pod)
	}
	uncounted := r.uncounted()
	count := func(uids []types.UID, number *int32) []types.UID {
		return slices.DeleteFunc(uids, func(uid types.UID) bool {
			if waiting[uid] {
				return false
			}
			*number++
			return true
		})
	}
	uncounted.Succeeded = count(uncounted.Succeeded, &r.job.Status.Succeeded)
	uncounted.Failed = count(uncounted.Failed, &r.job.Status.Failed)
}

// release takes the finalizer off a pod.
func (c *Controller) release(ctx context.Context, pod *corev1.Pod) error {
	kept := slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == batchv1.JobTrackingFinalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer},
		"$setElementOrder/finalizers": append([]string{}, kept...),
	}})
	if err != nil {
		return err
	}
	c.setCounted(pod.UID, true)
	_, err = client.Of[*corev1.Pod](c.Client).Patch(ctx, pod.Namespace, pod.Name, types.StrategicMergePatchType, patch)
	if controllers.IgnoreNotFound(err) != nil {
		c.setCounted(pod.UID, false)
		return err
	}
	return nil
}

// releaseOrphan lets a pod go whose Job is gone.
func (c *Controller) releaseOrphan(ctx context.Context, t task) error {
	pod, ok := c.pods.Get(t.namespace, t.name)
	if !ok || !hasFinalizer(pod) {
		return nil
	}
	if job, ok := controllers.ControllerOf(c.jobs, "Job", pod); ok && (job.DeletionTimestamp == nil && !finished(&job.Status) || managedByOther(job)) {
		return nil
	}
	loop.Say(ctx, "ReleaseOrphan", "name", pod.Name)
	return c.release(ctx, pod)
}

// write stores the status if it differs from the stored one.
func (r *run) write(ctx context.Context) error {
	if equality.Semantic.DeepEqual(r.before, r.job.Status) {
		return nil
	}
	s := &r.job.Status
	loop.Say(ctx, "JobStatus", "active", s.Active, "succeeded", s.Succeeded, "failed", s.Failed)
	written, err := client.Of[*batchv1.Job](r.Client).UpdateStatus(ctx, r.job)
	if err != nil {
		return err
	}
	r.wrote.Wrote(string(written.UID), written)
	r.job, r.before = written.DeepCopy(), written.Status
	return nil
}
