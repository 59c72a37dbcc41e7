package job

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "job-controller"

	workers = 5 // Kubernetes' default
)

// Controller runs all Jobs.
type Controller struct {
	controllers.Base
	jobs     client.Informer[*batchv1.Job]
	pods     client.Informer[*corev1.Pod]
	expected controllers.Expectations
	wrote    controllers.Writes // by the Job's UID: statuses that the cache may not show yet
	backoff  backoff
	loop     *loop.Loop[task]

	mu      sync.Mutex
	counted map[types.UID]struct{} // pods whose finalizer is off, though the cache may not show it yet
}

// task is a Job to look at, or a pod whose Job is gone and which nobody else lets go.
type task struct {
	namespace, name string
	orphan          bool
}

// String is the key as the trace shows it.
func (t task) String() string {
	if t.orphan {
		return "pods/" + t.namespace + "/" + t.name
	}
	return t.namespace + "/" + t.name
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:    base,
		jobs:    client.InformerFor[*batchv1.Job](base.Informers),
		pods:    client.InformerFor[*corev1.Pod](base.Informers),
		counted: map[types.UID]struct{}{},
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, MinBackoff: time.Second, MaxBackoff: time.Minute, Machine: base.Machine})
	c.watch()
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// run is one Job while it is reconciled.
type run struct {
	*Controller
	key    string
	job    *batchv1.Job // a copy of our own; its status is what will be written
	before batchv1.JobStatus

	counted     map[types.UID]struct{} // pods whose finalizer was off before pods was listed
	pods        []*corev1.Pod          // all that are the job's
	active      []*corev1.Pod
	terminating int
	fresh       outcome // ended, and not counted yet
	succeeded   int     // counted, and to be
	failed      int

	done, broken indexes // of an indexed job
	verdict      *verdict
	unfinished   bool // more pods have ended than one step counts
	again        time.Duration
}

// outcome is pods by how they ended.
type outcome struct{ succeeded, failed []*corev1.Pod }

// Reconcile brings a Job nearer to its end: it counts what has ended, decides whether it is over, and otherwise keeps as
// many pods running as are wanted.
func (c *Controller) Reconcile(ctx context.Context, t task) (time.Duration, error) {
	if t.orphan {
		return 0, c.releaseOrphan(ctx, t)
	}
	shared, ok := c.jobs.Get(t.namespace, t.name)
	if !ok {
		loop.Say(ctx, "Gone")
		c.expected.Forget(t.String())
		c.backoff.forget(t.String())
		return 0, nil
	}
	if managedByOther(shared) {
		loop.Say(ctx, "ManagedByOther", "manager", *shared.Spec.ManagedBy)
		return 0, nil
	}
	if finished(&shared.Status) {
		loop.Say(ctx, "Finished")
		c.backoff.forget(t.String())
		return 0, nil
	}
	if controllers.Missing(&c.wrote, string(shared.UID), []*batchv1.Job{shared}) {
		loop.Say(ctx, "WaitForCache")
		return 0, nil // a copy with older numbers would count no pod that has ended since, and start one too many
	}
	r := &run{Controller: c, key: t.String(), job: shared.DeepCopy(), before: shared.Status, counted: c.alreadyCounted()}
	upToDate, wait := c.expected.Satisfied(r.key)
	if err := r.observe(ctx); err != nil {
		return 0, err
	}
	r.begin()
	r.judge(ctx)

	err := r.act(ctx, upToDate)
	r.count()
	if trackErr := r.track(ctx); err == nil {
		err = controllers.IgnoreNotFound(trackErr)
	}
	return controllers.Sooner(controllers.Sooner(wait, r.again), r.deadline()), err
}

// observe sorts the Job's pods.
func (r *run) observe(ctx context.Context) error {
	selector, err := metav1.LabelSelectorAsSelector(r.job.Spec.Selector)
	if err != nil {
		return fmt.Errorf("selector of job %s: %w", r.key, err)
	}
	if r.pods, err = controllers.Claim(ctx, r.Client, r.Controller.pods, r.job, selector, nil, batchv1.JobTrackingFinalizer); err != nil {
		return err
	}
	uncounted := r.uncounted()
	for _, pod := range r.pods {
		switch {
		case controllers.IsActive(pod):
			r.active = append(r.active, pod)
		case controllers.IsTerminating(pod):
			r.terminating++
		}
		if !r.tracked(pod) || !r.inRange(pod) || slices.Contains(uncounted.Succeeded, pod.UID) || slices.Contains(uncounted.Failed, pod.UID) {
			continue
		}
		if pod.Status.Phase == corev1.PodSucceeded {
			r.fresh.succeeded = append(r.fresh.succeeded, pod)
		} else if r.isFailed(pod) {
			r.fresh.failed = append(r.fresh.failed, pod)
		}
	}
	counts, _ := r.countedFailures()
	r.succeeded = int(r.job.Status.Succeeded) + len(r.fresh.succeeded) + len(uncounted.Succeeded)
	r.failed = int(r.job.Status.Failed) + counts + len(uncounted.Failed)
	if r.indexed() {
		r.observeIndexes()
		r.succeeded = r.done.len()
	}
	r.backoff.note(r.key, r.fresh)
	loop.Say(ctx, "JobPods", "active", len(r.active), "terminating", r.terminating, "succeeded", r.succeeded, "failed", r.failed)
	return nil
}

// isFailed: usually a pod on its way out has failed already, and is replaced at once. A policy that looks at how pods end,
// or podReplacementPolicy Failed, waits until it really has.
func (r *run) isFailed(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return !r.replaceOnlyFailed() && pod.DeletionTimestamp != nil && pod.Status.Phase != corev1.PodSucceeded
}

func (r *run) replaceOnlyFailed() bool {
	return r.job.Spec.PodFailurePolicy != nil || ptr.Deref(r.job.Spec.PodReplacementPolicy, batchv1.TerminatingOrFailed) == batchv1.Failed
}

func managedByOther(job *batchv1.Job) bool {
	return ptr.Deref(job.Spec.ManagedBy, batchv1.JobControllerName) != batchv1.JobControllerName
}

func (r *run) suspended() bool { return ptr.Deref(r.job.Spec.Suspend, false) }

func (r *run) indexed() bool {
	return ptr.Deref(r.job.Spec.CompletionMode, batchv1.NonIndexedCompletion) == batchv1.IndexedCompletion
}

// begin starts the Job's clock.
func (r *run) begin() {
	if r.job.Status.StartTime == nil && !r.suspended() {
		r.job.Status.StartTime = ptr.To(metav1.Now())
	}
}

// act creates and deletes pods. What has succeeded often enough is over, also when it was suspended or deleted meanwhile.
func (r *run) act(ctx context.Context, upToDate bool) error {
	if r.verdict != nil {
		err := r.stop(ctx)
		if err != nil || !upToDate {
			r.verdict = nil // pods may be left, or not be seen yet: the end is told when they are gone
		}
		return err
	}
	managed, err := false, error(nil)
	switch {
	case r.job.DeletionTimestamp != nil:
		loop.Say(ctx, "BeingDeleted")
	case !upToDate:
		loop.Say(ctx, "WaitForCache")
	default:
		managed, err = true, r.manage(ctx)
	}
	switch {
	case r.reached():
		r.verdict = &verdict{success: true, reason: batchv1.JobReasonCompletionsReached, message: "Reached expected number of succeeded pods"}
	case managed:
		r.noteSuspension(ctx)
	}
	return err
}

// count writes what runs into the status.
func (r *run) count() {
	ready := 0
	for _, pod := range r.active {
		if controllers.IsReady(pod) {
			ready++
		}
	}
	r.job.Status.Active, r.job.Status.Ready = int32(len(r.active)), ptr.To(int32(ready))
	r.job.Status.Terminating = ptr.To(int32(r.terminating))
}
