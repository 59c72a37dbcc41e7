package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/network"
)

// measureProxy counts new connections per second, each with a byte there and back, through the relay that the gateway has
// for every service port.
func measureProxy(ctx context.Context, table *tabwriter.Writer) error {
	pod, err := network.ListenService("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer pod.Close()
	go func() {
		for {
			conn, err := pod.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.CopyN(conn, conn, 1)
				_ = conn.Close()
			}()
		}
	}()
	name := types.NamespacedName{Namespace: "default", Name: "web"}
	services := network.NewTable()
	services.Replace(name, &network.Service{
		Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}}},
		Endpoints: []network.Endpoint{{Address: netip.MustParseAddrPort(pod.Addr().String()), Protocol: corev1.ProtocolTCP, Ready: true, Serving: true}},
	})
	listener, err := network.ListenService("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	relay := &network.Relay{Ranked: services.Toward(name, 80, corev1.ProtocolTCP), Context: ctx, Group: &group,
		Dial: func(ctx context.Context, kind string, address netip.AddrPort) (net.Conn, error) {
			return network.DialDirect(ctx, kind, address)
		}}
	group.Go(func() { relay.ServeTCP(listener) })
	direct, err := connectionsPerSecond(pod.Addr().String())
	if err != nil {
		cancel()
		return err
	}
	rate, err := connectionsPerSecond(listener.Addr().String())
	_ = listener.Close()
	cancel()
	group.Wait()
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "new connections without the proxy\t%.0f/s\t\n", direct)
	fmt.Fprintf(table, "new connections through the service proxy\t%.0f/s (client and pod on the same cores)\tat least 5000/s\n", rate)
	return nil
}

func connectionsPerSecond(address string) (float64, error) {
	const lasts = 4 * time.Second
	var done atomic.Int64
	var failed atomic.Value
	var clients sync.WaitGroup
	begun := time.Now()
	for range 32 {
		clients.Go(func() {
			for time.Since(begun) < lasts && failed.Load() == nil {
				if err := oneConnection(address); err != nil {
					failed.Store(err)
				}
				done.Add(1)
			}
		})
	}
	clients.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(done.Load()) / time.Since(begun).Seconds(), nil
}

func oneConnection(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}
