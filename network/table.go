package network

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Table says where each service leads. It is safe for concurrent use; a Follower keeps it up to date with the API.
type Table struct {
	// NodeOf says on which node the pod with an address is, "" for other addresses. Set it before the first use; nil
	// knows no nodes.
	NodeOf func(address netip.Addr) string
	// Traffic counts what goes to the services, in all that use this table.
	Traffic Traffic

	mu       sync.RWMutex
	services map[types.NamespacedName]*Service
	byIP     map[netip.Addr]*Service
	changed  chan struct{}                   // closed and replaced at every change
	cuts     atomic.Pointer[map[string]bool] // see Cut
}

// NewTable makes an empty table.
func NewTable() *Table {
	return &Table{services: map[types.NamespacedName]*Service{}, byIP: map[netip.Addr]*Service{}, changed: make(chan struct{})}
}

// Service is one service with the endpoints behind it. It is never changed: a change makes a new one.
type Service struct {
	Object    *corev1.Service
	Endpoints []Endpoint

	balance *balance
	nodeOf  func(address netip.Addr) string
}

// Endpoint is one address behind one port of a service.
type Endpoint struct {
	Address     netip.AddrPort
	PortName    string
	Protocol    corev1.Protocol
	Ready       bool
	Serving     bool
	Terminating bool
	Node        string
	Pod         string // the pod's name, "" for an address that is none
	Hostname    string // for its DNS record
}

// Replace puts a service's new row in place of the old one; nil removes it.
func (t *Table) Replace(name types.NamespacedName, service *Service) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.services[name]; old != nil {
		for _, ip := range serviceAddresses(old.Object) {
			if t.byIP[ip] == old {
				delete(t.byIP, ip)
			}
		}
		if service != nil {
			service.balance = old.balance
		}
	}
	delete(t.services, name)
	if service != nil {
		if service.balance == nil {
			service.balance = newBalance()
		}
		service.nodeOf = t.NodeOf
		t.services[name] = service
		for _, ip := range serviceAddresses(service.Object) {
			t.byIP[ip] = service
		}
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// serviceAddresses are the addresses that a service answers on inside the cluster; none for a headless one.
func serviceAddresses(service *corev1.Service) []netip.Addr {
	var addresses []netip.Addr
	texts := append([]string(nil), service.Spec.ClusterIPs...)
	texts = append(texts, service.Spec.ExternalIPs...)
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		texts = append(texts, ingress.IP)
	}
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil && !address.IsLoopback() {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// Service returns a service's row.
func (t *Table) Service(namespace, name string) (*Service, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	service, ok := t.services[types.NamespacedName{Namespace: namespace, Name: name}]
	return service, ok
}

// ByAddress returns the service that a cluster address belongs to.
func (t *Table) ByAddress(address netip.Addr) (*Service, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	service, ok := t.byIP[address]
	return service, ok
}

// Services returns all rows, and a channel that is closed when any has changed.
func (t *Table) Services() ([]*Service, <-chan struct{}) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]*Service, 0, len(t.services))
	for _, service := range t.services {
		all = append(all, service)
	}
	return all, t.changed
}

// NodesByRange makes a Table's NodeOf from the nodes' names by their ranges of pod addresses.
func NodesByRange(nodes map[string]string) (func(netip.Addr) string, error) {
	byRange := map[netip.Prefix]string{}
	sizes := map[int]bool{}
	for text, name := range nodes {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("the pod addresses of node %s: %w", name, err)
		}
		byRange[prefix] = name
		sizes[prefix.Bits()] = true
	}
	return func(address netip.Addr) string {
		for bits := range sizes {
			if prefix, err := address.Prefix(bits); err == nil && byRange[prefix] != "" {
				return byRange[prefix]
			}
		}
		return ""
	}, nil
}
