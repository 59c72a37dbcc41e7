package sim

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxPacket is the largest UDP payload in bytes.
const maxPacket = 65507

// packet is a datagram on its way.
type packet struct {
	from netip.AddrPort
	data []byte
}

// packets is a UDP socket: a net.PacketConn, and a net.Conn once it has a peer. As on a real network nothing says whether
// a packet has arrived; only a pod that is there and does not listen answers that it does not.
type packets struct {
	network *Network
	address netip.AddrPort // of a pod, or 0.0.0.0 for the node's own
	port    port
	peer    netip.AddrPort // invalid: it takes packets from everybody

	queue   chan packet
	refused chan struct{} // somebody says that nothing listens at the peer
	once    sync.Once
	closed  chan struct{}
	reading deadline
}

// ListenPacket binds a UDP socket to a pod's address; port 0 takes a free one. A local one answers only inside the pod.
func (n *Network) ListenPacket(address netip.AddrPort, local bool) (net.PacketConn, error) {
	return n.bind(address, local, netip.AddrPort{})
}

// bind makes a socket known under its address.
func (n *Network) bind(address netip.AddrPort, local bool, peer netip.AddrPort) (*packets, error) {
	failed := func(err error) error {
		return &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(address), Err: os.NewSyscallError("bind", err)}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[address.Addr()]
	if h == nil {
		return nil, failed(syscall.EADDRNOTAVAIL)
	}
	taken := func(number uint16) bool {
		return h.sockets[port{number, true}] != nil || h.sockets[port{number, false}] != nil
	}
	at := port{number: address.Port(), local: local}
	for tries := 0; at.number == 0; tries++ {
		n.ports++
		switch candidate := 32768 + n.ports%28000; {
		case !taken(candidate):
			at.number = candidate
		case tries > 28000:
			return nil, failed(syscall.EADDRINUSE)
		}
	}
	if h.sockets[at] != nil {
		return nil, failed(syscall.EADDRINUSE)
	}
	s := &packets{network: n, address: netip.AddrPortFrom(address.Addr(), at.number), port: at, peer: peer,
		queue: make(chan packet, backlog), refused: make(chan struct{}, 1), closed: make(chan struct{})}
	if h.sockets == nil {
		h.sockets = map[port]*packets{}
	}
	h.sockets[at] = s
	return s, nil
}

// dialPackets makes a socket that talks to one peer. From is invalid for the node itself.
func (n *Network) dialPackets(from netip.Addr, peer netip.AddrPort, loopback bool) (net.Conn, error) {
	if !from.IsValid() {
		from = theNode
	}
	return n.bind(netip.AddrPortFrom(from, 0), loopback, peer)
}

// send takes a packet to where it goes, or loses it.
func (s *packets) send(data []byte, to netip.AddrPort) (int, error) {
	select {
	case <-s.closed:
		return 0, s.failed("write", net.ErrClosed)
	default:
	}
	if len(data) > maxPacket {
		return 0, s.failed("write", os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	if to.Addr().IsLoopback() {
		to = netip.AddrPortFrom(s.address.Addr(), to.Port())
	}
	n := s.network
	if !n.allowsPacket(s.address, to) {
		return len(data), nil
	}
	n.mu.RLock()
	var target *packets
	h := n.hosts[to.Addr()]
	if h != nil {
		target = h.sockets[port{to.Port(), false}]
		if target == nil && to.Addr() == s.address.Addr() {
			target = h.sockets[port{to.Port(), true}]
		}
	}
	n.mu.RUnlock()
	switch {
	case target == nil && h != nil && to == s.peer:
		select {
		case s.refused <- struct{}{}:
		default:
		}
	case target == nil:
	case !target.peer.IsValid() || target.peer == s.address:
		select {
		case target.queue <- packet{s.address, append([]byte(nil), data...)}:
		default: // too many wait already
		}
	}
	return len(data), nil
}

// allowsPacket lets through what may go that way, and answers to what may go the other way.
func (n *Network) allowsPacket(from, to netip.AddrPort) bool {
	if n.Allows == nil {
		return true
	}
	allows := func(from netip.Addr, to netip.AddrPort) bool {
		if from == theNode {
			from = netip.Addr{}
		}
		return n.Allows("udp", from, to)
	}
	return allows(from.Addr(), to) || allows(to.Addr(), from)
}

// ReadFrom implements net.PacketConn. What does not fit is cut off.
func (s *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	late := s.reading.passed()
	select {
	case <-s.refused:
		return 0, nil, s.failed("read", os.NewSyscallError("recvfrom", syscall.ECONNREFUSED))
	case <-s.closed:
		return 0, nil, s.failed("read", net.ErrClosed)
	case <-late:
		return 0, nil, s.failed("read", os.ErrDeadlineExceeded)
	case p := <-s.queue:
		return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
	}
}

// WriteTo implements net.PacketConn.
func (s *packets) WriteTo(b []byte, to net.Addr) (int, error) {
	address, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, s.failed("write", net.InvalidAddrError("not a UDP address"))
	}
	at := address.AddrPort()
	return s.send(b, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
}

// Read implements net.Conn.
func (s *packets) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

// Write implements net.Conn.
func (s *packets) Write(b []byte) (int, error) { return s.send(b, s.peer) }

// Close implements net.Conn and net.PacketConn.
func (s *packets) Close() error {
	s.network.mu.Lock()
	if h := s.network.hosts[s.address.Addr()]; h != nil && h.sockets[s.port] == s {
		delete(h.sockets, s.port)
	}
	s.network.mu.Unlock()
	s.shut()
	return nil
}

func (s *packets) shut() { s.once.Do(func() { close(s.closed) }) }

func (s *packets) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// LocalAddr implements net.Conn and net.PacketConn.
func (s *packets) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.address) }

// RemoteAddr implements net.Conn; it is nil without a peer.
func (s *packets) RemoteAddr() net.Addr {
	if !s.peer.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(s.peer)
}

// SetDeadline implements net.Conn and net.PacketConn. Writes never wait.
func (s *packets) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn and net.PacketConn.
func (s *packets) SetReadDeadline(t time.Time) error { s.reading.set(t); return nil }

// SetWriteDeadline implements net.Conn and net.PacketConn.
func (s *packets) SetWriteDeadline(time.Time) error { return nil }
