package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/network"
)

// ports holds a listener for every port of every service.
type ports struct {
	table *network.Table
	dial  network.DialPod

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu   sync.Mutex
	open map[types.NamespacedName]map[portKey]io.Closer
}

type portKey struct {
	address  netip.AddrPort
	protocol corev1.Protocol
}

func newPorts(table *network.Table, dial network.DialPod) *ports {
	ctx, cancel := context.WithCancel(context.Background())
	return &ports{table: table, dial: dial, ctx: ctx, cancel: cancel, open: map[types.NamespacedName]map[portKey]io.Closer{}}
}

func (p *ports) close() {
	p.cancel()
	p.mu.Lock()
	for _, opened := range p.open {
		for _, port := range opened {
			_ = port.Close()
		}
	}
	p.mu.Unlock()
	p.group.Wait()
}

// update opens the ports that a service has gained, and closes those that it has lost. The DNS server's own are served
// elsewhere.
func (p *ports) update(name types.NamespacedName, service *network.Service, dnsAddress string) {
	wanted := map[portKey]bool{}
	if service != nil && service.Object.Spec.ClusterIP != dnsAddress {
		for _, text := range service.Object.Spec.ClusterIPs {
			address, err := netip.ParseAddr(text)
			if err != nil {
				continue // headless
			}
			for _, port := range service.Object.Spec.Ports {
				wanted[portKey{netip.AddrPortFrom(address, uint16(port.Port)), port.Protocol}] = true
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	opened := p.open[name]
	for key, port := range opened {
		if !wanted[key] {
			_ = port.Close()
			delete(opened, key)
		}
	}
	for key := range wanted {
		if opened[key] != nil {
			continue
		}
		port, err := p.listen(name, key)
		if err != nil {
			slog.Warn("service port not opened", "service", name.String(), "address", key.address.String(), "error", err)
			continue
		}
		if opened == nil {
			opened = map[portKey]io.Closer{}
			p.open[name] = opened
		}
		opened[key] = port
	}
	if len(opened) == 0 {
		delete(p.open, name)
	}
}

func (p *ports) listen(name types.NamespacedName, key portKey) (io.Closer, error) {
	relay := &network.Relay{
		Ranked: p.table.Toward(name, int32(key.address.Port()), key.protocol),
		Dial:   p.dial, Reaches: p.table.Reaches, Count: p.table.Counter(name), Context: p.ctx, Group: &p.group,
	}
	switch key.protocol {
	case corev1.ProtocolTCP:
	case corev1.ProtocolUDP:
		packets, err := net.ListenPacket("udp", key.address.String())
		if err != nil {
			return nil, err
		}
		p.group.Go(func() { relay.ServeUDP(packets) })
		return packets, nil
	default:
		return nil, fmt.Errorf("protocol %s is not carried", key.protocol)
	}
	listener, err := network.ListenService("tcp", key.address.String())
	if err != nil {
		return nil, err
	}
	p.group.Go(func() { relay.ServeTCP(listener) })
	return listener, nil
}
