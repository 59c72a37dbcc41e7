package network

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Relay carries what arrives at one port to the endpoints of a service: connections, or packets. kube-proxy has the kernel
// do this.
type Relay struct {
	// Ranked lists where a client may go, the first choice first; nothing refuses the client.
	Ranked func(from netip.Addr) []netip.AddrPort
	Dial   DialPod
	// Reaches says whether packets get from a client to an endpoint; nil: always.
	Reaches func(from, to netip.Addr) bool
	// Count is told of every connection, of the endpoint that it went to, which is invalid when none took it, and after which
	// time the endpoint took it; nil: nobody.
	Count func(endpoint netip.AddrPort, took time.Duration)
	// Context ends everything that is under way; Group waits for it.
	Context context.Context
	Group   *sync.WaitGroup
}

// Toward makes the Ranked of a relay to a service's port, which is looked up at every use.
func (t *Table) Toward(name types.NamespacedName, port int32, protocol corev1.Protocol) func(from netip.Addr) []netip.AddrPort {
	return func(from netip.Addr) []netip.AddrPort {
		service, ok := t.Service(name.Namespace, name.Name)
		if !ok {
			return nil
		}
		for i := range service.Object.Spec.Ports {
			p := &service.Object.Spec.Ports[i]
			if p.Port != port || p.Protocol != protocol {
				continue
			}
			ranked, err := service.Ranked(p, from)
			if err != nil {
				return nil
			}
			addresses := make([]netip.AddrPort, len(ranked))
			for i, e := range ranked {
				addresses[i] = e.Address
			}
			return addresses
		}
		return nil
	}
}

// ServeTCP accepts connections until the listener is closed. Those that are under way go on, as with kube-proxy.
func (r *Relay) ServeTCP(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		r.Group.Go(func() { r.connect(conn) })
	}
}

// connect carries one connection. A service without endpoints refuses, as kube-proxy's does: the connection is reset. A pod
// that is gone a moment before the table knows is not the last word: the others are tried.
func (r *Relay) connect(conn net.Conn) {
	began := time.Now()
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	for _, endpoint := range r.Ranked(from.Addr().Unmap()) {
		if r.Reaches != nil && !r.Reaches(from.Addr().Unmap(), endpoint.Addr()) {
			r.count(netip.AddrPort{}, 0)
			r.silence(conn)
			return
		}
		pod, err := r.Dial(r.Context, "tcp", endpoint)
		if err != nil {
			slog.Debug("service connection", "endpoint", endpoint.String(), "error", err)
			continue
		}
		r.count(endpoint, time.Since(began))
		stop := context.AfterFunc(r.Context, func() { _, _ = conn.Close(), pod.Close() })
		defer stop()
		Splice(conn, pod)
		return
	}
	r.count(netip.AddrPort{}, 0)
	reset(conn)
}

func (r *Relay) count(endpoint netip.AddrPort, took time.Duration) {
	if r.Count != nil {
		r.Count(endpoint, took)
	}
}

// directDialer connects to pods. Keepalives would cost more system calls than a short connection has otherwise; pods are as
// near as can be, and their engine ends their connections with them.
var directDialer = net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}

// DialDirect is a DialPod for where pods' addresses can be reached.
func DialDirect(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error) {
	if network == "tcp" {
		return directDialer.DialTCP(ctx, network, netip.AddrPort{}, address)
	}
	return directDialer.DialContext(ctx, network, address.String())
}

// ListenService listens for a service's connections.
func ListenService(network, address string) (net.Listener, error) {
	return (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), network, address)
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Splice copies both ways until both sides have ended, and closes both. The end of one direction is passed on where the
// connection can close one direction alone.
func Splice(a, b net.Conn) {
	var back sync.WaitGroup
	back.Go(func() { copyHalf(b, a) })
	copyHalf(a, b)
	back.Wait()
	_ = a.Close()
	_ = b.Close()
}

func copyHalf(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		_ = to.Close()
	}
}

// udpIdle is how long a client's way to its endpoint is kept without traffic: the kernel's default for UDP streams.
const udpIdle = 2 * time.Minute

// MaxPacket is the largest UDP payload in bytes.
const MaxPacket = 65507

// ServeUDP carries packets until the socket is closed: each client gets an endpoint of its own, and answers find their
// way back.
func (r *Relay) ServeUDP(packets net.PacketConn) {
	u := &udpRelay{Relay: r, packets: packets, clients: map[netip.AddrPort]*udpWay{}}
	buffer := make([]byte, MaxPacket)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			u.close()
			return
		}
		if way := u.way(from.(*net.UDPAddr)); way != nil {
			_ = way.conn.SetReadDeadline(time.Now().Add(udpIdle))
			_, _ = way.conn.Write(buffer[:n])
		}
	}
}

type udpRelay struct {
	*Relay
	packets net.PacketConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*udpWay
}

// udpWay is where one client's packets go.
type udpWay struct {
	endpoint netip.AddrPort
	conn     net.Conn
}

func (u *udpRelay) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, way := range u.clients {
		_ = way.conn.Close()
	}
}

// way returns where the client's packets go, or nil when there is no endpoint. An endpoint that has left the service is
// left, too, as kube-proxy forgets its connections.
func (u *udpRelay) way(from *net.UDPAddr) *udpWay {
	client := from.AddrPort()
	ranked := u.Ranked(client.Addr().Unmap())
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.clients[client]; known != nil {
		if slices.Contains(ranked, known.endpoint) && (u.Reaches == nil || u.Reaches(client.Addr().Unmap(), known.endpoint.Addr())) {
			return known
		}
		_ = known.conn.Close()
		delete(u.clients, client)
	}
	if len(ranked) == 0 || u.Reaches != nil && !u.Reaches(client.Addr().Unmap(), ranked[0].Addr()) {
		return nil
	}
	conn, err := u.Dial(u.Context, "udp", ranked[0])
	if err != nil {
		slog.Debug("service packet", "endpoint", ranked[0].String(), "error", err)
		return nil
	}
	u.count(ranked[0], 0) // packets are taken by nobody in particular
	way := &udpWay{endpoint: ranked[0], conn: conn}
	u.clients[client] = way
	u.Group.Go(func() { u.answers(from, way) })
	return way
}

func (u *udpRelay) answers(from *net.UDPAddr, way *udpWay) {
	buffer := make([]byte, MaxPacket)
	for {
		n, err := way.conn.Read(buffer)
		if err != nil {
			break
		}
		_ = way.conn.SetReadDeadline(time.Now().Add(udpIdle))
		if _, err := u.packets.WriteTo(buffer[:n], from); err != nil {
			break
		}
	}
	u.mu.Lock()
	if u.clients[from.AddrPort()] == way {
		delete(u.clients, from.AddrPort())
	}
	u.mu.Unlock()
	_ = way.conn.Close()
}
