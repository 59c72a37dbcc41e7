package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// DialPod connects to a pod's address.
type DialPod func(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error)

// Dialer opens connections inside this process as if from a pod: to names, service addresses and pod addresses.
type Dialer struct {
	Table *Table
	Names *Names
	// Pod connects to addresses in Inside; all others are the host's own network's.
	Pod    DialPod
	Inside func(address netip.Addr) bool
	// Allows says whether network policies let this dialer's connections through to an address that is no pod's; nil: yes.
	Allows func(address netip.AddrPort) bool
}

// Dial connects to host:port. Names are looked up in a namespace, "" for full names only. From is the client's address,
// which session affinity goes by; it may be invalid.
func (d *Dialer) Dial(ctx context.Context, namespace string, from netip.Addr, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%q is not a port", portText)}
	}
	target, err := netip.ParseAddr(host)
	if err != nil {
		found, known, err := d.Names.LookupHost(ctx, namespace, host)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		if !known {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		target = found[0]
	}
	return d.dialAddress(ctx, from, network, netip.AddrPortFrom(target.Unmap(), uint16(port)))
}

func (d *Dialer) dialAddress(ctx context.Context, from netip.Addr, network string, address netip.AddrPort) (net.Conn, error) {
	service, ok := d.Table.ByAddress(address.Addr())
	switch {
	case ok:
		return d.DialService(ctx, service, from, network, int32(address.Port()))
	case d.Allows != nil && !d.Allows(address):
		return nil, d.dropped(ctx, network)
	case d.Inside(address.Addr()):
		return d.Pod(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address.String())
}

// DialService connects to one of a service's endpoints.
func (d *Dialer) DialService(ctx context.Context, service *Service, from netip.Addr, network string, port int32) (net.Conn, error) {
	began, protocol := time.Now(), ProtocolOf(network)
	count := d.Table.Counter(types.NamespacedName{Namespace: service.Object.Namespace, Name: service.Object.Name})
	for i := range service.Object.Spec.Ports {
		p := &service.Object.Spec.Ports[i]
		if p.Port != port || p.Protocol != protocol {
			continue
		}
		ranked, err := service.Ranked(p, from)
		if err != nil {
			count(netip.AddrPort{}, 0)
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		var conn net.Conn
		for _, endpoint := range ranked {
			if d.Allows != nil && !d.Allows(endpoint.Address) {
				return nil, d.dropped(ctx, network)
			}
			if conn, err = d.Pod(ctx, network, endpoint.Address); err == nil {
				count(endpoint.Address, time.Since(began))
				return conn, nil
			}
		}
		count(netip.AddrPort{}, 0)
		return nil, err
	}
	return nil, &net.OpError{Op: "dial", Net: network,
		Err: &NoPortError{service.Object.Namespace, service.Object.Name, strconv.Itoa(int(port))}}
}

// ProtocolOf is what services and policies call a network of package net.
func ProtocolOf(network string) corev1.Protocol {
	if strings.HasPrefix(network, "udp") {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// dialTimeout is how long a connection is tried whose packets are dropped.
const dialTimeout = 30 * time.Second

// dropped is the end of a connection that a policy does not let through: nothing answers.
func (d *Dialer) dropped(ctx context.Context, network string) error {
	err := os.NewSyscallError("connect", syscall.ETIMEDOUT)
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(dialTimeout):
	}
	return &net.OpError{Op: "dial", Net: network, Err: err}
}
