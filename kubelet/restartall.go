package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
	"kubette/loop"
)

// A container may say, by a rule with the action RestartAllContainers, that its end with certain exit codes starts the
// whole pod over in place (KEP-5532): all containers are stopped without their preStop hooks and removed, and the pod
// begins again with its init containers, in the same sandbox, with the same address and volumes. The condition
// AllContainersRestarting is true meanwhile, and is what a kubelet that was restarted goes on from.

// ruleFor returns the action of the first restart rule that an exit code meets, or "".
func ruleFor(spec *corev1.Container, exitCode int) corev1.ContainerRestartRuleAction {
	for _, rule := range spec.RestartPolicyRules {
		if rule.ExitCodes != nil && matches(rule.ExitCodes, exitCode) {
			return rule.Action
		}
	}
	return ""
}

// mayRestartAll says whether any container of a pod has such a rule.
func mayRestartAll(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for _, rule := range list[i].RestartPolicyRules {
				if rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
	}
	return false
}

// restartsAll says whether a pod is being started over, and by the end of which container, if that can still be seen.
func restartsAll(pod *corev1.Pod, seen *observation) (restarting bool, source *corev1.Container) {
	if len(seen.containers) == 0 || !mayRestartAll(pod) {
		return false, nil
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			latest := seen.latest(list[i].Name)
			if latest != nil && latest.State == runtime.Exited &&
				ruleFor(&list[i], latest.ExitCode) == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true, &list[i]
			}
		}
	}
	return conditionTrue(&pod.Status, corev1.AllContainersRestarting), nil
}

// restartingCondition tells of it.
func restartingCondition(pod *corev1.Pod, status *corev1.PodStatus, seen *observation) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.AllContainersRestarting, Status: corev1.ConditionFalse}
	if finishedReason(&c, status.Phase) {
		return c
	}
	if restarting, _ := restartsAll(pod, seen); restarting {
		c.Status, c.Reason, c.Message = corev1.ConditionTrue, "RestartAllContainersStarted", "container exited with restart policy rule"
	}
	return c
}

// planRestartAll asks for all containers to be removed, unless the one that began it crashes too often. It returns false
// for a pod that is not being started over. The worker's lock is held.
func (s *session) planRestartAll(p *plan, w *worker, pod *corev1.Pod, seen *observation, now time.Time) bool {
	restarting, source := restartsAll(pod, seen)
	if !restarting {
		return false
	}
	if source != nil && s.crashWait(p, w, pod, source, seen.latest(source.Name), now) {
		return true
	}
	p.reset, p.source = true, source
	return true
}

// reset stops all containers side by side, and when all have ended removes them.
func (s *session) reset(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation, source *corev1.Container) {
	loop.Say(ctx, "RestartAllContainers")
	if source != nil {
		s.countRestart(w, seen, source.Name)
	}
	var group sync.WaitGroup
	for name, list := range seen.containers {
		for _, c := range list {
			if c.State != runtime.Running {
				continue
			}
			group.Go(func() {
				v := victim{container: c, message: fmt.Sprintf("Container %s will be restarted with all containers of its pod", name)}
				if err := s.killContainer(ctx, w, pod, seen.sandbox, v); err != nil && ctx.Err() == nil {
					slog.Warn("a container could not be stopped", "pod", w.key, "container", name, "error", err)
				}
			})
		}
	}
	group.Wait()
	// How they ended is reported before they are gone.
	ended, err := s.observe(ctx, w, pod)
	if err == nil && !ended.running() {
		_, err = s.report(ctx, w, pod, s.status(w, pod, ended))
		for _, list := range ended.containers {
			for _, c := range list {
				if removed := s.runtime.RemoveContainer(ctx, c.ID); err == nil && !errors.Is(removed, runtime.ErrNotFound) {
					err = removed
				}
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		slog.Warn("the containers of a pod could not be removed for their restart", "pod", w.key, "error", err)
		sleep(ctx, time.Second) // before the loop tries again
	}
}
