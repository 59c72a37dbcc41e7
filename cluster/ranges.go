package cluster

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Ranges are the addresses of one cluster. The first half of its network is for services, the second for pods; so a
// container asks by ARP for a service's address, and the gateway answers.
type Ranges struct {
	Network  netip.Prefix // 10.96.0.0/15
	Services netip.Prefix // 10.96.0.0/16
	Pods     netip.Prefix // 10.97.0.0/16
	API      netip.Addr   // 10.96.0.1, the service kubernetes
	DNS      netip.Addr   // 10.96.0.10, the service kube-dns
	// nodeBits is the size of a node's own range of pod addresses.
	nodeBits int
}

const (
	// usualNetwork is the network of the first cluster on a machine, with Kubernetes' usual range of services.
	usualNetwork = "10.96.0.0/15"
	nodeBits     = 24
	// smallNodeBits gives 126 pods to a node, more than the 110 that a kubelet takes, and room for many nodes.
	smallNodeBits = 25
)

// newRanges divides a network.
func newRanges(network string, workers int) (Ranges, error) {
	prefix, err := netip.ParsePrefix(network)
	if err != nil || prefix.Bits() != 15 || !prefix.Addr().Is4() {
		return Ranges{}, fmt.Errorf("%q cannot be a cluster's network: it must be an IPv4 range of the size /15", network)
	}
	base := prefix.Masked().Addr()
	r := Ranges{
		Network: prefix.Masked(), Services: netip.PrefixFrom(base, 16), Pods: netip.PrefixFrom(add(base, 1<<16), 16),
		API: add(base, 1), DNS: add(base, 10), nodeBits: nodeBits,
	}
	if workers > maxWorkers {
		// Only simulated clusters are so large, and nothing but kubette sees their addresses.
		r.Pods, r.nodeBits = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128, 0, 0}), 9), smallNodeBits
	}
	return r, nil
}

// add returns the address that lies so many after another one.
func add(address netip.Addr, n uint32) netip.Addr {
	bytes := address.As4()
	binary.BigEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(bytes[:])+n)
	return netip.AddrFrom4(bytes)
}

// The first node range is the cluster's own: the bridge, the nodes, the gateway.
const (
	bridgeOffset       = 1
	firstNodeOffset    = 2
	gatewayOffset      = 254
	controlPlaneNumber = 0
)

// Bridge is the engine's own address in the network.
func (r Ranges) Bridge() netip.Addr { return add(r.Pods.Addr(), bridgeOffset) }

// Gateway is the address of the gateway container.
func (r Ranges) Gateway() netip.Addr { return add(r.Pods.Addr(), gatewayOffset) }

// ControlPlane is the address of the control plane's node, where the API server is for pods.
func (r Ranges) ControlPlane() netip.Addr { return r.Node(controlPlaneNumber) }

// Node is the address of a node: number 0 is the control plane. In large clusters they go on beyond the first range.
func (r Ranges) Node(number int) netip.Addr {
	if r.nodeBits == nodeBits {
		return add(r.Pods.Addr(), uint32(firstNodeOffset+number))
	}
	return add(netip.AddrFrom4([4]byte{10, 127, 0, 0}), uint32(firstNodeOffset+number))
}

// NodePods is a node's range of pod addresses.
func (r Ranges) NodePods(number int) netip.Prefix {
	size := uint32(1) << (32 - r.nodeBits)
	return netip.PrefixFrom(add(r.Pods.Addr(), uint32(number+1)*size), r.nodeBits)
}

// mostWorkers is how many workers there may be in the ranges.
func (r Ranges) mostWorkers() int {
	if r.nodeBits == nodeBits {
		return maxWorkers
	}
	return maxSimWorkers
}

// LoadBalancer is the loopback address of a service's load balancer: 127.96.1.2 for the service at 10.96.1.2. So each
// service has one of its own, which stays the same.
func (r Ranges) LoadBalancer(clusterIP netip.Addr) netip.Addr {
	bytes := clusterIP.As4()
	bytes[0] = loopbackNet
	return netip.AddrFrom4(bytes)
}

const loopbackNet = 127

// Inside says whether an address is in the cluster's network.
func (r Ranges) Inside(address netip.Addr) bool {
	return r.Network.Contains(address) || r.Pods.Contains(address) || r.Node(0) == address
}
