package network

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Way is where requests and connections go: by an ingress' rule or straight to a service, and to which pod.
type Way struct {
	Namespace string `json:"ns,omitempty"`
	Ingress   string `json:"ingress,omitempty"` // "" for connections to the service's own address
	Host      string `json:"host,omitempty"`    // the rule's
	Path      string `json:"path,omitempty"`    // the rule's
	Service   string `json:"service,omitempty"` // "" for requests that no rule fits
	Pod       string `json:"pod,omitempty"`     // "" where no pod took it
}

// Count is how much went a way since the cluster started, and how much of it failed: no pod took it, or it was answered with
// a status of 500 or above. Through an ingress requests are counted, through a service connections.
type Count struct {
	Way
	All    int64 `json:"all"`
	Failed int64 `json:"failed,omitempty"`
	// Micros is how long pods took, all together: until they began to answer a request; until they took a connection, with
	// the tries at others that did not. What is said over a connection, and so when it is answered, is the client's affair.
	Micros int64 `json:"micros,omitempty"`
}

// Traffic counts what the proxies do. kube-proxy and ingress controllers have such counters as metrics.
type Traffic struct {
	mu     sync.Mutex
	counts map[Way]*Count
	beside []Count // of the proxies in another process
}

// maxWays bounds how many ways are counted: pods come and go.
const maxWays = 2000

// Add counts one request or connection, and how long a pod took to answer or take it.
func (t *Traffic) Add(way Way, ok bool, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.counts[way]
	if count == nil {
		if len(t.counts) >= maxWays || t.counts == nil {
			t.counts = map[Way]*Count{} // begin anew, as a proxy that was started again does
		}
		count = &Count{Way: way}
		t.counts[way] = count
	}
	count.All++
	count.Micros += took.Microseconds()
	if !ok {
		count.Failed++
	}
}

// Beside takes over the counts of proxies in another process, in place of those before.
func (t *Traffic) Beside(counts []Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.beside = counts
}

// Counts lists everything, in a fixed order.
func (t *Traffic) Counts() []Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := map[Way]Count{}
	add := func(c Count) {
		c.All += sum[c.Way].All
		c.Failed += sum[c.Way].Failed
		c.Micros += sum[c.Way].Micros
		sum[c.Way] = c
	}
	for _, count := range t.counts {
		add(*count)
	}
	for _, count := range t.beside {
		add(count)
	}
	return slices.SortedFunc(maps.Values(sum), func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Ingress, b.Ingress), cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Pod, b.Pod))
	})
}

// podAt names the pod behind an endpoint of a service, "" for none.
func (s *Service) podAt(address netip.AddrPort) string {
	for i := range s.Endpoints {
		if s.Endpoints[i].Address == address {
			return s.Endpoints[i].Pod
		}
	}
	return ""
}

// Counter makes the Count of a relay: it counts the connections to a service. An invalid endpoint is that of a connection that
// no pod took.
func (t *Table) Counter(name types.NamespacedName) func(endpoint netip.AddrPort, took time.Duration) {
	return func(endpoint netip.AddrPort, took time.Duration) {
		way := Way{Namespace: name.Namespace, Service: name.Name}
		if service, ok := t.Service(name.Namespace, name.Name); ok && endpoint.IsValid() {
			way.Pod = service.podAt(endpoint)
		}
		t.Traffic.Add(way, endpoint.IsValid(), took)
	}
}

// count counts a request that a rule fits, and where it went: an invalid endpoint is none.
func (i *Ingress) count(matched *route, endpoint netip.AddrPort, ok bool, took time.Duration) {
	way := Way{Namespace: matched.ingress.Namespace, Ingress: matched.ingress.Name, Host: matched.host, Path: matched.path}
	if backend := matched.backend.Service; backend != nil {
		way.Service = backend.Name
		if service, found := i.config.Table.Service(way.Namespace, way.Service); found && endpoint.IsValid() {
			way.Pod = service.podAt(endpoint)
		}
	}
	i.config.Table.Traffic.Add(way, ok, took)
}
