package kinds

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
)

func pod() *Kind {
	return Row[*corev1.Pod]{
		Base: Kind{
			Version: "v1", Kind: "Pod", Plural: "pods", Singular: "pod", ShortNames: []string{"po"},
			Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true, ReturnDeleted: true,
			FieldNames: []string{"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
				"spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"},
			// Every kubelet wants the pods of its node.
			Index: "spec.nodeName", Indexed: func(object Object) string { return object.(*corev1.Pod).Spec.NodeName },
		},
		New:              func() *corev1.Pod { return &corev1.Pod{} },
		NewList:          func() runtime.Object { return &corev1.PodList{} },
		Default:          defaultPod,
		PrepareForCreate: preparePodForCreate,
		PrepareForUpdate: func(pod, old *corev1.Pod) {
			pod.Status = old.Status
			dropDisabledFields(&pod.Spec)
			raiseGeneration(pod, old, pod.Spec, old.Spec)
		},
		Validate:       validatePod,
		ValidateUpdate: validatePodUpdate,
		Warnings:       podWarnings,
		HasStatus:      true,
		PrepareStatus:  preparePodStatus,
		ValidateStatus: validatePodStatus,
		Grace:          podGrace,
		Fields:         podFields,
		Columns:        podColumns(),
		Cells:          podCells,
	}.Kind()
}

func defaultPod(pod *corev1.Pod) {
	for c := range allContainers(&pod.Spec) {
		defaultRequests(&c.Resources)
	}
	defaultPodResources(pod)
	setDefaultPointer(&pod.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	setDefault(&pod.Status.Phase, corev1.PodPending)
	defaultPodSpec(&pod.Spec)
	if *pod.Spec.TerminationGracePeriodSeconds < 0 {
		*pod.Spec.TerminationGracePeriodSeconds = 1
	}
	defaultHostPorts(&pod.Spec)
}

func preparePodForCreate(pod *corev1.Pod) {
	pod.Generation = 1
	dropDisabledFields(&pod.Spec)
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: podQOS(&pod.Spec)}
	if len(pod.Spec.SchedulingGates) > 0 {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates", LastTransitionTime: metav1.Now(),
		}}
	}
	applyMatchLabelKeys(pod)
}

// preparePodStatus keeps all but the status. The quality of service is decided at creation, and a status that leaves out
// the generation it was made for keeps the one known.
func preparePodStatus(pod, old *corev1.Pod) {
	pod.Spec = old.Spec
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = old.DeletionTimestamp, old.DeletionGracePeriodSeconds
	pod.OwnerReferences = old.OwnerReferences
	setDefault(&pod.Status.QOSClass, old.Status.QOSClass)
	setDefault(&pod.Status.ObservedGeneration, old.Status.ObservedGeneration)
}

// podGrace: a pod that no kubelet runs, or that has finished, goes at once; any other gets the time its spec gives unless
// the deletion asks for another.
func podGrace(pod *corev1.Pod, asked *int64) int64 {
	var grace int64
	switch {
	case pod.Spec.NodeName == "" || podFinished(pod):
		return 0
	case asked != nil:
		grace = *asked
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	if grace < 0 {
		return 1
	}
	return grace
}

func podFields(pod *corev1.Pod) fields.Set {
	ip := pod.Status.PodIP
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	return fields.Set{
		"spec.nodeName":            pod.Spec.NodeName,
		"spec.restartPolicy":       string(pod.Spec.RestartPolicy),
		"spec.schedulerName":       pod.Spec.SchedulerName,
		"spec.serviceAccountName":  pod.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(pod.Spec.HostNetwork),
		"status.phase":             string(pod.Status.Phase),
		"status.podIP":             ip,
		"status.nominatedNodeName": pod.Status.NominatedNodeName,
	}
}

func podColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		nameColumn(),
		column("Ready", "string", "The aggregate readiness state of this pod for accepting traffic."),
		column("Status", "string", "The aggregate status of the containers in this pod."),
		column("Restarts", "string", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
		ageColumn(),
		wideColumn("IP", "string", corev1.PodStatus{}.SwaggerDoc()["podIP"]),
		wideColumn("Node", "string", corev1.PodSpec{}.SwaggerDoc()["nodeName"]),
		wideColumn("Nominated Node", "string", corev1.PodStatus{}.SwaggerDoc()["nominatedNodeName"]),
		wideColumn("Readiness Gates", "string", corev1.PodSpec{}.SwaggerDoc()["readinessGates"]),
	}
}

func podCells(pod *corev1.Pod) []any {
	s := summarizePod(pod)
	restarts := strconv.Itoa(s.restarts)
	if s.restarts != 0 && !s.lastRestart.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.restarts, age(s.lastRestart))
	}
	gates := "<none>"
	if n := len(pod.Spec.ReadinessGates); n > 0 {
		open := 0
		for _, gate := range pod.Spec.ReadinessGates {
			if podConditionTrue(pod, gate.ConditionType) {
				open++
			}
		}
		gates = fmt.Sprintf("%d/%d", open, n)
	}
	ip := ""
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	return []any{pod.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, age(pod.CreationTimestamp),
		orNone(ip), orNone(pod.Spec.NodeName), orNone(pod.Status.NominatedNodeName), gates}
}

// podSummary is a pod in one line.
type podSummary struct {
	ready, total int
	reason       string // the STATUS column
	restarts     int
	lastRestart  metav1.Time
}

// summarizePod says in one word how a pod is. It begins with the phase and lets what is more particular override it: the
// pod's own reason, the first init container that is not done, the containers (the first in the spec counts most), and
// a deletion under way.
func summarizePod(pod *corev1.Pod) podSummary {
	s := podSummary{total: len(pod.Spec.Containers), reason: string(pod.Status.Phase)}
	if pod.Status.Reason != "" {
		s.reason = pod.Status.Reason
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated {
			s.reason = corev1.PodReasonSchedulingGated
		}
	}
	sidecars := s.initContainers(pod)
	if s.reason[:min(5, len(s.reason))] != "Init:" || podConditionTrue(pod, corev1.PodInitialized) {
		s.restarts, s.lastRestart = sidecars.restarts, sidecars.lastRestart
		s.containers(pod)
	}
	switch {
	case pod.DeletionTimestamp == nil:
	case pod.Status.Reason == "NodeLost":
		s.reason = "Unknown"
	case !podFinished(pod):
		s.reason = "Terminating"
	}
	return s
}

// initContainers counts the restarts of the init containers and, when one is not done, makes it the reason. It returns
// the restarts of the sidecars (init containers that go on), which count together with the containers later on.
func (s *podSummary) initContainers(pod *corev1.Pod) (sidecars podSummary) {
	sidecar := map[string]bool{}
	for _, c := range pod.Spec.InitContainers {
		if isSidecar(&c) {
			sidecar[c.Name] = true
			s.total++
		}
	}
	for i, c := range pod.Status.InitContainerStatuses {
		s.countRestarts(c)
		if sidecar[c.Name] {
			sidecars.countRestarts(c)
		}
		ended, waiting := c.State.Terminated, c.State.Waiting
		switch {
		case ended != nil && ended.ExitCode == 0:
			continue
		case sidecar[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case ended != nil:
			s.reason = "Init:" + endReason(ended)
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			s.reason = "Init:" + waiting.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(pod.Spec.InitContainers))
		}
		break
	}
	return sidecars
}

// containers goes through the containers from the last to the first, so that the first has the last word.
func (s *podSummary) containers(pod *corev1.Pod) {
	running := false
	for _, c := range slices.Backward(pod.Status.ContainerStatuses) {
		s.countRestarts(c)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			s.reason = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			s.reason = endReason(c.State.Terminated)
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason == "Completed" && running {
		s.reason = "NotReady"
		if podConditionTrue(pod, corev1.PodReady) {
			s.reason = "Running"
		}
	}
}

func (s *podSummary) countRestarts(c corev1.ContainerStatus) {
	s.restarts += int(c.RestartCount)
	if ended := c.LastTerminationState.Terminated; ended != nil && s.lastRestart.Before(&ended.FinishedAt) {
		s.lastRestart = ended.FinishedAt
	}
}

func endReason(ended *corev1.ContainerStateTerminated) string {
	switch {
	case ended.Reason != "":
		return ended.Reason
	case ended.Signal != 0:
		return fmt.Sprintf("Signal:%d", ended.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", ended.ExitCode)
}

// isSidecar says whether an init container keeps running beside the containers.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func podConditionTrue(pod *corev1.Pod, typ corev1.PodConditionType) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == typ {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
