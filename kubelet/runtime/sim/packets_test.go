package sim

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// udp makes a network with two pods, the first of which listens on port 53.
func udp(t *testing.T) (*Network, net.PacketConn) {
	t.Helper()
	n := NewNetwork()
	n.Attach(one)
	n.Attach(two)
	socket, err := n.ListenPacket(netip.AddrPortFrom(one, 53), false)
	if err != nil {
		t.Fatal(err)
	}
	return n, socket
}

// echo answers each packet with itself.
func echo(socket net.PacketConn) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := socket.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(b[:n], from)
	}
}

func askUDP(conn net.Conn, text string) (string, error) {
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	b := make([]byte, maxPacket)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

func TestPacketsAreAnswered(t *testing.T) {
	n, socket := udp(t)
	go echo(socket)
	defer socket.Close()
	for name, from := range map[string]netip.Addr{"another pod": two, "its own pod": one, "the node": {}} {
		conn, err := n.DialFrom(t.Context(), "udp", from, netip.AddrPortFrom(one, 53))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := askUDP(conn, "hello from "+name); err != nil || got != "hello from "+name {
			t.Errorf("%s gets %q, %v", name, got, err)
		}
		big := bytes.Repeat([]byte("x"), maxPacket)
		if got, err := askUDP(conn, string(big)); err != nil || got != string(big) {
			t.Errorf("%s gets %d bytes of the largest packet, %v", name, len(got), err)
		}
		if _, err := conn.Write(append(big, 'x')); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a packet that is too large: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if _, err := conn.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket: %v", err)
		}
	}
}

func TestClosedPortsAreToldAndLostPacketsAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, socket := udp(t)
		dial := func(to netip.Addr, port uint16) net.Conn {
			conn, err := n.DialFrom(t.Context(), "udp", two, netip.AddrPortFrom(to, port))
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		if _, err := askUDP(dial(one, 54), "anybody?"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a closed port: %v", err)
		}
		if _, err := askUDP(dial(netip.MustParseAddr("10.97.9.9"), 53), "anybody?"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an address that nobody has: %v", err)
		}
		conn := dial(one, 53)
		for range 2 * backlog { // nobody reads: the rest is lost, and nobody waits for it
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, 1)
		for range backlog {
			if _, _, err := socket.ReadFrom(b); err != nil {
				t.Fatal(err)
			}
		}
		_ = socket.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := socket.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the packets that had room: %v", err)
		}
		waiting := make(chan error)
		go func() { _, err := conn.Read(b); waiting <- err }()
		synctest.Wait()
		n.detach(two)
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a pod that is gone reads %v", err)
		}
	})
}

func TestPoliciesDropPacketsButNotAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, socket := udp(t)
		go echo(socket)
		defer socket.Close()
		allowed := two
		n.Allows = func(network string, from netip.Addr, to netip.AddrPort) bool {
			return network == "udp" && from == allowed && to == netip.AddrPortFrom(one, 53)
		}
		conn, err := n.DialFrom(t.Context(), "udp", two, netip.AddrPortFrom(one, 53))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := askUDP(conn, "hello"); err != nil || got != "hello" {
			t.Errorf("an allowed packet is answered with %q, %v", got, err)
		}
		allowed = one
		if _, err := askUDP(conn, "hello"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a packet that is not allowed: %v", err)
		}
	})
}
