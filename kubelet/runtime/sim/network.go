package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Network connects the pods of a cluster in memory. Every pod has an address; its programs listen on ports of it, and
// other pods dial them. The errors are those that a real network gives.
type Network struct {
	// Outside dials what is no pod: service addresses, and names when Lookup is nil. From is the address of the pod that
	// dials. Nil reaches nothing.
	Outside func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
	// Lookup resolves a name, already completed by the pod's search domains, as the cluster's DNS does for that pod.
	Lookup func(ctx context.Context, from netip.Addr, name string) ([]string, error)
	// Allows says whether packets of a network, "tcp" or "udp", from an address reach another one: what it refuses is
	// dropped, so that who dials waits in vain. Nil drops nothing. From is invalid for the node itself.
	Allows func(network string, from netip.Addr, to netip.AddrPort) bool

	mu    sync.RWMutex
	hosts map[netip.Addr]*host
	ports uint16 // for the dialling side
}

// host is what listens on one address.
type host struct {
	listeners map[port]*listener
	sockets   map[port]*packets // UDP
}

// theNode is the address of those who are in no pod: kubette's own proxies and probes.
var theNode = netip.IPv4Unspecified()

// port is a listening port; local ones are bound to the loopback address and serve only their own pod.
type port struct {
	number uint16
	local  bool
}

// backlog is how many connections wait to be accepted.
const backlog = 128

// NewNetwork makes an empty network.
func NewNetwork() *Network { return &Network{hosts: map[netip.Addr]*host{theNode: {}}} }

// Attach gives an address to a pod, or to what is none but listens on this network, as the cluster's DNS server does.
func (n *Network) Attach(address netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = &host{}
}

func (n *Network) detach(address netip.Addr) {
	n.mu.Lock()
	gone := n.hosts[address]
	delete(n.hosts, address)
	n.mu.Unlock()
	if gone == nil {
		return
	}
	for _, l := range gone.listeners {
		l.shut()
	}
	for _, s := range gone.sockets {
		s.shut()
	}
}

// Has says whether an address is a pod's.
func (n *Network) Has(address netip.Addr) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.hosts[address] != nil
}

// Listen listens on a pod's address; port 0 takes a free one. Local listeners answer only inside the pod.
func (n *Network) Listen(address netip.AddrPort, local bool) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	failed := func(err error) error {
		return &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(address), Err: err}
	}
	h := n.hosts[address.Addr()]
	if h == nil {
		return nil, failed(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	at := port{number: address.Port(), local: local}
	for candidate := uint16(32768); at.number == 0; candidate++ {
		if h.listeners[port{candidate, true}] == nil && h.listeners[port{candidate, false}] == nil {
			at.number = candidate
		}
	}
	if h.listeners[at] != nil {
		return nil, failed(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	if h.listeners == nil {
		h.listeners = map[port]*listener{}
	}
	l := &listener{
		network: n, address: netip.AddrPortFrom(address.Addr(), at.number), port: at,
		queue: make(chan net.Conn, backlog), closed: make(chan struct{}),
	}
	h.listeners[at] = l
	return l, nil
}

// Dial connects to a pod's port from outside the pods, as a node does. The network is "tcp" or "udp".
func (n *Network) Dial(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error) {
	return n.DialFrom(ctx, network, netip.Addr{}, address)
}

// DialFrom connects to a pod's port from an address; from its own pod also to what listens on the loopback only.
func (n *Network) DialFrom(ctx context.Context, network string, from netip.Addr, address netip.AddrPort) (net.Conn, error) {
	return n.dial(ctx, network, from, address, false)
}

func (n *Network) dial(ctx context.Context, network string, from netip.Addr, address netip.AddrPort, loopback bool) (net.Conn, error) {
	if strings.HasPrefix(network, "udp") {
		return n.dialPackets(from, address, loopback)
	}
	return n.connect(ctx, from, address, loopback)
}

func (n *Network) connect(ctx context.Context, from netip.Addr, address netip.AddrPort, loopback bool) (net.Conn, error) {
	failed := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(address), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, failed(err)
	}
	if n.Allows != nil && !n.Allows("tcp", from, address) {
		return nil, failed(Dropped(ctx))
	}
	n.mu.Lock()
	h := n.hosts[address.Addr()]
	var l *listener
	if h != nil {
		l = h.listeners[port{address.Port(), false}]
		if l == nil && loopback {
			l = h.listeners[port{address.Port(), true}]
		}
	}
	n.ports++
	source := netip.AddrPortFrom(from, 32768+n.ports%28000)
	n.mu.Unlock()
	switch {
	case h == nil:
		return nil, failed(os.NewSyscallError("connect", syscall.EHOSTUNREACH))
	case l == nil:
		return nil, failed(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	if !from.IsValid() {
		source = netip.AddrPortFrom(netip.IPv4Unspecified(), source.Port())
	}
	near, far := newPair(net.TCPAddrFromAddrPort(source), net.TCPAddrFromAddrPort(address))
	select {
	case l.queue <- far:
		return near, nil
	case <-l.closed:
		return nil, failed(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return nil, failed(ctx.Err())
	}
}

// listener implements net.Listener.
type listener struct {
	network *Network
	address netip.AddrPort
	port    port
	queue   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.address) }

func (l *listener) Close() error {
	l.network.mu.Lock()
	if h := l.network.hosts[l.address.Addr()]; h != nil && h.listeners[l.port] == l {
		delete(h.listeners, l.port)
	}
	l.network.mu.Unlock()
	l.shut()
	return nil
}

// shut refuses further connections, and those that nobody has accepted yet.
func (l *listener) shut() {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case conn := <-l.queue:
			_ = conn.Close()
		default:
			return
		}
	}
}

// dialPod is a program's dial: its own pod, other pods, or what lies outside.
func (n *Network) dialPod(ctx context.Context, s *sandbox, network, address string) (net.Conn, error) {
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	number, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("unknown port %q", portText)}
	}
	candidates := []string{name}
	if _, err := netip.ParseAddr(name); err != nil && name != "" {
		if candidates, err = n.lookupPod(ctx, s, name); err != nil {
			if n.Lookup == nil && n.Outside != nil {
				return n.Outside(ctx, s.address, network, address)
			}
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
	}
	var last error
	for _, candidate := range candidates {
		conn, err := n.dialAddress(ctx, s, network, candidate, uint16(number))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func (n *Network) dialAddress(ctx context.Context, s *sandbox, network, host string, number uint16) (net.Conn, error) {
	address, err := netip.ParseAddr(host)
	if host == "" || err == nil && (address.IsLoopback() || address.IsUnspecified()) {
		return n.dial(ctx, network, s.address, netip.AddrPortFrom(s.address, number), true)
	}
	if err == nil && (n.Has(address) || n.Outside == nil) {
		return n.DialFrom(ctx, network, s.address, netip.AddrPortFrom(address, number))
	}
	return n.Outside(ctx, s.address, network, net.JoinHostPort(host, strconv.Itoa(int(number))))
}

// lookupPod resolves a name as the pod's resolver does: /etc/hosts, then the search domains for a name with few dots.
func (n *Network) lookupPod(ctx context.Context, s *sandbox, name string) ([]string, error) {
	if found := s.hostsFile()[name]; found != "" {
		return []string{found}, nil
	}
	notFound := &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	if n.Lookup == nil {
		return nil, notFound
	}
	failure := error(notFound)
	for _, candidate := range s.candidates(name) {
		found, err := n.Lookup(ctx, s.address, candidate)
		if err == nil && len(found) > 0 {
			return found, nil
		}
		var dns *net.DNSError
		if err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
			failure = err
		}
	}
	return nil, failure
}

// Dropped waits as long as a dial does whose packets are dropped on the way, and returns the error that it gets.
func Dropped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(dialTimeout):
		return os.NewSyscallError("connect", syscall.ETIMEDOUT)
	}
}

// dialTimeout is how long a program's dial waits when its context has no end of its own.
const dialTimeout = 30 * time.Second
