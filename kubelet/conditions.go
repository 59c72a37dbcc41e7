package kubelet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// owned are the conditions that the kubelet writes, in the order in which it does; all others are kept as they are.
var owned = map[corev1.PodConditionType]bool{
	corev1.PodReadyToStartContainers: true, corev1.PodInitialized: true, corev1.PodReady: true, corev1.ContainersReady: true,
	corev1.PodScheduled: true, corev1.PodResizePending: true, corev1.PodResizeInProgress: true, corev1.AllContainersRestarting: true,
}

// setConditions works out the kubelet's conditions of a pod.
func setConditions(pod *corev1.Pod, status *corev1.PodStatus, seen *observation, now time.Time) {
	containers := containersReady(pod, status)
	conditions := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: truth(seen.up())},
		initializedCondition(pod, status),
		podReady(pod, status, containers),
		containers,
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	}
	if mayRestartAll(pod) {
		conditions = append(conditions, restartingCondition(pod, status, seen))
	}
	for i := range conditions {
		c := &conditions[i]
		c.ObservedGeneration = pod.Generation
		c.LastTransitionTime = stamp(now)
		for j := range pod.Status.Conditions {
			before := &pod.Status.Conditions[j]
			if before.Type != c.Type {
				continue
			}
			if c.Type == corev1.PodScheduled && before.Status == c.Status {
				*c = *before // the scheduler's word
			} else if before.Status == c.Status {
				c.LastTransitionTime = before.LastTransitionTime
			}
		}
	}
	status.Conditions = keepForeign(pod.Status.Conditions, conditions)
}

// scheduled is the scheduler's word alone, of a pod of which the kubelet has nothing to say.
func scheduled(conditions []corev1.PodCondition) []corev1.PodCondition {
	return slices.DeleteFunc(slices.Clone(conditions), func(c corev1.PodCondition) bool { return c.Type != corev1.PodScheduled })
}

// keepForeign adds the conditions of others that were there before.
func keepForeign(before, own []corev1.PodCondition) []corev1.PodCondition {
	kept := own
	for _, c := range before {
		if !owned[c.Type] && !has(own, c.Type) {
			kept = append(kept, c)
		}
	}
	return kept
}

func has(conditions []corev1.PodCondition, kind corev1.PodConditionType) bool {
	for i := range conditions {
		if conditions[i].Type == kind {
			return true
		}
	}
	return false
}

func conditionTrue(status *corev1.PodStatus, kind corev1.PodConditionType) bool {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

func truth(is bool) corev1.ConditionStatus {
	if is {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

func initializedCondition(pod *corev1.Pod, status *corev1.PodStatus) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if status.Phase == corev1.PodSucceeded {
		if len(pod.Spec.InitContainers) > 0 {
			c.Reason = "PodCompleted"
		}
		return c
	}
	if anyBegun(status) {
		return c
	}
	var incomplete []string
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		s := findStatus(status, spec.Name)
		done := s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
		if isSidecar(spec) {
			done = s.Started != nil && *s.Started
		}
		if !done {
			incomplete = append(incomplete, spec.Name)
		}
	}
	if len(incomplete) > 0 {
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotInitialized"
		c.Message = fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(incomplete, " "))
	}
	return c
}

// containersReady: every container, and every sidecar, is ready.
func containersReady(pod *corev1.Pod, status *corev1.PodStatus) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}
	if finishedReason(&c, status.Phase) {
		return c
	}
	var unready []string
	for i := range pod.Spec.InitContainers {
		if spec := &pod.Spec.InitContainers[i]; isSidecar(spec) && !findStatus(status, spec.Name).Ready {
			unready = append(unready, spec.Name)
		}
	}
	for i := range status.ContainerStatuses {
		if !status.ContainerStatuses[i].Ready {
			unready = append(unready, status.ContainerStatuses[i].Name)
		}
	}
	if len(unready) > 0 {
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
		c.Message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	return c
}

// finishedReason: a pod that has ended is not ready, and that is why.
func finishedReason(c *corev1.PodCondition, phase corev1.PodPhase) bool {
	switch phase {
	case corev1.PodSucceeded:
		c.Status, c.Reason = corev1.ConditionFalse, "PodCompleted"
	case corev1.PodFailed:
		c.Status, c.Reason = corev1.ConditionFalse, "PodFailed"
	default:
		return false
	}
	return true
}

// podReady: the containers are ready and so is what the readiness gates name.
func podReady(pod *corev1.Pod, status *corev1.PodStatus, containers corev1.PodCondition) corev1.PodCondition {
	c := containers
	c.Type = corev1.PodReady
	if containers.Status != corev1.ConditionTrue {
		return c
	}
	var missing []string
	for _, gate := range pod.Spec.ReadinessGates {
		state := ""
		for i := range pod.Status.Conditions {
			if pod.Status.Conditions[i].Type == gate.ConditionType {
				state = string(pod.Status.Conditions[i].Status)
			}
		}
		switch state {
		case string(corev1.ConditionTrue):
		case "":
			missing = append(missing, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		default:
			missing = append(missing, fmt.Sprintf("the status of pod readiness gate %q is not %q, but %s", gate.ConditionType, "True", state))
		}
	}
	if len(missing) > 0 {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ReadinessGatesNotReady", strings.Join(missing, ", ")
	}
	return c
}
