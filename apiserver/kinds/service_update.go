package kinds

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// A service has fields that say the same thing twice (clusterIP and clusterIPs), fields that the cluster fills in, and
// fields that only some types use. A user who changes one of them rarely changes the others, so an update begins by
// finding out what was meant. What is still contradictory after that, validation refuses.

// completeService does all of that. It may be done twice: the server allocates before it prepares an object.
func completeService(s, old *corev1.Service) {
	alignClusterIPs(s, old)
	if old != nil {
		keepAllocated(s, old)
		dropTypeDependent(s, old)
	}
	inferFamilies(s, old)
}

// alignClusterIPs makes clusterIPs follow clusterIP where the user changed only one of them.
func alignClusterIPs(s, old *corev1.Service) {
	one, all := s.Spec.ClusterIP, s.Spec.ClusterIPs
	if old == nil {
		if one != "" && len(all) == 0 {
			s.Spec.ClusterIPs = []string{one}
		}
		return
	}
	if len(old.Spec.ClusterIPs) > 0 && len(all) == 0 && one == old.Spec.ClusterIP {
		s.Spec.ClusterIPs = old.Spec.ClusterIPs
	}
	if one == old.Spec.ClusterIP || !slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
		return
	}
	if one == "" {
		s.Spec.ClusterIPs = nil
	} else {
		s.Spec.ClusterIPs = []string{one}
	}
}

// keepAllocated puts back what the cluster had handed out and the update leaves out, so that applying the same manifest
// twice changes nothing.
func keepAllocated(s, old *corev1.Service) {
	if needsClusterIP(old) && needsClusterIP(s) {
		setDefault(&s.Spec.ClusterIP, old.Spec.ClusterIP)
		if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP == old.Spec.ClusterIP {
			s.Spec.ClusterIPs = old.Spec.ClusterIPs
		}
	}
	if needsNodePort(old) && needsNodePort(s) {
		keepNodePorts(s, old)
	}
	if needsHealthCheck(old) && needsHealthCheck(s) {
		setDefault(&s.Spec.HealthCheckNodePort, old.Spec.HealthCheckNodePort)
	}
}

// keepNodePorts finds the ports by name. A node port that the user gave to another port is not used twice.
func keepNodePorts(s, old *corev1.Service) {
	byName, now := map[string]int32{}, map[int32]bool{}
	for _, p := range s.Spec.Ports {
		now[p.NodePort] = true
	}
	for _, p := range old.Spec.Ports {
		byName[p.Name] = p.NodePort
	}
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; p.NodePort == 0 && !now[byName[p.Name]] {
			p.NodePort = byName[p.Name]
			now[p.NodePort] = true
		}
	}
}

// dropTypeDependent clears what the new type does not use, unless the user changed it at the same time, which is a
// mistake for validation to name.
func dropTypeDependent(s, old *corev1.Service) {
	if needsClusterIP(old) && !needsClusterIP(s) {
		if s.Spec.ClusterIP == old.Spec.ClusterIP && slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
			s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
		}
		if slices.Equal(s.Spec.IPFamilies, old.Spec.IPFamilies) {
			s.Spec.IPFamilies = nil
		}
		if equality.Semantic.DeepEqual(s.Spec.IPFamilyPolicy, old.Spec.IPFamilyPolicy) {
			s.Spec.IPFamilyPolicy = nil
		}
	}
	if needsNodePort(old) && !needsNodePort(s) && addsNoNodePorts(s, old) {
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = 0
		}
	}
	if needsHealthCheck(old) && !needsHealthCheck(s) && s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
		s.Spec.HealthCheckNodePort = 0
	}
	if old.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		if equality.Semantic.DeepEqual(s.Spec.AllocateLoadBalancerNodePorts, old.Spec.AllocateLoadBalancerNodePorts) {
			s.Spec.AllocateLoadBalancerNodePorts = nil
		}
		if equality.Semantic.DeepEqual(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
			s.Spec.LoadBalancerClass = nil
		}
	}
	if externallyAccessible(old) && !externallyAccessible(s) && s.Spec.ExternalTrafficPolicy == old.Spec.ExternalTrafficPolicy {
		s.Spec.ExternalTrafficPolicy = ""
	}
}

func addsNoNodePorts(s, old *corev1.Service) bool {
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 && !slices.ContainsFunc(old.Spec.Ports, func(o corev1.ServicePort) bool { return o.NodePort == p.NodePort }) {
			return false
		}
	}
	return true
}
