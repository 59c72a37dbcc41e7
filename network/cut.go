package network

import (
	"context"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// Cut makes the table's users treat nodes as if their cables were pulled: nothing goes between such a node and anything
// outside it. It is a fault that a user makes; the set replaces the one before.
func (t *Table) Cut(nodes []string) {
	set := map[string]bool{}
	for _, node := range nodes {
		set[node] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cuts.Store(&set)
	close(t.changed)
	t.changed = make(chan struct{})
}

// CutNodes lists the nodes that are cut off.
func (t *Table) CutNodes() []string {
	set := t.cuts.Load()
	if set == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(*set))
}

// Reaches says whether packets get from one address to another: inside a node always, elsewhere unless one of the nodes is cut
// off. Addresses of no node's pods (the host's, the control plane's, an invalid one) are of a node that is never cut off.
func (t *Table) Reaches(from, to netip.Addr) bool {
	set := t.cuts.Load()
	if set == nil || len(*set) == 0 || t.NodeOf == nil {
		return true
	}
	a, b := "", ""
	if from.IsValid() {
		a = t.NodeOf(from)
	}
	if to.IsValid() {
		b = t.NodeOf(to)
	}
	return a == b || !(*set)[a] && !(*set)[b]
}

// cutDialTimeout is how long a connection to a node that is cut off is tried: what has no patience of its own then says so.
const cutDialTimeout = 5 * time.Second

// Reach returns nil at once when an address can be reached from another one, and otherwise, after a time in which nothing
// answers, the error of a connection that nobody answered.
func (t *Table) Reach(ctx context.Context, network string, from, to netip.Addr) error {
	if t.Reaches(from, to) {
		return nil
	}
	err := os.NewSyscallError("connect", syscall.ETIMEDOUT)
	timer := time.NewTimer(cutDialTimeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
	}
	return &net.OpError{Op: "dial", Net: network, Err: err}
}

// silence keeps a connection open and answers nothing, until the client gives up: what a client of a service sees whose packets
// are lost on the way.
func (r *Relay) silence(conn net.Conn) {
	stop := context.AfterFunc(r.Context, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

// DropUnreachable closes the open connections to pods that cannot be reached any more and that no request uses.
func (i *Ingress) DropUnreachable() {
	i.http2.CloseIdleConnections()
	i.plain.transport.CloseIdleConnections()
	i.plain.drop(func(address string) bool {
		at, err := netip.ParseAddrPort(address)
		return err == nil && !i.config.Table.Reaches(netip.Addr{}, at.Addr())
	})
}

// drop closes the idle connections to some addresses.
func (d *direct) drop(which func(address string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, conns := range d.idle {
		if !which(address) {
			continue
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		delete(d.idle, address)
	}
}
