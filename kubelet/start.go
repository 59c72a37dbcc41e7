package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// makeSandbox prepares the pod's volumes and makes its sandbox. It returns false when that must be tried again later.
func (s *session) makeSandbox(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation) (*runtime.Sandbox, bool) {
	if err := s.mountVolumes(ctx, w, pod); err != nil {
		w.mu.Lock()
		w.mountRetry.failed(time.Now())
		w.mu.Unlock()
		return nil, false
	}
	attempt := uint32(0)
	if seen.sandbox != nil {
		attempt = seen.sandbox.Attempt + 1
		if err := s.runtime.StopPodSandbox(ctx, seen.sandbox.ID); err != nil {
			return nil, s.sandboxFailed(ctx, w, pod, err)
		}
	}
	id, err := s.runtime.RunPodSandbox(ctx, s.sandboxConfig(pod, attempt))
	if err != nil {
		return nil, s.sandboxFailed(ctx, w, pod, err)
	}
	w.mu.Lock()
	w.sandbox = &runtime.Sandbox{ID: id}
	w.mountRetry, w.boxRetry = retry{}, retry{}
	w.mu.Unlock()
	if err := s.refreshSandbox(ctx, w); err != nil {
		return nil, s.sandboxFailed(ctx, w, pod, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sandbox, w.sandbox != nil
}

func (s *session) sandboxFailed(ctx context.Context, w *worker, pod *corev1.Pod, err error) bool {
	if ctx.Err() == nil {
		s.event(pod, "", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxRetry.failed(time.Now())
	w.sandbox, w.stale = nil, true // one may have been made all the same: it is looked for among all
	return false
}

// sandboxConfig is the pod's shared surroundings.
func (s *session) sandboxConfig(pod *corev1.Pod, attempt uint32) *runtime.SandboxConfig {
	host, domain := s.hostname(pod)
	config := &runtime.SandboxConfig{
		Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Attempt: attempt, Hostname: host, Domain: domain,
		DNS: s.dns(pod), Labels: pod.Labels, Annotations: pod.Annotations, HostNetwork: pod.Spec.HostNetwork,
		Containers:     len(pod.Spec.InitContainers) + len(pod.Spec.Containers),
		ShareProcesses: pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace,
	}
	for _, alias := range pod.Spec.HostAliases {
		config.Hosts = append(config.Hosts, runtime.HostEntry{Address: alias.IP, Names: alias.Hostnames})
	}
	if security := pod.Spec.SecurityContext; security != nil && len(security.Sysctls) > 0 {
		config.Sysctls = map[string]string{}
		for _, sysctl := range security.Sysctls {
			config.Sysctls[sysctl.Name] = sysctl.Value
		}
	}
	return config
}

// startError is why a container does not start: the waiting reason and its message.
type startError struct{ reason, message string }

// startContainer takes a container from its image to its hook. What goes wrong becomes its waiting reason.
func (s *session) startContainer(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, seen *observation, l launch) {
	failure := s.tryStart(ctx, w, pod, sandbox, seen, l)
	if ctx.Err() != nil {
		return // interrupted: whoever did will look again
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.state(l.spec.Name)
	if failure == nil {
		c.waiting = nil
		return
	}
	c.waiting = &corev1.ContainerStateWaiting{Reason: failure.reason, Message: failure.message}
	switch failure.reason {
	case "RunContainerError", "PostStartHookError":
		// It has ended like one that crashed, and waits as that does.
	default:
		c.retryAt = time.Now().Add(retryAfter)
	}
	slog.Debug("a container does not start", "pod", w.key, "container", l.spec.Name, "reason", failure.reason, "message", failure.message)
}

// retryAfter is how long a container that could not be configured or started waits; a change of what it refers to ends
// the wait.
const retryAfter = 10 * time.Second

func (s *session) tryStart(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, seen *observation, l launch) *startError {
	name := l.spec.Name
	image, failure := s.ensureImage(ctx, w, pod, l.spec)
	if failure != nil {
		return failure
	}
	fail := func(reason string, err error) *startError {
		if ctx.Err() == nil {
			s.event(pod, name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		}
		return &startError{reason, err.Error()}
	}
	config, err := s.containerConfig(ctx, w, pod, sandbox, l, image)
	if err != nil {
		return fail("CreateContainerConfigError", err)
	}
	if l.target != "" {
		target := seen.latest(l.target)
		if target == nil {
			return fail("CreateContainerConfigError", fmt.Errorf("unable to find target container %s", l.target))
		}
		config.Target = target.ID
	}
	if err := s.removeOld(ctx, seen, name); err != nil {
		return fail("CreateContainerError", err)
	}
	s.countRestart(w, seen, name)
	id, err := s.runtime.CreateContainer(ctx, sandbox.ID, config)
	if err != nil {
		w.mu.Lock()
		w.stale = true
		w.mu.Unlock()
		return fail("CreateContainerError", err)
	}
	s.event(pod, name, corev1.EventTypeNormal, "Created", "Container created")
	w.mu.Lock()
	w.current(name, id)
	w.mu.Unlock()
	if err := s.runtime.StartContainer(ctx, id); err != nil {
		return fail("RunContainerError", err)
	}
	s.event(pod, name, corev1.EventTypeNormal, "Started", "Container started")
	return s.postStart(ctx, w, pod, sandbox, l.spec, id)
}

// removeOld keeps the newest ended container of a name, for its log and its last state, and removes the others, and what
// was made but never started.
func (s *session) removeOld(ctx context.Context, seen *observation, name string) error {
	kept := false
	for _, old := range seen.containers[name] {
		if old.State == runtime.Exited && !kept {
			kept = true
			continue
		}
		if err := s.runtime.RemoveContainer(ctx, old.ID); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return fmt.Errorf("remove an old container: %w", err)
		}
	}
	return nil
}

// countRestart makes the next restart wait longer, when this is one.
func (s *session) countRestart(w *worker, seen *observation, name string) {
	if latest := seen.latest(name); latest != nil && latest.State == runtime.Exited {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.state(name).restart.next(latest.EndedAt, time.Now())
	}
}

// killContainer runs the preStop hook, then stops a container within the grace period.
func (s *session) killContainer(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, v victim) error {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	if v.grace != nil {
		grace = *v.grace
	}
	s.event(pod, v.container.Name, corev1.EventTypeNormal, "Killing", "%s", v.message)
	return s.stopContainer(ctx, w, pod, sandbox, v.spec, v.container.ID, grace)
}

// stopContainer is the end of one container: hook, signal, and after the grace period the kill.
func (s *session) stopContainer(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, spec *corev1.Container, id string, grace int64) error {
	left := time.Duration(grace) * time.Second
	if grace > 0 && spec != nil && spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil {
		began := time.Now()
		s.preStop(ctx, w, pod, sandbox, spec, id, left)
		// However long the hook took, the container gets two seconds for its signal, as in Kubernetes.
		left = max(left-time.Since(began), 2*time.Second)
	}
	if err := s.runtime.StopContainer(ctx, id, left); err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	return nil
}
