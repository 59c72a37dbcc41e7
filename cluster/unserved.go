package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kubette/apiserver"
	"kubette/network"
)

// unserved is an admission step that warns of what this cluster stores but does not act on, in a Warning header: on
// another cluster it may matter, so it is not refused.
type unserved struct{ runtime, externalIPs string }

// Name implements apiserver.Admission.
func (unserved) Name() string { return "KubetteUnserved" }

// Admit implements apiserver.Admission. It changes nothing: here is still to be seen what the API server is about to forget.
func (unserved) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Warn == nil || r.Attributes.Subresource != "" || r.Operation != "CREATE" {
		return nil
	}
	for i := range pod.Spec.Containers {
		if lifecycle := pod.Spec.Containers[i].Lifecycle; lifecycle != nil && lifecycle.StopSignal != nil {
			r.Warn(fmt.Sprintf("spec.containers[%d].lifecycle.stopSignal: forgotten, as by Kubernetes v1.37 unless its feature gate ContainerStopSignals is turned on", i))
		}
	}
	return nil
}

// Validate implements apiserver.Admission. It never refuses.
func (u unserved) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	if r.Warn == nil || r.Attributes.Subresource != "" || r.Operation != "CREATE" && r.Operation != "UPDATE" {
		return nil
	}
	switch object := r.Object.(type) {
	case *networkingv1.NetworkPolicy:
		if u.runtime == RuntimeDocker {
			r.Warn(network.NotEnforced)
		}
	case *networkingv1.Ingress:
		for _, text := range network.Unserved(object) {
			r.Warn(text)
		}
	case *corev1.Service:
		u.service(object, r.Warn)
	}
	return nil
}

func (u unserved) service(service *corev1.Service, warn func(string)) {
	if len(service.Spec.ExternalIPs) > 0 && u.externalIPs == ExternalIPsInside && u.runtime == RuntimeDocker {
		warn("spec.externalIPs: not opened on this machine, and containers reach the service by its name and cluster address only: " +
			"kubette up --external-ips=open opens those addresses that this machine has")
	}
	for _, port := range service.Spec.Ports {
		if port.Protocol == corev1.ProtocolSCTP {
			warn(fmt.Sprintf("spec.ports: port %d: kubette does not carry SCTP", port.Port))
		}
	}
	if len(service.Spec.LoadBalancerSourceRanges) > 0 {
		warn("spec.loadBalancerSourceRanges: kubette's load balancer is on this machine's loopback, where every client is 127.0.0.1")
	}
}
