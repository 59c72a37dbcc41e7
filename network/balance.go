package network

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NoEndpointsError: a service has nothing to send a connection to.
type NoEndpointsError struct{ Namespace, Name, Port string }

func (e *NoEndpointsError) Error() string {
	return fmt.Sprintf("service %s/%s has no ready endpoints for port %s", e.Namespace, e.Name, e.Port)
}

// NoPortError: a service has no such port.
type NoPortError struct{ Namespace, Name, Port string }

func (e *NoPortError) Error() string {
	return fmt.Sprintf("service %s/%s has no port %s", e.Namespace, e.Name, e.Port)
}

// Port finds a port of the service by its number or name.
func (s *Service) Port(port intstr.IntOrString) (*corev1.ServicePort, error) {
	for i := range s.Object.Spec.Ports {
		p := &s.Object.Spec.Ports[i]
		if port.Type == intstr.Int && p.Port == port.IntVal || port.Type == intstr.String && p.Name == port.StrVal {
			return p, nil
		}
	}
	return nil, &NoPortError{s.Object.Namespace, s.Object.Name, port.String()}
}

// Candidates are the endpoints that a client's connections to a port may go to: those that are ready, or, when none is,
// those that are on their way out but still answer, as kube-proxy has it (KEP-1669). Pods are sent to their own node where
// the service asks for that; a client outside (from is no pod's address, or invalid) may go anywhere, because this one
// machine is all nodes at once.
func (s *Service) Candidates(port *corev1.ServicePort, from netip.Addr) []Endpoint {
	var ready, leaving []Endpoint
	for _, e := range s.Endpoints {
		switch {
		case e.PortName != port.Name || e.Protocol != port.Protocol:
		case e.Ready:
			ready = append(ready, e)
		case e.Serving && e.Terminating:
			leaving = append(leaving, e)
		}
	}
	internal := s.Object.Spec.InternalTrafficPolicy
	local := internal != nil && *internal == corev1.ServiceInternalTrafficPolicyLocal
	near := deref(s.Object.Spec.TrafficDistribution, "") == corev1.ServiceTrafficDistributionPreferSameNode
	if node := s.node(from); node != "" && (local || near) {
		here := func(e Endpoint) bool { return e.Node == node }
		readyHere := only(ready, here)
		switch {
		case local && len(readyHere) == 0:
			return only(leaving, here)
		case len(readyHere) > 0:
			return readyHere
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return leaving
}

// node is the node of a client, "" for one that is no pod.
func (s *Service) node(client netip.Addr) string {
	if s.nodeOf == nil || !client.IsValid() {
		return ""
	}
	return s.nodeOf(client)
}

func only(all []Endpoint, wanted func(Endpoint) bool) []Endpoint {
	var some []Endpoint
	for _, e := range all {
		if wanted(e) {
			some = append(some, e)
		}
	}
	return some
}

// Choose picks an endpoint for a new connection from a client: any, or with session affinity the one that the client had
// before. Kubernetes' default (iptables) mode chooses at random, too.
func (s *Service) Choose(port *corev1.ServicePort, from netip.Addr) (Endpoint, error) {
	ranked, err := s.Ranked(port, from)
	if err != nil {
		return Endpoint{}, err
	}
	return ranked[0], nil
}

// Ranked is Choose with the other candidates behind the chosen one, for when that cannot be reached.
func (s *Service) Ranked(port *corev1.ServicePort, from netip.Addr) ([]Endpoint, error) {
	candidates := s.Candidates(port, from)
	if len(candidates) == 0 {
		return nil, &NoEndpointsError{s.Object.Namespace, s.Object.Name, fmt.Sprint(port.Port)}
	}
	first := rand.IntN(len(candidates))
	if s.Object.Spec.SessionAffinity == corev1.ServiceAffinityClientIP && from.IsValid() {
		first = s.balance.sticky(from, candidates, s.stickTime())
	}
	candidates[0], candidates[first] = candidates[first], candidates[0]
	return candidates, nil
}

func (s *Service) stickTime() time.Duration {
	if config := s.Object.Spec.SessionAffinityConfig; config != nil && config.ClientIP != nil && config.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*config.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}

// balance remembers which client goes where; it outlives the rows of its service.
type balance struct {
	mu      sync.Mutex
	clients map[netip.Addr]visit
}

type visit struct {
	endpoint netip.AddrPort
	last     time.Time
}

func newBalance() *balance { return &balance{clients: map[netip.Addr]visit{}} }

// maxClients bounds what is remembered for a service.
const maxClients = 10000

// sticky returns the index of the candidate that the client had before, or of any.
func (b *balance) sticky(from netip.Addr, candidates []Endpoint, lasts time.Duration) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	chosen := rand.IntN(len(candidates))
	if known, ok := b.clients[from]; ok && now.Sub(known.last) < lasts {
		for i, candidate := range candidates {
			if candidate.Address == known.endpoint {
				chosen = i
			}
		}
	}
	if len(b.clients) >= maxClients {
		for client, v := range b.clients {
			if now.Sub(v.last) >= lasts {
				delete(b.clients, client)
			}
		}
		if len(b.clients) >= maxClients {
			clear(b.clients)
		}
	}
	b.clients[from] = visit{endpoint: candidates[chosen].Address, last: now}
	return chosen
}
