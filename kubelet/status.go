package kubelet

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/kubelet/runtime"
)

// status is what the kubelet reports of a pod: a function of its spec, of what the runtime says, of the probes, and of
// what was reported before where that cannot be seen any more.
func (s *session) status(w *worker, pod *corev1.Pod, seen *observation) *corev1.PodStatus {
	old := &pod.Status
	status := &corev1.PodStatus{
		ObservedGeneration: pod.Generation, QOSClass: old.QOSClass, StartTime: old.StartTime, Reason: old.Reason, Message: old.Message,
		NominatedNodeName: old.NominatedNodeName, ResourceClaimStatuses: old.ResourceClaimStatuses,
		HostIP: s.hostAddr, PodIP: old.PodIP, PodIPs: old.PodIPs,
	}
	if status.StartTime == nil {
		now := stamp(time.Now())
		status.StartTime = &now
	}
	if s.hostAddr != "" {
		status.HostIPs = []corev1.HostIP{{IP: s.hostAddr}}
	}
	switch {
	case pod.Spec.HostNetwork && s.hostAddr != "":
		status.PodIP, status.PodIPs = s.hostAddr, []corev1.PodIP{{IP: s.hostAddr}}
	case seen.up() && seen.sandbox.Address.IsValid():
		address := seen.sandbox.Address.String()
		status.PodIP, status.PodIPs = address, []corev1.PodIP{{IP: address}}
	case seen.sandbox == nil && !podFinished(pod):
		status.PodIP, status.PodIPs = "", nil
	}
	for i := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, s.containerStatus(w, pod, &pod.Spec.InitContainers[i], seen))
	}
	for i := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, s.containerStatus(w, pod, &pod.Spec.Containers[i], seen))
	}
	for i := range pod.Spec.EphemeralContainers {
		spec := (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses, s.containerStatus(w, pod, spec, seen))
	}
	s.setPhase(w, pod, status)
	setConditions(pod, status, seen, time.Now())
	if evicted := w.eviction(); evicted != nil && !podFinished(pod) {
		evicted.setEvicted(pod, status)
	}
	s.setResizeConditions(w, pod, status)
	return status
}

// setPhase decides the phase; a finished pod stays so.
func (s *session) setPhase(w *worker, pod *corev1.Pod, status *corev1.PodStatus) {
	switch {
	case podFinished(pod):
		status.Phase = pod.Status.Phase
	case w.eviction() != nil:
		status.Phase = corev1.PodFailed
	case deadlinePassed(pod, status):
		status.Phase, status.Reason = corev1.PodFailed, "DeadlineExceeded"
		status.Message = "Pod was active on the node longer than the specified deadline"
		if pod.Status.Reason != status.Reason {
			s.event(pod, "", corev1.EventTypeNormal, "DeadlineExceeded", "%s", status.Message)
		}
	default:
		status.Phase = phase(pod, status)
	}
}

// containerStatus reports one container.
func (s *session) containerStatus(w *worker, pod *corev1.Pod, spec *corev1.Container, seen *observation) corev1.ContainerStatus {
	before := findStatus(&pod.Status, spec.Name)
	latest, previous := seen.latest(spec.Name), seen.previous(spec.Name)
	if latest != nil && before != nil && int32(latest.Attempt) < before.RestartCount {
		latest, previous = nil, latest // the newest was removed by somebody else, this is an older one
	}
	no := false
	status := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, Started: &no}
	if latest == nil {
		s.absent(pod, &status, before)
	} else {
		status.RestartCount = int32(latest.Attempt)
		status.ContainerID = s.containerID(latest.ID)
		status.Image, status.ImageID = s.images.names(latest, before, status.ContainerID)
		if before != nil && previous != nil && previous.Attempt+1 < latest.Attempt {
			status.LastTerminationState = before.LastTerminationState
		} else if previous != nil && previous.State == runtime.Exited {
			status.LastTerminationState.Terminated = s.terminated(w, pod, spec, previous, before)
		} else if before != nil && latest.Attempt > 0 { // the one before was removed
			status.LastTerminationState = before.LastTerminationState
			if before.State.Terminated != nil && before.State.Terminated.ContainerID != status.ContainerID {
				status.LastTerminationState = before.State
			}
		}
	}
	w.mu.Lock()
	c := *w.state(spec.Name)
	w.mu.Unlock()
	switch {
	case latest == nil:
	case latest.State == runtime.Running:
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: stamp(latest.StartedAt)}
		started := spec.StartupProbe == nil || c.started
		if !isInit(pod, spec.Name) || isSidecar(spec) {
			status.Started = &started
			status.Ready = started && (spec.ReadinessProbe == nil || c.ready)
		}
	case latest.State == runtime.Exited:
		status.State.Terminated = s.terminated(w, pod, spec, latest, before)
		status.Ready = latest.ExitCode == 0 && isInit(pod, spec.Name) && !isSidecar(spec)
	default:
		status.State.Waiting = waitingToStart(pod)
	}
	if c.waiting != nil && s.waits(pod, spec, latest) {
		if t := status.State.Terminated; t != nil {
			status.LastTerminationState = corev1.ContainerState{Terminated: t}
		}
		status.State, status.Ready = corev1.ContainerState{Waiting: c.waiting}, false
	}
	if isEphemeral(pod, spec.Name) {
		status.Ready, status.Started = false, nil
	}
	s.describe(&status, &c, pod, spec, latest)
	return status
}

// waits says whether a container that has a waiting reason is indeed to be started.
func (s *session) waits(pod *corev1.Pod, spec *corev1.Container, latest *runtime.Container) bool {
	switch {
	case podFinished(pod) || pod.DeletionTimestamp != nil:
		return latest == nil
	case latest == nil || latest.State == runtime.Created:
		return true
	}
	return latest.State == runtime.Exited && (shouldRestart(pod, spec, latest.ExitCode) || isSidecar(spec))
}

// absent reports a container that the runtime does not have: not made yet, or removed by somebody else.
func (s *session) absent(pod *corev1.Pod, status, before *corev1.ContainerStatus) {
	status.State.Waiting = waitingToStart(pod)
	if before == nil {
		return
	}
	status.RestartCount, status.LastTerminationState = before.RestartCount, before.LastTerminationState
	switch {
	case before.State.Terminated != nil:
		// Init containers that have done their work may be cleaned up; so may a whole finished pod.
		status.State, status.Ready = before.State, before.Ready
		status.ContainerID, status.Image, status.ImageID = before.ContainerID, before.Image, before.ImageID
	case before.State.Running != nil:
		lost := &corev1.ContainerStateTerminated{
			Reason: "ContainerStatusUnknown", ExitCode: 137, StartedAt: before.State.Running.StartedAt, FinishedAt: stamp(time.Now()),
			Message:     "The container could not be located when the pod was deleted.  The container used to be Running",
			ContainerID: before.ContainerID,
		}
		status.LastTerminationState = corev1.ContainerState{Terminated: lost}
		status.ContainerID = before.ContainerID
	case before.State.Waiting != nil && before.ContainerID != "":
		status.ContainerID = before.ContainerID
	}
}

// terminated reports an ended container; what was reported of it before is kept.
func (s *session) terminated(w *worker, pod *corev1.Pod, spec *corev1.Container, c *runtime.Container, before *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	id := s.containerID(c.ID)
	if before != nil {
		for _, told := range []*corev1.ContainerStateTerminated{before.State.Terminated, before.LastTerminationState.Terminated} {
			if told != nil && told.ContainerID == id && told.Reason != "ContainerStatusUnknown" {
				return told
			}
		}
	}
	t := &corev1.ContainerStateTerminated{
		ExitCode: int32(c.ExitCode), StartedAt: stamp(c.StartedAt), FinishedAt: stamp(c.EndedAt), ContainerID: id,
	}
	switch {
	case c.Error != "":
		t.Reason, t.Message, t.StartedAt = "StartError", c.Error, metav1.Unix(0, 0)
		if c.ExitCode == 126 || c.ExitCode == 127 {
			t.Reason = "ContainerCannotRun" // as Docker's own engine answers
		}
	case c.OOMKilled:
		t.Reason = "OOMKilled"
	case c.ExitCode == 0:
		t.Reason = "Completed"
	default:
		t.Reason = "Error"
	}
	if t.Message == "" {
		t.Message = s.terminationMessage(w, spec, c)
	}
	return t
}

// Limits of a termination message, from Kubernetes' kubelet.
const (
	messageLimit    = 4096
	logMessageLimit = 2048
	logMessageLines = 80
)

// terminationMessage is what a container left in its message file, or the end of its log where its policy says so.
func (s *session) terminationMessage(w *worker, spec *corev1.Container, c *runtime.Container) string {
	w.mu.Lock()
	remembered := w.state(spec.Name)
	if remembered.id == c.ID && remembered.message != nil {
		defer w.mu.Unlock()
		return *remembered.message
	}
	w.mu.Unlock()
	message := s.readMessage(s.ctx, spec, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	if remembered := w.state(spec.Name); remembered.id == c.ID {
		remembered.message = &message
	}
	return message
}

func (s *session) readMessage(ctx context.Context, spec *corev1.Container, c *runtime.Container) string {
	if spec.TerminationMessagePath != "" {
		if data, err := s.runtime.ReadFile(ctx, c.ID, spec.TerminationMessagePath, messageLimit); err == nil && len(data) > 0 {
			return string(data)
		}
	}
	if spec.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || c.ExitCode == 0 {
		return ""
	}
	var tail strings.Builder
	if err := s.runtime.Logs(ctx, c.ID, runtime.LogOptions{Tail: logMessageLines}, &tail, &tail); err != nil {
		return ""
	}
	text := tail.String()
	if len(text) > logMessageLimit {
		text = text[len(text)-logMessageLimit:]
	}
	return text
}

// describe adds what a container was given: resources, mounts, user.
func (s *session) describe(status *corev1.ContainerStatus, c *containerState, pod *corev1.Pod, spec *corev1.Container, latest *runtime.Container) {
	for _, mount := range spec.VolumeMounts {
		m := corev1.VolumeMountStatus{Name: mount.Name, MountPath: mount.MountPath, ReadOnly: mount.ReadOnly}
		if mount.ReadOnly {
			disabled := corev1.RecursiveReadOnlyDisabled
			m.RecursiveReadOnly = &disabled
		}
		status.VolumeMounts = append(status.VolumeMounts, m)
	}
	if isEphemeral(pod, spec.Name) {
		return
	}
	given := s.given(pod, spec, c)
	status.AllocatedResources = given.Requests
	if latest == nil || latest.State != runtime.Running {
		return
	}
	status.Resources = given
	status.User = userOf(pod, spec, s.images.user(latest.ImageID))
}

// userOf is the identity of a container's first process, where it is known as a number.
func userOf(pod *corev1.Pod, spec *corev1.Container, imageUser string) *corev1.ContainerUser {
	uid, gid := int64(0), int64(0)
	if imageUser != "" {
		user, group, _ := strings.Cut(imageUser, ":")
		number, err := strconv.ParseInt(user, 10, 64)
		if err != nil {
			return nil
		}
		uid = number
		if number, err := strconv.ParseInt(group, 10, 64); err == nil {
			gid = number
		}
	}
	groups := []int64{}
	if p := pod.Spec.SecurityContext; p != nil {
		uid, gid = valueOr(p.RunAsUser, uid), valueOr(p.RunAsGroup, gid)
		groups = append(groups, p.SupplementalGroups...)
		if p.FSGroup != nil {
			groups = append(groups, *p.FSGroup)
		}
	}
	if c := spec.SecurityContext; c != nil {
		uid, gid = valueOr(c.RunAsUser, uid), valueOr(c.RunAsGroup, gid)
	}
	return &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: uid, GID: gid, SupplementalGroups: append([]int64{gid}, groups...)}}
}

func valueOr[T any](pointer *T, otherwise T) T {
	if pointer != nil {
		return *pointer
	}
	return otherwise
}

func (k *Kubelet) containerID(id string) string { return k.runtimeName() + "://" + id }

func waitingToStart(pod *corev1.Pod) *corev1.ContainerStateWaiting {
	if len(pod.Spec.InitContainers) > 0 {
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

func isEphemeral(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return true
		}
	}
	return false
}

// findStatus finds a container's status of any kind.
func findStatus(status *corev1.PodStatus, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{status.ContainerStatuses, status.InitContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// sameStatus says that nothing worth telling has changed: both would be stored alike.
func (s *session) sameStatus(old, new *corev1.PodStatus) bool {
	size := old.Size()
	if old.Phase != new.Phase || len(old.Conditions) != len(new.Conditions) || size != new.Size() {
		return false
	}
	both, _ := s.scratch.Get().(*[]byte)
	if both == nil {
		both = &[]byte{}
	}
	defer s.scratch.Put(both)
	*both = slices.Grow((*both)[:0], 2*size)[:2*size]
	first, second := (*both)[:size], (*both)[size:]
	_, err := old.MarshalToSizedBuffer(first)
	if err == nil {
		_, err = new.MarshalToSizedBuffer(second)
	}
	return err == nil && bytes.Equal(first, second)
}

// stamp is a time as the API keeps it, in whole seconds.
func stamp(t time.Time) metav1.Time { return metav1.Time{Time: t.Truncate(time.Second)} }
