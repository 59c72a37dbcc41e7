package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/loop"
)

// HostPortsComponent is the name in traces and events: Kubernetes' controller for load balancers.
const HostPortsComponent = "service-controller"

// HostPorts makes services reachable from this machine: the node ports of NodePort and LoadBalancer services on 127.0.0.1,
// and a loopback address for each LoadBalancer service. In Kubernetes kube-proxy opens node ports on every node, and the
// cloud's controller gets load balancers made. The host's loopback stands here for the world outside: no port is open to
// the network that this machine is in.
type HostPorts struct {
	config   HostPortsConfig
	services client.Informer[*corev1.Service]
	loop     *loop.Loop[types.NamespacedName]

	// Only the loop touches open.
	open  map[types.NamespacedName]map[hostPort]io.Closer
	relay sync.WaitGroup
	run   context.Context
}

// HostPortsConfig is what host ports are made from.
type HostPortsConfig struct {
	Client    client.Interface
	Informers *client.Informers
	Events    *client.Recorder
	Machine   *loop.Machine
	Table     *Table
	// Pod connects to a pod's address.
	Pod DialPod
	// Address gives the loopback address that a service with a cluster address has for its load balancer. Where the
	// machine does not have it (macOS has 127.0.0.1 only), 127.0.0.1 is used.
	Address func(clusterIP netip.Addr) netip.Addr
	// External opens services' ports on their external addresses, too, as far as this machine has them.
	External bool
}

// hostPort is a port of this machine that leads to a port of a service.
type hostPort struct {
	address  netip.AddrPort
	protocol corev1.Protocol
	service  int32 // the service's port; 0: the health check of a load balancer
	external bool  // on one of spec.externalIPs
}

// hostPortRetry is when a port that is taken is tried again.
const hostPortRetry = 5 * time.Second

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// NewHostPorts makes host ports; start the informers and Run it.
func NewHostPorts(config HostPortsConfig) *HostPorts {
	h := &HostPorts{config: config, services: client.InformerFor[*corev1.Service](config.Informers),
		open: map[types.NamespacedName]map[hostPort]io.Closer{}}
	h.loop = loop.New(HostPortsComponent, h.reconcile, loop.Options{Machine: config.Machine})
	enqueue := func(s *corev1.Service, what string) {
		h.loop.Add(types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, "services/"+s.Namespace+"/"+s.Name+" "+what)
	}
	h.services.Handle(client.Handler[*corev1.Service]{
		Add:    func(s *corev1.Service) { enqueue(s, "added") },
		Update: func(_, s *corev1.Service) { enqueue(s, "changed") },
		Delete: func(s *corev1.Service) { enqueue(s, "deleted") },
	})
	return h
}

// Run opens and closes ports as the API says until the context ends.
func (h *HostPorts) Run(ctx context.Context) {
	h.run = ctx
	h.loop.Run(ctx)
	for _, ports := range h.open {
		for _, port := range ports {
			_ = port.Close()
		}
	}
	h.relay.Wait()
}

// reconcile opens the ports that a service should have on this machine, closes those that it should not have any more, and
// reports the load balancer's address.
func (h *HostPorts) reconcile(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	service, ok := h.services.Get(name.Namespace, name.Name)
	if !ok {
		h.keep(name, nil)
		return 0, nil
	}
	nodePorts := nodePortsOf(service)
	external := h.externalPortsOf(service)
	balanced := balancedHere(service)
	h.keep(name, func(p hostPort) bool {
		return slices.Contains(nodePorts, p) || slices.Contains(external, p) || balanced && h.isBalancerPort(service, p)
	})
	var wait time.Duration
	for _, port := range nodePorts {
		if err := h.listen(name, port); err != nil {
			h.tell(service, "NodePortNotOpened", "Node port %d is not open on this machine: %s", port.address.Port(), reasonOf(err))
			wait = hostPortRetry
		}
	}
	for _, port := range external {
		if err := h.listen(name, port); err != nil {
			h.tell(service, "ExternalIPNotOpened", "%s is not open on this machine: %s", port.address, reasonOf(err))
			wait = hostPortRetry
		}
	}
	if !balanced {
		return wait, h.clearBalancer(ctx, service)
	}
	retry, err := h.balance(ctx, name, service)
	return max(wait, retry), err
}

func (h *HostPorts) tell(service *corev1.Service, reason, format string, args ...any) {
	h.config.Events.Event(service, corev1.EventTypeWarning, reason, format, args...)
}

// nodePortsOf are the node ports of a service, and its health check's.
func nodePortsOf(service *corev1.Service) []hostPort {
	if service.Spec.Type != corev1.ServiceTypeNodePort && service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var ports []hostPort
	for _, p := range service.Spec.Ports {
		if p.NodePort != 0 {
			ports = append(ports, hostPort{netip.AddrPortFrom(loopback, uint16(p.NodePort)), p.Protocol, p.Port, false})
		}
	}
	if number := service.Spec.HealthCheckNodePort; number != 0 {
		ports = append(ports, hostPort{netip.AddrPortFrom(loopback, uint16(number)), corev1.ProtocolTCP, 0, false})
	}
	return ports
}

// externalPortsOf are the ports of a service on its external addresses, where those are to be opened.
func (h *HostPorts) externalPortsOf(service *corev1.Service) []hostPort {
	if !h.config.External || service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var ports []hostPort
	for _, text := range service.Spec.ExternalIPs {
		address, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		for _, p := range service.Spec.Ports {
			ports = append(ports, hostPort{netip.AddrPortFrom(address, uint16(p.Port)), p.Protocol, p.Port, true})
		}
	}
	return ports
}

// keep closes the ports of a service that are not wanted any more; nil wants none.
func (h *HostPorts) keep(name types.NamespacedName, wanted func(hostPort) bool) {
	for port, closer := range h.open[name] {
		if wanted == nil || !wanted(port) {
			_ = closer.Close()
			delete(h.open[name], port)
		}
	}
	if len(h.open[name]) == 0 {
		delete(h.open, name)
	}
}

// listen opens a port unless it is open.
func (h *HostPorts) listen(name types.NamespacedName, port hostPort) error {
	if h.open[name][port] != nil {
		return nil
	}
	closer, err := h.serve(name, port)
	if err != nil {
		return err
	}
	if h.open[name] == nil {
		h.open[name] = map[hostPort]io.Closer{}
	}
	h.open[name][port] = closer
	return nil
}

func (h *HostPorts) serve(name types.NamespacedName, port hostPort) (io.Closer, error) {
	relay := &Relay{Ranked: h.config.Table.Toward(name, port.service, port.protocol), Dial: h.config.Pod,
		Count: h.config.Table.Counter(name), Context: h.run, Group: &h.relay}
	if port.address.Addr() != loopback && !port.external {
		relay.Ranked = h.fromSourceRanges(name, relay.Ranked)
	}
	switch port.protocol {
	case corev1.ProtocolTCP:
		listener, err := ListenService("tcp4", port.address.String())
		if err != nil {
			return nil, err
		}
		if port.service == 0 {
			return h.serveHealth(name, listener), nil
		}
		h.relay.Go(func() { relay.ServeTCP(listener) })
		return listener, nil
	case corev1.ProtocolUDP:
		packets, err := net.ListenPacket("udp4", port.address.String())
		if err != nil {
			return nil, err
		}
		h.relay.Go(func() { relay.ServeUDP(packets) })
		return packets, nil
	}
	return nil, fmt.Errorf("kubette does not carry %s", port.protocol)
}

// reasonOf says in words why a port cannot be opened.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program, or another cluster, has it. It is tried again every few seconds."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have the address."
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need rights that kubette does not have."
	}
	return err.Error()
}
