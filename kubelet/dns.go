package kubelet

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// hostname is the pod's host name and, with a subdomain, the rest of its full name.
func (s *session) hostname(pod *corev1.Pod) (host, domain string) {
	if pod.Spec.HostnameOverride != nil && *pod.Spec.HostnameOverride != "" {
		return *pod.Spec.HostnameOverride, ""
	}
	host = pod.Name
	if pod.Spec.Hostname != "" {
		host = pod.Spec.Hostname
	}
	if len(host) > 63 { // the longest that Linux takes
		host = strings.TrimRight(host[:63], "-.")
	}
	if pod.Spec.Subdomain != "" {
		domain = pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + s.config.ClusterDomain
		if valueOr(pod.Spec.SetHostnameAsFQDN, false) && len(host)+1+len(domain) <= 64 {
			return host + "." + domain, ""
		}
	}
	return host, domain
}

// dns is the pod's resolver, by its policy.
func (s *session) dns(pod *corev1.Pod) runtime.DNSConfig {
	var config runtime.DNSConfig
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork || policy == corev1.DNSClusterFirst && len(s.config.ClusterDNS) == 0 {
		policy = corev1.DNSDefault
	}
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		config = s.config.NodeDNS
	default:
		config = s.clusterDNS(pod.Namespace)
	}
	if own := pod.Spec.DNSConfig; own != nil {
		config.Servers = unique(append(append([]string{}, config.Servers...), own.Nameservers...))
		config.Searches = unique(append(append([]string{}, config.Searches...), own.Searches...))
		config.Options = mergeOptions(config.Options, own.Options)
	}
	return config
}

// clusterDNS is the resolver of pods that ask the cluster's name server first; it is kept for the namespace of the last.
func (s *session) clusterDNS(namespace string) runtime.DNSConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dnsFor != namespace {
		cluster := s.config.ClusterDomain
		s.dnsFor, s.dnsKept = namespace, runtime.DNSConfig{
			Servers:  s.config.ClusterDNS,
			Searches: append([]string{namespace + ".svc." + cluster, "svc." + cluster, cluster}, s.config.NodeDNS.Searches...),
			Options:  []string{"ndots:5"},
		}
	}
	return s.dnsKept
}

// mergeOptions lets the pod's options replace those of the same name.
func mergeOptions(options []string, own []corev1.PodDNSConfigOption) []string {
	merged := append([]string{}, options...)
	for _, option := range own {
		text := option.Name
		if option.Value != nil {
			text += ":" + *option.Value
		}
		replaced := false
		for i, each := range merged {
			if name, _, _ := strings.Cut(each, ":"); name == option.Name {
				merged[i], replaced = text, true
			}
		}
		if !replaced {
			merged = append(merged, text)
		}
	}
	return merged
}

func unique(list []string) []string {
	seen := map[string]bool{}
	kept := list[:0]
	for _, each := range list {
		if !seen[each] {
			seen[each] = true
			kept = append(kept, each)
		}
	}
	return kept
}
