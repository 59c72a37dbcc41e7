package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/kubelet/runtime"
	"kubette/loop"
)

// terminate ends a pod that the API wants deleted: stop what runs within the grace period, report how it ended, remove
// everything, and last tell the API that nothing is left.
func (s *session) terminate(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation) (time.Duration, error) {
	if w.deleted {
		return 0, nil // others hold the object by finalizers
	}
	s.probes.ending(w)
	grace := int64(0)
	if pod.DeletionGracePeriodSeconds != nil {
		grace = *pod.DeletionGracePeriodSeconds
	}
	seen, done, err := s.stopAll(ctx, w, pod, seen, max(grace, 1), "Stopping container %s")
	if err != nil {
		return 0, err
	}
	status := s.status(w, pod, seen)
	if !done {
		if !phaseFinished(pod.Status.Phase) && phaseFinished(status.Phase) {
			status.Phase = pod.Status.Phase
		}
		_, err := s.report(ctx, w, pod, status)
		return 0, err
	}
	s.endStatus(pod, status)
	if pod, err = s.report(ctx, w, pod, status); err != nil {
		return 0, err
	}
	if err := s.removeAll(ctx, w, seen); err != nil {
		return 0, err
	}
	loop.Say(ctx, "NothingLeft")
	zero := int64(0)
	err = client.Of[*corev1.Pod](s.client).Delete(ctx, w.key.namespace, w.key.name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &w.key.uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return 0, fmt.Errorf("tell the API that pod %s is gone: %w", w.key, err)
	}
	w.deleted = true
	return 0, nil
}

// finish ends a pod that has run to its end (or past its deadline): what still runs is stopped, its address is freed, and
// its containers stay for their logs until the pod is deleted.
func (s *session) finish(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation) (time.Duration, error) {
	grace := graceOf(pod)
	if w.eviction() != nil {
		grace = 1 // the node needs the room now
	}
	seen, done, err := s.stopAll(ctx, w, pod, seen, grace, "Stopping container %s")
	if err != nil {
		return 0, err
	}
	s.probes.stop(w)
	if podFinished(pod) && (!done || !seen.any) {
		return 0, nil // the API knows the end already; it is not looked for again
	}
	status := s.status(w, pod, seen)
	if !done {
		status.Phase = pod.Status.Phase
	}
	if _, err := s.report(ctx, w, pod, status); err != nil {
		return 0, err
	}
	s.retryDeferred()
	if done && seen.up() {
		if err := s.runtime.StopPodSandbox(ctx, seen.sandbox.ID); err != nil {
			return 0, fmt.Errorf("stop the sandbox of pod %s: %w", w.key, err)
		}
		w.mu.Lock()
		w.stale = true
		w.mu.Unlock()
	}
	return 0, nil
}

// cleanUp ends what is left of a pod that the API no longer knows.
func (s *session) cleanUp(ctx context.Context, w *worker) (time.Duration, error) {
	w.mu.Lock()
	pod := w.latest
	w.mu.Unlock()
	if pod == nil {
		// Left by an earlier life of this kubelet: all that is known is its name.
		pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.namespace, Name: w.key.name, UID: w.key.uid}}
	}
	seen, err := s.observe(ctx, w, pod)
	if err != nil {
		return 0, fmt.Errorf("ask the runtime about pod %s: %w", w.key, err)
	}
	// It was deleted by force, so nobody waits for it: a second is enough.
	seen, done, err := s.stopAll(ctx, w, pod, seen, 1, "Stopping container %s")
	if err != nil || !done {
		return 0, err
	}
	if err := s.removeAll(ctx, w, seen); err != nil {
		return 0, err
	}
	s.mu.Lock()
	delete(s.workers, w.key.uid)
	s.mu.Unlock()
	s.retryDeferred()
	return 0, nil
}

// graceOf is the pod's own grace period in seconds.
func graceOf(pod *corev1.Pod) int64 {
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		return *pod.Spec.TerminationGracePeriodSeconds
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

// stopAll stops every running container of a pod. It says whether nothing runs any more.
func (s *session) stopAll(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation, grace int64, message string) (*observation, bool, error) {
	if op := w.busy(); op != nil {
		// A start under way is given up; a stop under way goes on unless less time is given now.
		if op.name != "kill" || grace < op.grace {
			op.cancel()
		}
		return seen, false, nil
	}
	if seen.running() {
		loop.Say(ctx, "Stop", "graceSeconds", grace)
		s.begin(ctx, w, "kill", grace, func(ctx context.Context) { s.killPod(ctx, w, pod, seen, grace, message) })
		if w.busy() != nil {
			return seen, false, nil
		}
		again, err := s.observe(ctx, w, pod)
		if err != nil {
			return seen, false, err
		}
		seen = again
	}
	return seen, !seen.running(), nil
}

// killPod stops the containers side by side, then the sidecars one after another in reverse order, so that each outlives
// what may need it.
func (s *session) killPod(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation, grace int64, message string) {
	deadline := time.Now().Add(time.Duration(grace) * time.Second)
	stop := func(name string) {
		for _, c := range seen.containers[name] {
			if c.State != runtime.Running {
				continue
			}
			s.event(pod, name, corev1.EventTypeNormal, "Killing", message, name)
			left := max(int64(time.Until(deadline).Round(time.Second)/time.Second), 0)
			if err := s.stopContainer(ctx, w, pod, seen.sandbox, containerOf(pod, name), c.ID, left); err != nil && ctx.Err() == nil {
				slog.Warn("a container could not be stopped", "pod", w.key, "container", name, "error", err)
				sleep(ctx, time.Second) // before the loop tries again
			}
		}
	}
	var sidecars []string
	for i := range pod.Spec.InitContainers {
		if spec := &pod.Spec.InitContainers[i]; isSidecar(spec) {
			sidecars = append(sidecars, spec.Name)
		}
	}
	var group sync.WaitGroup
	for name := range seen.containers {
		if !slices.Contains(sidecars, name) {
			group.Go(func() { stop(name) })
		}
	}
	group.Wait()
	for _, name := range slices.Backward(sidecars) {
		if ctx.Err() == nil {
			stop(name)
		}
	}
}

// removeAll removes a pod's containers, sandboxes and volumes.
func (s *session) removeAll(ctx context.Context, w *worker, seen *observation) error {
	s.probes.stop(w)
	s.refs.release(w)
	if !seen.any {
		return s.removeVolumes(ctx, w)
	}
	for _, list := range seen.containers {
		for _, c := range list {
			if err := s.runtime.RemoveContainer(ctx, c.ID); err != nil && !errors.Is(err, runtime.ErrNotFound) {
				return fmt.Errorf("remove container %s of pod %s: %w", c.Name, w.key, err)
			}
		}
	}
	// A pod whose sandbox was replaced has more than one.
	sandboxes := []string{}
	if seen.sandbox != nil && seen.sandbox.Attempt == 0 {
		sandboxes = append(sandboxes, seen.sandbox.ID)
	} else {
		all, err := s.runtime.ListPodSandboxes(ctx)
		if err != nil {
			return err
		}
		for _, sandbox := range all {
			if sandbox.UID == string(w.key.uid) {
				sandboxes = append(sandboxes, sandbox.ID)
			}
		}
	}
	for _, id := range sandboxes {
		if err := s.runtime.StopPodSandbox(ctx, id); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return fmt.Errorf("stop the sandbox of pod %s: %w", w.key, err)
		}
		if err := s.runtime.RemovePodSandbox(ctx, id); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return fmt.Errorf("remove the sandbox of pod %s: %w", w.key, err)
		}
	}
	w.mu.Lock()
	w.sandbox, w.stale = nil, false
	w.mu.Unlock()
	return s.removeVolumes(ctx, w)
}

// removeVolumes removes what was written for the pod.
func (s *session) removeVolumes(ctx context.Context, w *worker) error {
	if err := s.runtime.RemoveVolumes(ctx, string(w.key.uid)); err != nil {
		return fmt.Errorf("remove the volumes of pod %s: %w", w.key, err)
	}
	w.mu.Lock()
	w.volumes, w.tokens = nil, nil
	w.mu.Unlock()
	return nil
}
