package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/client"
	"kubette/kubelet/runtime"
	"kubette/loop"
)

// worker is what the kubelet knows of one pod beside the API and the runtime. Reconciles of a pod never overlap; its
// operation and its probes run beside them, so its fields are guarded by the lock.
type worker struct {
	key      key
	requests corev1.ResourceList // what it holds of the node; guarded by the session's lock

	mu         sync.Mutex
	latest     *corev1.Pod // the newest version read or written; shared
	sandbox    *runtime.Sandbox
	stale      bool // the sandbox may have changed
	containers []*containerState
	operation  *operation
	volumes    []writtenVolume
	tokens     []token
	mountRetry retry
	boxRetry   retry
	admitted   bool
	evicted    *eviction
	deferred   bool // its resize waits for room
	deleted    bool // the API was told that nothing is left
	renew      time.Time
	references []refName
}

// containerState is what is remembered of one container by its name.
type containerState struct {
	name        string
	waiting     *corev1.ContainerStateWaiting // why it does not run
	restart     backoff                       // after crashes
	pull        backoff                       // after failed pulls
	pullShown   bool                          // the present pull back-off has been told of
	retryAt     time.Time                     // after other failures
	id          string                        // the container that the fields below are about
	postStarted bool                          // its hook has ended well
	started     bool                          // startup probe
	ready       bool                          // readiness probe
	unhealthy   *unhealthy                    // a liveness or startup probe wants it killed
	message     *string                       // the termination message, read once
	resizeError string                        // why the last resize failed
	resources   *corev1.ResourceRequirements  // as last given to the runtime; nil: as when it was made
}

// unhealthy says why a container must go.
type unhealthy struct {
	text  string
	grace *int64
}

// reconcile brings one pod nearer to its spec: observe, compare, act, report.
func (s *session) reconcile(ctx context.Context, key key) (time.Duration, error) {
	w := s.worker(key)
	pod := s.newest(w)
	if pod == nil {
		return s.cleanUp(ctx, w)
	}
	seen, err := s.observe(ctx, w, pod)
	if err != nil {
		return 0, fmt.Errorf("ask the runtime about pod %s: %w", key, err)
	}
	if pod.DeletionTimestamp != nil {
		return s.terminate(ctx, w, pod, seen)
	}
	if podFinished(pod) {
		return s.finish(ctx, w, pod, seen)
	}
	if refusal := s.admit(w, pod); refusal != nil {
		loop.Say(ctx, "Refused", "reason", refusal.reason, "message", refusal.message)
		return 0, s.reject(ctx, w, pod, refusal)
	}
	status := s.status(w, pod, seen)
	if phaseFinished(status.Phase) {
		return s.finish(ctx, w, pod, seen)
	}
	if w.reportFirst(pod, status) {
		if pod, err = s.report(ctx, w, pod, status); err != nil {
			return 0, err
		}
	}
	acted, again := s.sync(ctx, w, pod, seen)
	if acted {
		if pod = s.newest(w); pod == nil {
			return again, nil // the watch will ask for it
		}
		// What was done just now shows in the runtime: look again, and report that.
		if seen, err = s.observe(ctx, w, pod); err != nil {
			return 0, fmt.Errorf("ask the runtime about pod %s: %w", key, err)
		}
		status = s.status(w, pod, seen)
		if phaseFinished(status.Phase) {
			return s.finish(ctx, w, pod, seen)
		}
	}
	s.probes.update(w, pod, seen)
	if _, err := s.report(ctx, w, pod, status); err != nil {
		return 0, err
	}
	return again, nil
}

// worker returns what is known of a pod.
func (s *session) worker(key key) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[key.uid]
	if w == nil {
		w = &worker{key: key}
		s.workers[key.uid] = w
	}
	return w
}

// newest returns the pod as the API last showed it to this kubelet, or nil when it is gone.
func (s *session) newest(w *worker) *corev1.Pod {
	pod, ok := s.pods.Get(w.key.namespace, w.key.name)
	if !ok || pod.UID != w.key.uid {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil || !older(pod, w.latest) {
		w.latest = pod
	}
	return w.latest
}

// older says that a is an earlier version than b of the same object.
func older(a, b *corev1.Pod) bool {
	if len(a.ResourceVersion) != len(b.ResourceVersion) {
		return len(a.ResourceVersion) < len(b.ResourceVersion)
	}
	return a.ResourceVersion < b.ResourceVersion
}

// podUpdated asks for a pod whose new version somebody else wrote.
func (s *session) podUpdated(_, pod *corev1.Pod) {
	w := s.worker(keyOf(pod))
	w.mu.Lock()
	own := w.latest != nil && !older(w.latest, pod)
	w.mu.Unlock()
	if !own {
		s.loop.Add(w.key, "pods/"+w.key.String()+" updated")
	}
}

// state returns what is remembered of a container; the lock is held.
func (w *worker) state(name string) *containerState {
	if c := w.known(name); c != nil {
		return c
	}
	c := &containerState{name: name}
	w.containers = append(w.containers, c)
	return c
}

// known returns what is remembered of a container, or nil; the lock is held.
func (w *worker) known(name string) *containerState {
	for _, c := range w.containers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// current returns the memory of a container, made fresh when another container has taken its name; the lock is held.
func (w *worker) current(name, id string) *containerState {
	c := w.state(name)
	if c.id != id {
		c.id, c.postStarted, c.started, c.ready, c.unhealthy, c.message, c.resources, c.resizeError = id, false, false, false, nil, nil, nil, ""
	}
	return c
}

// reportFirst says that a status is worth telling before anything is done about it: a container has ended, or all that
// were to be removed are gone.
func (w *worker) reportFirst(pod *corev1.Pod, status *corev1.PodStatus) bool {
	if conditionTrue(&pod.Status, corev1.AllContainersRestarting) != conditionTrue(status, corev1.AllContainersRestarting) {
		return true
	}
	told := map[string]string{}
	for _, old := range allStatuses(&pod.Status) {
		if old.State.Terminated != nil {
			told[old.Name] = old.State.Terminated.ContainerID
		}
		if old.LastTerminationState.Terminated != nil {
			told["last "+old.Name] = old.LastTerminationState.Terminated.ContainerID
		}
	}
	for _, now := range allStatuses(status) {
		if t := now.State.Terminated; t != nil && told[now.Name] != t.ContainerID && told["last "+now.Name] != t.ContainerID {
			return true
		}
	}
	return false
}

// report writes the status when it differs from what the API has, and returns the newest version.
func (s *session) report(ctx context.Context, w *worker, pod *corev1.Pod, status *corev1.PodStatus) (*corev1.Pod, error) {
	if s.sameStatus(&pod.Status, status) {
		return pod, nil
	}
	changed := *pod
	changed.Status = *status
	loop.Say(ctx, "Report", "phase", status.Phase)
	written, err := client.Of[*corev1.Pod](s.client).UpdateStatus(ctx, &changed)
	if apierrors.IsConflict(err) {
		// Somebody else wrote meanwhile. What is reported was seen in the runtime, so it holds for the newer version too;
		// only the conditions of others must be kept.
		fresh, getErr := client.Of[*corev1.Pod](s.client).Get(ctx, pod.Namespace, pod.Name)
		if apierrors.IsNotFound(getErr) || getErr == nil && fresh.UID != pod.UID {
			return pod, nil // the watch will tell
		}
		if getErr != nil {
			return nil, fmt.Errorf("read pod %s again: %w", w.key, getErr)
		}
		// What others wrote, such as that the pod shall end, is not acted on in this step; and its change, when the watch
		// brings it, will look like our own.
		s.loop.Add(w.key, "pods/"+w.key.String()+" updated")
		changed = *fresh
		changed.Status = *status
		changed.Status.Conditions = keepForeign(fresh.Status.Conditions, status.Conditions)
		written, err = client.Of[*corev1.Pod](s.client).UpdateStatus(ctx, &changed)
	}
	if apierrors.IsNotFound(err) {
		return pod, nil // the watch will tell
	}
	if err != nil {
		return nil, fmt.Errorf("report the status of pod %s: %w", w.key, err)
	}
	w.mu.Lock()
	if w.latest == nil || !older(written, w.latest) {
		w.latest = written
	}
	w.mu.Unlock()
	return written, nil
}

func podFinished(pod *corev1.Pod) bool { return phaseFinished(pod.Status.Phase) }

func phaseFinished(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

func allStatuses(status *corev1.PodStatus) []corev1.ContainerStatus {
	all := make([]corev1.ContainerStatus, 0, len(status.InitContainerStatuses)+len(status.ContainerStatuses))
	all = append(all, status.InitContainerStatuses...)
	return append(all, status.ContainerStatuses...)
}
