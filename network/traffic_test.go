package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// one is a listener at which one client arrives.
type one struct {
	net.Listener
	client chan net.Conn
}

func (o one) Accept() (net.Conn, error) {
	if conn, ok := <-o.client; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// A service's connections count how long a pod took until it had them, with the tries at pods that did not answer: whoever
// connects, to the service's port or inside this process.
func TestConnectionsCountHowLongPodsTookThem(t *testing.T) {
	gone, there := netip.MustParseAddrPort("10.97.1.5:80"), netip.MustParseAddrPort("10.97.2.5:80")
	dial := func(_ context.Context, _ string, address netip.AddrPort) (net.Conn, error) {
		if address == gone {
			time.Sleep(20 * time.Millisecond)
			return nil, errors.New("no route to host")
		}
		time.Sleep(30 * time.Millisecond)
		near, far := net.Pipe()
		_ = far.Close()
		return near, nil
	}
	name := types.NamespacedName{Namespace: "default", Name: "web"}
	for _, test := range []struct {
		name    string
		took    time.Duration
		connect func(t *testing.T, table *Table)
	}{
		{"at the service's port", 50 * time.Millisecond, func(t *testing.T, table *Table) {
			var group sync.WaitGroup
			ranked := func(netip.Addr) []netip.AddrPort { return []netip.AddrPort{gone, there} }
			relay := &Relay{Ranked: ranked, Dial: dial, Count: table.Counter(name), Context: t.Context(), Group: &group}
			client, served := net.Pipe()
			arrives := make(chan net.Conn, 1)
			arrives <- served
			close(arrives)
			relay.ServeTCP(one{client: arrives})
			_ = client.Close()
			group.Wait()
		}},
		{"inside this process", 30 * time.Millisecond, func(t *testing.T, table *Table) {
			web, _ := table.Service("default", "web")
			web.Endpoints = web.Endpoints[1:] // it begins with any of them
			dialer := &Dialer{Table: table, Pod: dial}
			conn, err := dialer.Dial(t.Context(), "", netip.Addr{}, "tcp", "10.96.0.20:80")
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			web := service("default", "web", "10.96.0.20", nil, gone.String(), there.String())
			web.Endpoints[1].Pod = "web-2"
			table := tableOf(web)
			test.connect(t, table)
			counts := table.Traffic.Counts()
			if len(counts) != 1 || counts[0].Pod != "web-2" || counts[0].All != 1 || counts[0].Failed != 0 {
				t.Fatalf("%s: %+v is counted", test.name, counts)
			}
			if took := time.Duration(counts[0].Micros) * time.Microsecond; took != test.took {
				t.Errorf("%s: the pod took %s, want %s", test.name, took, test.took)
			}
		})
	}
}
