package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	one = netip.MustParseAddr("10.97.1.2")
	two = netip.MustParseAddr("10.97.1.3")
)

func TestDialSaysWhatARealNetworkSays(t *testing.T) {
	n := NewNetwork()
	n.Attach(one)
	n.Attach(two)
	open, err := n.Listen(netip.AddrPortFrom(one, 80), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen(netip.AddrPortFrom(one, 81), true); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen(netip.AddrPortFrom(one, 80), false); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listening twice: %v", err)
	}
	cases := map[string]struct {
		from, to netip.Addr
		port     uint16
		loopback bool
		want     error
	}{
		"an open port":                {two, one, 80, false, nil},
		"a closed port":               {two, one, 82, false, syscall.ECONNREFUSED},
		"localhost from outside":      {two, one, 81, false, syscall.ECONNREFUSED},
		"localhost from its own pod":  {one, one, 81, true, nil},
		"an address that nobody has":  {one, netip.MustParseAddr("10.97.9.9"), 80, false, syscall.EHOSTUNREACH},
		"all addresses, by localhost": {one, one, 80, true, nil},
	}
	for name, c := range cases {
		conn, err := n.dial(t.Context(), "tcp", c.from, netip.AddrPortFrom(c.to, c.port), c.loopback)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, wanted %v", name, err, c.want)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	_ = open.Close()
	if _, err := n.Dial(t.Context(), "tcp", netip.AddrPortFrom(one, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the listener has closed: %v", err)
	}
}

func TestConnections(t *testing.T) {
	near, far := newPair(&net.TCPAddr{}, &net.TCPAddr{})
	big := make([]byte, 3*bufferSize)
	go func() {
		_, _ = near.Write(big)
		_ = near.CloseWrite()
	}()
	got, err := io.ReadAll(far)
	if err != nil || len(got) != len(big) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if _, err := far.Write([]byte("back")); err != nil {
		t.Errorf("the other direction is closed too: %v", err)
	}
	b := make([]byte, 10)
	if n, err := near.Read(b); err != nil || string(b[:n]) != "back" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	_ = far.Close()
	if _, err := near.Read(b); err != io.EOF {
		t.Errorf("reading what is closed: %v", err)
	}
	if _, err := near.Write(b); err == nil {
		t.Error("writing to what is closed went well")
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newPair(&net.TCPAddr{}, &net.TCPAddr{})
		began := time.Now()
		_ = near.SetReadDeadline(began.Add(3 * time.Second))
		_, err := near.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		_ = near.SetReadDeadline(time.Time{})
		_, _ = far.Write([]byte("x"))
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("after the deadline was lifted: %v", err)
		}
		_ = near.Close()
		_ = far.Close()
	})
}

func TestAcceptEndsWithTheListener(t *testing.T) {
	n := NewNetwork()
	n.Attach(one)
	l, err := n.Listen(netip.AddrPortFrom(one, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := l.Accept(); done <- err }()
	n.detach(one)
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

func TestNamesAreSearched(t *testing.T) {
	s := sandboxFor("web", one)
	s.config.DNS.Searches = []string{"default.svc.cluster.local", "cluster.local"}
	s.config.DNS.Options = []string{"ndots:5"}
	n := NewNetwork()
	var asked []string
	n.Lookup = func(_ context.Context, _ netip.Addr, name string) ([]string, error) {
		asked = append(asked, name)
		if name == "backend.default.svc.cluster.local" {
			return []string{"10.96.0.7"}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if got, err := n.lookupPod(t.Context(), s, "backend"); err != nil || got[0] != "10.96.0.7" {
		t.Errorf("backend is %v, %v", got, err)
	}
	if got, err := n.lookupPod(t.Context(), s, "web"); err != nil || got[0] != one.String() {
		t.Errorf("its own name is %v, %v", got, err)
	}
	asked = nil
	var dns *net.DNSError
	if _, err := n.lookupPod(t.Context(), s, "example.com"); !errors.As(err, &dns) || !dns.IsNotFound || dns.Name != "example.com" {
		t.Errorf("an unknown name: %v", err)
	}
	if len(asked) != 3 || asked[2] != "example.com" {
		t.Errorf("asked were %v", asked)
	}
}
