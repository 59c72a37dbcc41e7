package kubelet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"kubette/kubelet/runtime"
	"kubette/loop"
)

// resizing is a running container whose resources in the spec are not those that it was given.
type resizing struct {
	spec    *corev1.Container
	id      string
	restart bool // the resize policy wants a restart
}

// given are the resources that a container has now: what it was made with, or last resized to. After a restart of the
// kubelet the API's status tells.
func (s *session) given(pod *corev1.Pod, spec *corev1.Container, c *containerState) *corev1.ResourceRequirements {
	if c.resources != nil {
		return c.resources
	}
	if before := findStatus(&pod.Status, spec.Name); before != nil && before.Resources != nil && before.ContainerID == s.containerID(c.id) {
		return before.Resources
	}
	return &corev1.ResourceRequirements{Limits: spec.Resources.Limits, Requests: spec.Resources.Requests}
}

// planResize compares cpu and memory of running containers with the spec. The lock is held.
func (s *session) planResize(w *worker, pod *corev1.Pod, seen *observation) []resizing {
	var wanted []resizing
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		latest := seen.latest(spec.Name)
		if latest == nil || latest.State != runtime.Running {
			continue
		}
		have := s.given(pod, spec, w.current(spec.Name, latest.ID))
		cpu, memory := differs(have, &spec.Resources, corev1.ResourceCPU), differs(have, &spec.Resources, corev1.ResourceMemory)
		if !cpu && !memory {
			continue
		}
		r := resizing{spec: spec, id: latest.ID}
		for _, policy := range spec.ResizePolicy {
			changed := policy.ResourceName == corev1.ResourceCPU && cpu || policy.ResourceName == corev1.ResourceMemory && memory
			r.restart = r.restart || changed && policy.RestartPolicy == corev1.RestartContainer
		}
		wanted = append(wanted, r)
	}
	return wanted
}

func differs(have, want *corev1.ResourceRequirements, name corev1.ResourceName) bool {
	limit, request := have.Limits[name], have.Requests[name]
	return limit.Cmp(want.Limits[name]) != 0 || request.Cmp(want.Requests[name]) != 0
}

// resizeProblem says why this node cannot give a pod the resources of its spec: never, because the node is too small, or
// not yet, because others hold it.
func (s *session) resizeProblem(w *worker, pod *corev1.Pod) *corev1.PodCondition {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	condition := &corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue}
	allocatable := s.node.capacity()
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		wanted, have := requests[name], allocatable[name]
		if wanted.Cmp(have) > 0 {
			condition.Reason = corev1.PodReasonInfeasible
			condition.Message = fmt.Sprintf("Node didn't have enough capacity: %s, requested: %d, capacity: %d", name, amount(name, wanted), amount(name, have))
			return condition
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if short := s.shortFor(w, requests); short != nil {
		condition.Reason, condition.Message = corev1.PodReasonDeferred, short.message
		return condition
	}
	return nil
}

// allot takes the node's room for a resize, if there is enough; a pod for which there is not is looked at again when
// another one gives some back.
func (s *session) allot(w *worker, pod *corev1.Pod) bool {
	problem := s.resizeProblem(w, pod)
	w.mu.Lock()
	w.deferred = problem != nil && problem.Reason == corev1.PodReasonDeferred
	w.mu.Unlock()
	if problem != nil {
		loop.Say(s.ctx, "ResizePending", "reason", problem.Reason, "message", problem.Message)
		return false
	}
	s.mu.Lock()
	w.requests = resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	s.mu.Unlock()
	s.retryDeferred()
	return true
}

// retryDeferred asks for the pods whose resize waits for room.
func (s *session) retryDeferred() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		w.mu.Lock()
		deferred := w.deferred
		w.mu.Unlock()
		if deferred {
			s.loop.Add(w.key, "room may have come for its resize")
		}
	}
}

// withAllocated is a pod with the resources that the API's status says it was given.
func withAllocated(pod *corev1.Pod) *corev1.Pod {
	given := pod.DeepCopy()
	for i := range given.Spec.Containers {
		if status := findStatus(&pod.Status, given.Spec.Containers[i].Name); status != nil && status.AllocatedResources != nil {
			given.Spec.Containers[i].Resources.Requests = status.AllocatedResources
		}
	}
	return given
}

// resize gives a running container its new limits, or ends it so that it starts again with them.
func (s *session) resize(ctx context.Context, w *worker, pod *corev1.Pod, r resizing) {
	if r.restart {
		v := victim{container: runtime.Container{ID: r.id, Name: r.spec.Name}, spec: r.spec,
			message: fmt.Sprintf("Container %s resize requires restart", r.spec.Name)}
		w.mu.Lock()
		sandbox := w.sandbox
		w.mu.Unlock()
		if err := s.killContainer(ctx, w, pod, sandbox, v); err != nil {
			slog.Warn("a container could not be stopped for its resize", "pod", w.key, "container", r.spec.Name, "error", err)
			sleep(ctx, time.Second)
		}
		return
	}
	if err := s.runtime.UpdateContainerResources(ctx, r.id, limitsOf(pod, &r.spec.Resources)); err != nil {
		if ctx.Err() == nil {
			w.mu.Lock()
			w.current(r.spec.Name, r.id).resizeError = err.Error()
			w.mu.Unlock()
			s.event(pod, r.spec.Name, corev1.EventTypeWarning, "ResizeError", "Error resizing container: %v", err)
			sleep(ctx, retryAfter)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current(r.spec.Name, r.id).resizeError = ""
	w.current(r.spec.Name, r.id).resources = &corev1.ResourceRequirements{Limits: r.spec.Resources.Limits, Requests: r.spec.Resources.Requests}
}

// setResizeConditions tells of a resize that waits or is under way.
func (s *session) setResizeConditions(w *worker, pod *corev1.Pod, status *corev1.PodStatus) {
	pending, failed := false, ""
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		c := findStatus(status, spec.Name)
		if c != nil && c.Resources != nil && (differs(c.Resources, &spec.Resources, corev1.ResourceCPU) || differs(c.Resources, &spec.Resources, corev1.ResourceMemory)) {
			pending = true
			w.mu.Lock()
			failed = cmp.Or(failed, w.state(spec.Name).resizeError)
			w.mu.Unlock()
		}
	}
	if !pending {
		return
	}
	condition := s.resizeProblem(w, pod)
	if condition == nil {
		condition = &corev1.PodCondition{Type: corev1.PodResizeInProgress, Status: corev1.ConditionTrue}
		if failed != "" {
			condition.Reason, condition.Message = corev1.PodReasonError, failed
		}
	}
	condition.ObservedGeneration, condition.LastTransitionTime = pod.Generation, stamp(time.Now())
	for i := range pod.Status.Conditions {
		if before := &pod.Status.Conditions[i]; before.Type == condition.Type && before.Status == condition.Status {
			condition.LastTransitionTime = before.LastTransitionTime
		}
	}
	status.Conditions = append(status.Conditions, *condition)
}
