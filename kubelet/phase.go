package kubelet

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// phase sums up a pod in one word, from the states of its containers. The rules are those of Kubernetes' kubelet.
func phase(pod *corev1.Pod, status *corev1.PodStatus) corev1.PodPhase {
	pending, failed := initPhase(pod, status)
	if failed {
		return corev1.PodFailed
	}
	var running, waiting, stopped, succeeded int
	for i := range status.ContainerStatuses {
		c := &status.ContainerStatuses[i]
		switch {
		case c.State.Running != nil:
			running++
		case c.State.Terminated != nil:
			stopped++
			if c.State.Terminated.ExitCode == 0 {
				succeeded++
			}
		case c.LastTerminationState.Terminated != nil:
			stopped++ // it waits to be started again
		default:
			waiting++
		}
	}
	if pending && pod.DeletionTimestamp == nil {
		return corev1.PodPending
	}
	switch {
	case waiting > 0:
		return corev1.PodPending
	case running > 0:
		return corev1.PodRunning
	case pod.DeletionTimestamp == nil && willRestart(pod, status):
		return corev1.PodRunning
	case stopped == succeeded:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

// willRestart says whether any ended container will be started again.
func willRestart(pod *corev1.Pod, status *corev1.PodStatus) bool {
	for i := range status.ContainerStatuses {
		c := &status.ContainerStatuses[i]
		if c.State.Terminated == nil {
			return true // it waits for its next start
		}
		if spec := containerOf(pod, c.Name); spec != nil && shouldRestart(pod, spec, int(c.State.Terminated.ExitCode)) {
			return true
		}
	}
	return false
}

// initPhase says whether the init containers are still at work, and whether one has failed for good.
func initPhase(pod *corev1.Pod, status *corev1.PodStatus) (pending, failed bool) {
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		c := findStatus(status, spec.Name)
		if isSidecar(spec) {
			pending = pending || c.Started == nil || !*c.Started && !anyBegun(status)
			continue
		}
		switch {
		case c.State.Terminated == nil:
			pending = pending || !anyBegun(status)
		case c.State.Terminated.ExitCode != 0:
			pending = true
			failed = failed || !shouldRestart(pod, spec, int(c.State.Terminated.ExitCode))
		}
	}
	return pending, failed
}

// anyBegun says that a regular container has been made, so the pod was initialised once.
func anyBegun(status *corev1.PodStatus) bool {
	for i := range status.ContainerStatuses {
		if status.ContainerStatuses[i].ContainerID != "" {
			return true
		}
	}
	return false
}

// deadlinePassed says that a pod was active for longer than activeDeadlineSeconds.
func deadlinePassed(pod *corev1.Pod, status *corev1.PodStatus) bool {
	if pod.Spec.ActiveDeadlineSeconds == nil || status.StartTime == nil {
		return false
	}
	return time.Since(status.StartTime.Time) >= time.Duration(*pod.Spec.ActiveDeadlineSeconds)*time.Second
}

// deadlineLeft is the time until then, 0 for none.
func deadlineLeft(pod *corev1.Pod) time.Duration {
	if pod.Spec.ActiveDeadlineSeconds == nil {
		return 0
	}
	start := time.Now()
	if pod.Status.StartTime != nil {
		start = pod.Status.StartTime.Time
	}
	return max(time.Until(start.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds)*time.Second)), time.Millisecond)
}

// endStatus is the last word on a pod that is being removed: containers that never ran, or whose end nobody saw, count as
// ended, and the phase is final.
func (s *session) endStatus(pod *corev1.Pod, status *corev1.PodStatus) {
	end := func(list []corev1.ContainerStatus) {
		for i := range list {
			if list[i].State.Terminated == nil && list[i].LastTerminationState.Terminated != nil {
				list[i].State = list[i].LastTerminationState
			}
			list[i].Ready = list[i].Ready && list[i].State.Terminated != nil
			if list[i].State.Terminated == nil {
				list[i].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					Reason: "ContainerStatusUnknown", ExitCode: 137,
					Message: "The container could not be located when the pod was terminated",
				}}
			}
		}
	}
	end(status.InitContainerStatuses)
	end(status.ContainerStatuses)
	if podFinished(pod) {
		return
	}
	status.Phase = corev1.PodSucceeded
	for i := range status.ContainerStatuses {
		if status.ContainerStatuses[i].State.Terminated.ExitCode != 0 {
			status.Phase = corev1.PodFailed
		}
	}
	setConditions(pod, status, &observation{}, time.Now())
}
