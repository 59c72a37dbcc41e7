package apiserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

const (
	firstNodePort = 30000
	lastNodePort  = 32767
)

// allocator hands out the numbers of a range, each once. What is taken is not stored: it is what the stored services
// hold, and read from them at the first use.
type allocator struct {
	mu    sync.Mutex
	size  int
	taken map[int]bool
	// claims replaces taken where other servers hand out the same range.
	claims *claims
	// name and number translate between a value and its place in the range; number says why there is none.
	name   func(number int) string
	number func(value string) (int, error)
	errors struct{ taken, full error }
}

// newAddresses allocates a range's addresses, but its first one, which means the network. Nothing can be had of a nil
// range.
func newAddresses(cidr *net.IPNet) *allocator {
	a := &allocator{taken: map[int]bool{}}
	a.errors.taken, a.errors.full = errors.New("provided IP is already allocated"), errors.New("range is full")
	a.name = func(int) string { return "" }
	a.number = func(value string) (int, error) {
		return 0, fmt.Errorf("%s cannot be allocated: there is no range of service addresses", value)
	}
	if cidr == nil {
		return a
	}
	ones, bits := cidr.Mask.Size()
	base, ok := netip.AddrFromSlice(cidr.IP.To4())
	if !ok {
		base, _ = netip.AddrFromSlice(cidr.IP.To16())
	}
	// The network's own address and, in IPv4, that for broadcasts are nobody's.
	a.size = 1<<min(bits-ones, 16) - 2
	a.name = func(number int) string { return plus(base, number+1).String() }
	a.number = func(value string) (int, error) {
		address, err := netip.ParseAddr(value)
		if err != nil || !cidr.Contains(address.AsSlice()) {
			return 0, fmt.Errorf("the provided IP (%v) is not in the valid range. The range of valid IPs is %s", value, cidr)
		}
		number := minus(address, base) - 1
		if number < 0 || number >= a.size {
			return 0, fmt.Errorf("the provided IP (%v) is not in the valid range. The range of valid IPs is %s", value, cidr)
		}
		return number, nil
	}
	return a
}

// plus is the address n after another; its last two bytes are enough for the ranges there are.
func plus(address netip.Addr, n int) netip.Addr {
	bytes := address.AsSlice()
	for i := len(bytes) - 1; i >= 0 && n > 0; i-- {
		n += int(bytes[i])
		bytes[i] = byte(n)
		n >>= 8
	}
	sum, _ := netip.AddrFromSlice(bytes)
	return sum
}

func minus(a, b netip.Addr) int {
	difference := 0
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		difference = difference<<8 + int(x[i]) - int(y[i])
	}
	return difference
}

// newPorts allocates node ports.
func newPorts() *allocator {
	a := &allocator{taken: map[int]bool{}, size: lastNodePort - firstNodePort + 1}
	a.errors.taken, a.errors.full = errors.New("provided port is already allocated"), errors.New("range is full")
	a.name = func(number int) string { return strconv.Itoa(firstNodePort + number) }
	a.number = func(value string) (int, error) {
		port, err := strconv.Atoi(value)
		if err != nil || port < firstNodePort || port > lastNodePort {
			return 0, fmt.Errorf("provided port is not in the valid range. The range of valid ports is %d-%d", firstNodePort, lastNodePort)
		}
		return port - firstNodePort, nil
	}
	return a
}

// Allocate implements kinds.Allocator.
func (a *allocator) Allocate(value string) error {
	number, err := a.number(value)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	got, err := a.take(number)
	if err == nil && !got {
		err = a.errors.taken
	}
	return err
}

// take is false when somebody has the number.
func (a *allocator) take(number int) (bool, error) {
	if a.claims != nil {
		return a.claims.take(a.name(number))
	}
	if a.taken[number] {
		return false, nil
	}
	a.taken[number] = true
	return true, nil
}

// Next implements kinds.Allocator. It leaves the beginning of the range, where people choose values themselves, until
// the rest is taken, as Kubernetes does.
func (a *allocator) Next() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	chosen := min(max(16, a.size/16), 256)
	if a.size <= chosen {
		chosen = 0
	}
	for _, band := range [][2]int{{chosen, a.size}, {0, chosen}} {
		width := band[1] - band[0]
		if width <= 0 {
			continue
		}
		start := rand.IntN(width)
		for i := range width {
			number := band[0] + (start+i)%width
			if got, err := a.take(number); got || err != nil {
				return a.name(number), err
			}
		}
	}
	return "", a.errors.full
}

// Release implements kinds.Allocator.
func (a *allocator) Release(value string) {
	number, err := a.number(value)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claims != nil {
		a.claims.release(value)
		return
	}
	delete(a.taken, number)
}

// clusterView is what rows and admission may ask of the server: kinds.Cluster.
type clusterView struct{ server *Server }

func (s *Server) cluster() kinds.Cluster { return clusterView{s} }

// Get implements kinds.Cluster.
func (c clusterView) Get(group, plural, namespace, name string) (kinds.Object, bool) {
	res := c.server.storedResource(group, plural)
	if res == nil {
		return nil, false
	}
	found, err := c.server.cache.get(res, res.key(namespace, name))
	if err != nil || found == nil {
		return nil, false
	}
	return found.object, true
}

// List implements kinds.Cluster.
func (c clusterView) List(group, plural, namespace string) []kinds.Object {
	res := c.server.storedResource(group, plural)
	if res == nil {
		return nil
	}
	items, _, err := c.server.cache.list(res, res.keysUnder(namespace), "", 0)
	if err != nil {
		return nil
	}
	objects := make([]kinds.Object, len(items))
	for i := range items {
		objects[i] = items[i].object
	}
	return objects
}

// ChangedAt returns a number that grows when an object of a resource changes, so that what was worked out of its objects can
// be kept as long as it stays the same. It returns false when that is not known.
func (c clusterView) ChangedAt(group, plural string) (int64, bool) {
	res := c.server.storedResource(group, plural)
	if res == nil {
		return 0, false
	}
	changed, err := c.server.cache.changedAt(res)
	return changed, err == nil
}

// UpdateStatus implements kinds.StatusWriter.
func (c clusterView) UpdateStatus(ctx context.Context, group, plural string, object kinds.Object) error {
	res := c.server.storedResource(group, plural)
	if res == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: group, Resource: plural}, object.GetName())
	}
	_, _, err := c.server.Update(ctx, Request{
		User: serverUser, Resource: res.Resource(), Namespace: object.GetNamespace(), Name: object.GetName(), Subresource: "status",
		Manager: "kube-apiserver", authorized: true,
	}, object, metav1.UpdateOptions{})
	return err
}

// Addresses implements kinds.Cluster.
func (c clusterView) Addresses() kinds.Allocator { return c.server.allocators().addresses }

// Ports implements kinds.Cluster.
func (c clusterView) Ports() kinds.Allocator { return c.server.allocators().ports }

// dryRunView is the cluster for a write that is only tried. As in Kubernetes, node ports that it asks for are not looked at.
type dryRunView struct{ clusterView }

// Ports implements kinds.Cluster.
func (c dryRunView) Ports() kinds.Allocator { return dryRunPorts{c.clusterView.Ports()} }

type dryRunPorts struct{ kinds.Allocator }

func (dryRunPorts) Allocate(string) error { return nil }
func (dryRunPorts) Release(string)        {}

func (p dryRunPorts) Next() (string, error) {
	port, err := p.Allocator.Next()
	if err == nil {
		p.Allocator.Release(port)
	}
	return port, err
}

// allocators takes what the stored services hold, once.
func (s *Server) allocators() *Server {
	s.allocated.Do(func() {
		for _, object := range s.cluster().List("", "services", "") {
			service, ok := object.(*corev1.Service)
			if !ok {
				continue
			}
			for _, address := range service.Spec.ClusterIPs {
				_ = s.addresses.Allocate(address) // None, or of another range than today's
			}
			for _, port := range service.Spec.Ports {
				_ = s.ports.Allocate(strconv.Itoa(int(port.NodePort)))
			}
			if port := service.Spec.HealthCheckNodePort; port != 0 {
				_ = s.ports.Allocate(strconv.Itoa(int(port)))
			}
		}
	})
	return s
}

// storedResource is the resource that the objects of a group and plural name are stored as; nil when none is.
func (s *Server) storedResource(group, plural string) *resource {
	return s.registry.Load().stored[schema.GroupResource{Group: group, Resource: plural}]
}
