package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A pod's network is made by its sandbox process itself. The process starts in the engine machine's own network
// namespace, steps into a new one, and lays a pair of virtual interfaces between the two: one end on the cluster's
// bridge, where the engine's own containers are, the other as the pod's eth0.
//
// The engine could do the same (a container on a user-defined network). It takes three times as long for it, about 250 ms
// on the machine where this was measured, because it starts programs of its own for each container; it puts a resolver
// of its own before the cluster's DNS; and the pod's address would be gone as soon as its container ends. In Kubernetes
// this is the work of a CNI plugin, which does just what is done here.

// Linux' numbers.
const (
	afNetlink, sockRaw, netlinkRoute = 16, 3, 0
	siocGIfIndex                     = 0x8933
	cloneNewNet                      = 0x40000000
	atFdCwd                          = ^uint64(99) // -100
	openWriteOnly                    = 1

	rtmNewLink, rtmNewAddr, rtmNewRoute                = 16, 20, 24
	nlmRequest, nlmAck, nlmExclusive, nlmCreate uint16 = 0x1, 0x4, 0x200, 0x400
	interfaceUp                                 uint32 = 1

	iflaAddress, iflaName, iflaMTU, iflaMaster, iflaLinkInfo, iflaNetNsPid = 1, 3, 4, 10, 18, 19
	iflaInfoKind, iflaInfoData, vethInfoPeer                               = 1, 2, 1
	ifaAddress, ifaLocal                                                   = 1, 2
	rtaGateway, rtaOif                                                     = 5, 4
)

// podNetwork is what a pod's network is made of.
type podNetwork struct {
	bridge  string // the interface of the cluster's network on the engine's machine
	outside string // the name of the pod's interface there
	address netip.Addr
	prefix  int // the network's length, so that all pods and services are neighbours
	gateway netip.Addr
	mtu     uint32
	sysctls map[string]string
}

// Files in the sandbox process: its first free descriptors.
const (
	outsideSocket = 3
	insideSocket  = 4
	openedFile    = 5
)

// wire makes the pod's network, and then takes every privilege away from the process and lets it sleep.
func (w *worker) wire(ctx context.Context, pod podNetwork) error {
	calls := []call{
		newSocket(),
		interfaceIndex(outsideSocket, pod.bridge),
		{what: "make a network namespace", number: sysUnshare, args: []argument{number(uint64(cloneNewNet))}},
		newSocket(),
	}
	answers, err := w.do(ctx, calls...)
	if err != nil {
		return err
	}
	bridge := binary.LittleEndian.Uint32(answers[1].data[16:])
	calls = slices.Concat(
		netlink(outsideSocket, "make the pod's interface", vethMessage(pod, bridge)),
		netlink(insideSocket, "bring up the loopback interface", upMessage(1)),
		[]call{interfaceIndex(insideSocket, "eth0")},
	)
	answers, err = w.do(ctx, calls...)
	if err == nil {
		err = acknowledged(calls, answers)
	}
	if err != nil {
		return err
	}
	eth0 := binary.LittleEndian.Uint32(answers[len(answers)-1].data[16:])
	calls = slices.Concat(
		writeSysctls(usualSysctls, true), writeSysctls(pod.sysctls, false),
		netlink(insideSocket, "give the pod its address", addressMessage(pod, eth0)),
		netlink(insideSocket, "bring up the pod's interface", upMessage(eth0)),
		netlink(insideSocket, "give the pod its default route", routeMessage(pod, eth0)),
		retire(),
	)
	answers, err = w.do(ctx, calls...)
	if err != nil {
		return err
	}
	return acknowledged(calls, answers)
}

func newSocket() call {
	return call{
		what: "open a netlink socket", number: sysSocket,
		args: []argument{number(afNetlink), number(sockRaw), number(netlinkRoute)},
	}
}

// interfaceIndex finds an interface by its name; the answer's data have the index at 16.
func interfaceIndex(socket int, name string) call {
	data := make([]byte, 40)
	copy(data[:15], name)
	return call{
		what: "find the interface " + name, number: sysIoctl,
		args: []argument{number(socket), number(siocGIfIndex), pointer(0)}, data: data,
	}
}

// netlink sends a message and takes the kernel's acknowledgement.
func netlink(socket int, what string, message []byte) []call {
	binary.LittleEndian.PutUint32(message, uint32(len(message)))
	return []call{
		{what: what, number: sysSendto, args: []argument{number(socket), pointer(0), number(len(message)), number(0), number(0), number(0)}, data: message},
		{what: what, number: sysRecvfrom, args: []argument{number(socket), pointer(0), number(maxData), number(0), number(0), number(0)}},
	}
}

// acknowledged looks for a refusal in the kernel's answers to netlink messages: a header of 16 bytes, then a number.
func acknowledged(calls []call, answers []answer) error {
	for i, call := range calls {
		if call.number == sysRecvfrom {
			if refused := int32(binary.LittleEndian.Uint32(answers[i].data[16:])); refused != 0 {
				return fmt.Errorf("%s: %w", call.what, errno(-refused))
			}
		}
	}
	return nil
}

// usualSysctls let programs that are not root bind low ports and ping, as the engine does for its own networks.
var usualSysctls = map[string]string{
	"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647",
}

// writeSysctls sets kernel parameters of the pod's network namespace.
func writeSysctls(sysctls map[string]string, optional bool) []call {
	var calls []call
	for name, value := range sysctls {
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		calls = append(calls,
			call{what: "open " + path, number: sysOpenat, args: []argument{number(atFdCwd), pointer(0), number(openWriteOnly), number(0)}, data: text(path), optional: optional},
			call{what: "set the sysctl " + name + " to " + value, number: sysWrite, args: []argument{number(openedFile), pointer(0), number(len(value))}, data: text(value), optional: optional},
			call{what: "close " + path, number: sysClose, args: []argument{number(openedFile)}, optional: true},
		)
	}
	return calls
}

// retire closes the sockets, gives up every capability, and ends the calls: with its input closed the process sleeps.
func retire() []call {
	capabilities := make([]byte, 8+24) // version 3, this process; no capability at all
	binary.LittleEndian.PutUint32(capabilities, 0x20080522)
	return []call{
		{what: "close", number: sysClose, args: []argument{number(outsideSocket)}},
		{what: "close", number: sysClose, args: []argument{number(insideSocket)}},
		{what: "give up privileges", number: sysCapset, args: []argument{pointer(0), pointer(8)}, data: capabilities},
		{what: "close", number: sysClose, args: []argument{number(0)}},
	}
}

// message begins a netlink message; its length is filled in when it is sent.
func message(kind uint16, flags uint16) []byte {
	m := make([]byte, 16)
	binary.LittleEndian.PutUint16(m[4:], kind)
	binary.LittleEndian.PutUint16(m[6:], flags|nlmRequest|nlmAck)
	return m
}

// linkHeader describes an interface by its index, and what of its flags to change.
func linkHeader(index, flags uint32) []byte {
	h := make([]byte, 16)
	binary.LittleEndian.PutUint32(h[4:], index)
	binary.LittleEndian.PutUint32(h[8:], flags)
	binary.LittleEndian.PutUint32(h[12:], flags)
	return h
}

// attribute is a typed value of a netlink message, padded to four bytes.
func attribute(kind uint16, value ...[]byte) []byte {
	a := make([]byte, 4)
	binary.LittleEndian.PutUint16(a[2:], kind)
	a = append(a, slices.Concat(value...)...)
	binary.LittleEndian.PutUint16(a, uint16(len(a)))
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

// vethMessage makes the pair of interfaces: one end up and on the bridge, the other in the namespace of the process
// itself, which is number 1 of its own.
func vethMessage(pod podNetwork, bridge uint32) []byte {
	ip := pod.address.As4()
	mtu := attribute(iflaMTU, word(pod.mtu))
	peer := slices.Concat(
		linkHeader(0, 0),
		attribute(iflaName, text("eth0")), mtu,
		attribute(iflaAddress, []byte{0x02, 0x42}, ip[:]), // as the engine does: a neighbour's entry is never stale
		attribute(iflaNetNsPid, word(1)),
	)
	return slices.Concat(
		message(rtmNewLink, nlmCreate|nlmExclusive), linkHeader(0, interfaceUp),
		attribute(iflaName, text(pod.outside)), mtu, attribute(iflaMaster, word(bridge)),
		attribute(iflaLinkInfo,
			attribute(iflaInfoKind, text("veth")),
			attribute(iflaInfoData, attribute(vethInfoPeer, peer)),
		),
	)
}

func upMessage(index uint32) []byte {
	return append(message(rtmNewLink, 0), linkHeader(index, interfaceUp)...)
}

func addressMessage(pod podNetwork, index uint32) []byte {
	ip := pod.address.As4()
	header := []byte{2, byte(pod.prefix), 0, 0} // IPv4
	return slices.Concat(message(rtmNewAddr, nlmCreate|nlmExclusive), header, word(index),
		attribute(ifaLocal, ip[:]), attribute(ifaAddress, ip[:]))
}

func routeMessage(pod podNetwork, index uint32) []byte {
	gateway := pod.gateway.As4()
	// IPv4, to anywhere; the main table, set at start-up, universe, unicast
	header := []byte{2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0}
	return slices.Concat(message(rtmNewRoute, nlmCreate), header,
		attribute(rtaGateway, gateway[:]), attribute(rtaOif, word(index)))
}

func word(value uint32) []byte { return binary.LittleEndian.AppendUint32(nil, value) }

// text is a string as C wants it.
func text(s string) []byte { return append([]byte(s), 0) }
