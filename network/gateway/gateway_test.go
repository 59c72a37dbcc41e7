//go:build linux

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/network"
)

// The whole of 127.0.0.0/8 is this host's on Linux, so that service addresses need no rights here.
const (
	services   = "127.96.0.0/16"
	dnsAddress = "127.96.0.10"
	apiAddress = "127.97.0.2:6443"
)

// rig is both ends of a link, with a table to change.
type rig struct {
	table *network.Table
	link  *Link
	dns   string
}

func newRig(t *testing.T, api func(ctx context.Context) (net.Conn, error)) *rig {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	free, err := net.ListenPacket("udp", dnsAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	_ = free.Close()
	r := &rig{table: network.NewTable(), dns: fmt.Sprintf("%s:%d", dnsAddress, port)}
	if r.link, err = NewLink(near, Settings{Domain: "cluster.local", Services: services, DNSAddress: dnsAddress, APIAddress: apiAddress}, r.table, api); err != nil {
		t.Fatal(err)
	}
	served, linked := make(chan error, 1), make(chan error, 1)
	go func() {
		served <- Serve(ctx, Config{Stdio: far, DNSPort: port, Claim: func(netip.Prefix) error { return nil }})
	}()
	go func() { linked <- r.link.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-served, <-linked); err != nil {
			t.Error(err)
		}
	})
	return r
}

// put makes a service that leads to endpoints.
func (r *rig) put(name, ip string, port int32, protocol corev1.Protocol, endpoints ...string) {
	s := &network.Service{Object: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Port: port, Protocol: protocol}}},
	}}
	for _, text := range endpoints {
		s.Endpoints = append(s.Endpoints, network.Endpoint{Address: netip.MustParseAddrPort(text), Protocol: protocol, Ready: true, Serving: true})
	}
	r.table.Replace(types.NamespacedName{Namespace: "default", Name: name}, s)
}

// eventually tries until something succeeds, for at most ten seconds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sayTo listens like a pod that answers every connection with a word and what it heard.
func sayTo(t *testing.T, word string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.97.1.5:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				heard, _ := io.ReadAll(conn)
				fmt.Fprintf(conn, "%s heard %s", word, heard)
			}()
		}
	}()
	return listener.Addr().String()
}

// talk sends a text, closes its half, and returns the answer.
func talk(conn net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	} else {
		defer conn.Close()
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestAServiceAddressLeadsToItsPods(t *testing.T) {
	r := newRig(t, nil)
	r.put("web", "127.96.0.20", 8080, corev1.ProtocolTCP, sayTo(t, "first"))
	want := func(word string) {
		t.Helper()
		eventually(t, func() error {
			answer, err := talk(net.Dial("tcp", "127.96.0.20:8080"))
			if err == nil && answer != word+" heard hello" {
				err = fmt.Errorf("answer %q", answer)
			}
			return err
		})
	}
	want("first")
	r.put("web", "127.96.0.20", 8080, corev1.ProtocolTCP, sayTo(t, "second"))
	want("second")

	r.put("web", "127.96.0.20", 8080, corev1.ProtocolTCP)
	eventually(t, func() error {
		if answer, err := talk(net.Dial("tcp", "127.96.0.20:8080")); err == nil {
			return fmt.Errorf("a service without endpoints answered %q", answer)
		}
		return nil
	})
	r.table.Replace(types.NamespacedName{Namespace: "default", Name: "web"}, nil)
	eventually(t, func() error {
		conn, err := net.Dial("tcp", "127.96.0.20:8080")
		if err == nil {
			_ = conn.Close()
			return errors.New("a service that is gone still listens")
		}
		return nil
	})
}

func TestUDPAnswersFindTheirWayBack(t *testing.T) {
	pod, err := net.ListenPacket("udp", "127.97.1.6:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pod.Close() })
	go func() {
		buffer := make([]byte, 100)
		for {
			n, from, err := pod.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = pod.WriteTo(append([]byte("pong "), buffer[:n]...), from)
		}
	}()
	r := newRig(t, nil)
	r.put("clock", "127.96.0.21", 1230, corev1.ProtocolUDP, pod.LocalAddr().String())
	eventually(t, func() error {
		conn, err := net.Dial("udp", "127.96.0.21:1230")
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		fmt.Fprint(conn, "one")
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		if err == nil && string(buffer[:n]) != "pong one" {
			return fmt.Errorf("answer %q", buffer[:n])
		}
		return err
	})
}

func TestPodsReachTheAPIOverTheLink(t *testing.T) {
	api := sayTo(t, "API")
	r := newRig(t, func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", api) })
	r.put("kubernetes", "127.96.0.1", 4443, corev1.ProtocolTCP, apiAddress)
	eventually(t, func() error {
		answer, err := talk(net.Dial("tcp", "127.96.0.1:4443"))
		if err == nil && answer != "API heard hello" {
			err = fmt.Errorf("answer %q", answer)
		}
		return err
	})
}

func TestTheHostReachesPodsOverTheLink(t *testing.T) {
	r := newRig(t, nil)
	listener, err := net.Listen("tcp", "127.97.1.8:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.CopyN(conn, conn, 5)
			_ = conn.Close()
		}
	}()
	var conn net.Conn
	eventually(t, func() (err error) {
		conn, err = r.link.Dial(context.Background(), "tcp", listener.Addr().String())
		return err
	})
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "hello" {
		t.Errorf("through the link came %q, %v", answer, err)
	}
	_ = listener.Close()
	if _, err := r.link.Dial(context.Background(), "tcp", listener.Addr().String()); err == nil {
		t.Error("a port that nobody listens on was connected to")
	}
}

func TestNamesAreAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.put("web", "127.96.0.30", 8080, corev1.ProtocolTCP)
	for _, network := range []string{"udp", "tcp"} {
		eventually(t, func() error {
			asker := &dns.Client{Net: network, Timeout: 200 * time.Millisecond}
			answer, _, err := asker.Exchange(new(dns.Msg).SetQuestion("web.default.svc.cluster.local.", dns.TypeA), r.dns)
			if err != nil {
				return err
			}
			if len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != "127.96.0.30" {
				return fmt.Errorf("over %s: %v", network, answer)
			}
			return nil
		})
	}
}

// FuzzReadMessage: a link carries bytes from another process.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte(`{"Kind":"dial","Network":"tcp","Address":"10.97.1.5:80"}` + "\n"))
	f.Add([]byte("{\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		go func() {
			_, _ = near.Write(data)
			_ = near.Close()
		}()
		var h hello
		var u update
		_ = errors.Join(readMessage(far, &h), readMessage(far, &u))
		_ = far.Close()
	})
}
