package kubelet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// postStart runs a container's hook after its start. A failed one costs the container its life.
func (s *session) postStart(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, spec *corev1.Container, id string) *startError {
	if spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil {
		if err := s.runHook(ctx, spec, sandbox, id, spec.Lifecycle.PostStart); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.event(pod, spec.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: %v", err)
			s.event(pod, spec.Name, corev1.EventTypeNormal, "Killing", "FailedPostStartHook")
			if err := s.stopContainer(ctx, w, pod, sandbox, spec, id, graceOf(pod)); err != nil {
				slog.Warn("a container whose hook failed could not be stopped", "pod", w.key, "container", spec.Name, "error", err)
			}
			return &startError{"PostStartHookError", fmt.Sprintf("PostStartHook failed: %v", err)}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current(spec.Name, id).postStarted = true
	return nil
}

// preStop runs a container's hook before its stop signal; the grace period bounds it.
func (s *session) preStop(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, spec *corev1.Container, id string, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := s.runHook(ctx, spec, sandbox, id, spec.Lifecycle.PreStop); err != nil {
		s.event(pod, spec.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
		slog.Debug("a preStop hook failed", "pod", w.key, "container", spec.Name, "error", err)
	}
}

// runHook does what a hook says: a command, a request, a wait.
func (s *session) runHook(ctx context.Context, spec *corev1.Container, sandbox *runtime.Sandbox, id string, hook *corev1.LifecycleHandler) error {
	switch {
	case hook.Sleep == nil && s.simulated(id):
		return nil
	case hook.Exec != nil:
		var output bytes.Buffer
		code, err := s.runtime.Exec(ctx, id, hook.Exec.Command, runtime.Streams{Stdout: &output, Stderr: &output})
		if err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("command '%s' exited with %d: %s", joined(hook.Exec.Command), code, shortened(output.String()))
		}
		return nil
	case hook.HTTPGet != nil:
		request, err := s.probeRequest(ctx, spec, sandbox, hook.HTTPGet)
		if err != nil {
			return err
		}
		request.Header.Set("User-Agent", "kube-lifecycle/"+userAgentVersion)
		answer, err := s.httpClient(sandbox, 0).Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, probeBodyLimit))
		if answer.StatusCode < 200 || answer.StatusCode >= 400 {
			return fmt.Errorf("HTTP request failed with statuscode: %d", answer.StatusCode)
		}
		return nil
	case hook.TCPSocket != nil:
		return fmt.Errorf("tcpSocket hooks are not supported, as in Kubernetes")
	case hook.Sleep != nil:
		if !sleep(ctx, time.Duration(hook.Sleep.Seconds)*time.Second) {
			return ctx.Err()
		}
		return nil
	}
	return fmt.Errorf("the hook says nothing to do")
}

// shortened cuts an output that goes into an event.
func shortened(text string) string {
	const limit = 1024
	if len(text) > limit {
		return text[:limit] + "..."
	}
	return text
}
