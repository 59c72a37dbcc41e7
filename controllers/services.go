package controllers

import (
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
)

// ServicesOf returns the services whose selector takes a pod.
func ServicesOf(services client.Informer[*corev1.Service], pod *corev1.Pod) []*corev1.Service {
	if len(pod.Labels) == 0 {
		return nil
	}
	return slices.DeleteFunc(services.List(pod.Namespace, nil), func(service *corev1.Service) bool {
		return len(service.Spec.Selector) == 0 || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels))
	})
}

// HandleServicePods calls a function for each service that a change of a pod concerns: one that takes it, or took it
// before. Changes that no service can see, such as a container's restart count, are passed over.
func HandleServicePods(pods client.Informer[*corev1.Pod], services client.Informer[*corev1.Service], ask func(*corev1.Service, string)) {
	tell := func(pod *corev1.Pod, what string) {
		for _, service := range ServicesOf(services, pod) {
			ask(service, Cause("pods", pod, what))
		}
	}
	pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { tell(pod, "added") },
		Update: func(old, pod *corev1.Pod) {
			relabelled := !maps.Equal(old.Labels, pod.Labels)
			if !relabelled && sameEndpoint(old, pod) {
				return
			}
			if relabelled {
				tell(old, "relabelled")
			}
			tell(pod, "changed")
		},
		Delete: func(pod *corev1.Pod) { tell(pod, "deleted") },
	})
}

// sameEndpoint says whether two versions of a pod look alike to a service.
func sameEndpoint(a, b *corev1.Pod) bool {
	return a.ResourceVersion == b.ResourceVersion ||
		(a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) && IsReady(a) == IsReady(b) &&
			IsFinished(a) == IsFinished(b) && a.Status.PodIP == b.Status.PodIP && slices.Equal(a.Status.PodIPs, b.Status.PodIPs) &&
			a.Spec.NodeName == b.Spec.NodeName && a.Spec.Hostname == b.Spec.Hostname && a.Spec.Subdomain == b.Spec.Subdomain
}

// IsEndpoint says whether a pod has an address that a service may list; one on its way out only when terminating is true.
func IsEndpoint(pod *corev1.Pod, terminating bool) bool {
	return !IsFinished(pod) && (terminating || pod.DeletionTimestamp == nil) &&
		(pod.Status.PodIP != "" || len(pod.Status.PodIPs) > 0)
}

// EndpointHostname is the name under which DNS knows a pod within a headless service, or "".
func EndpointHostname(pod *corev1.Pod, service *corev1.Service) string {
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == service.Name && pod.Namespace == service.Namespace {
		return pod.Spec.Hostname
	}
	return ""
}

// TargetPort finds the port of a pod that a service's port leads to; a named one is looked up in the pod's containers.
func TargetPort(pod *corev1.Pod, port *corev1.ServicePort) (int32, bool) {
	name := port.TargetPort.StrVal
	if name == "" {
		return port.TargetPort.IntVal, true
	}
	find := func(containers []corev1.Container, sidecarsOnly bool) (int32, bool) {
		for _, container := range containers {
			if sidecarsOnly && !IsSidecar(&container) {
				continue
			}
			for _, candidate := range container.Ports {
				if candidate.Name == name && candidate.Protocol == port.Protocol {
					return candidate.ContainerPort, true
				}
			}
		}
		return 0, false
	}
	if number, ok := find(pod.Spec.Containers, false); ok {
		return number, true
	}
	return find(pod.Spec.InitContainers, true)
}

// NamesTargetPorts says whether a service's ports depend on the pod. When they do not, one look at them serves all pods.
func NamesTargetPorts(service *corev1.Service) bool {
	return slices.ContainsFunc(service.Spec.Ports, func(port corev1.ServicePort) bool { return port.TargetPort.StrVal != "" })
}

// TriggerTimes remembers when pods and services last changed, so that what is written because of that can say since when
// it is due (the annotation endpoints.kubernetes.io/last-change-trigger-time, from which the delay of the network is
// measured). The zero value is ready.
type TriggerTimes struct {
	mu    sync.Mutex
	byKey map[string]*triggers
}

type triggers struct {
	service time.Time
	pods    map[string]time.Time
}

// Oldest returns the earliest change since the last call for a service: its creation, or a pod's turn between ready and
// not ready. It is zero when there was none.
func (t *TriggerTimes) Oldest(key string, service *corev1.Service, pods []*corev1.Pod) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = map[string]*triggers{}
	}
	before, known := t.byKey[key]
	if !known {
		before = &triggers{}
	}
	now := &triggers{service: service.CreationTimestamp.Truncate(time.Second), pods: make(map[string]time.Time, len(pods))}
	oldest := time.Time{}
	note := func(at time.Time) {
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	for _, pod := range pods {
		ready := PodCondition(&pod.Status, corev1.PodReady)
		if ready == nil || ready.LastTransitionTime.IsZero() {
			continue
		}
		at := ready.LastTransitionTime.Truncate(time.Second) // as precise as the API tells it
		if at.After(before.pods[pod.Name]) {
			note(at)
		}
		now.pods[pod.Name] = at
	}
	if now.service.After(before.service) {
		note(now.service)
	}
	t.byKey[key] = now
	return oldest
}

// Forget drops what is known of a service that is gone.
func (t *TriggerTimes) Forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byKey, key)
}
