package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/hashicorp/yamux"
	"k8s.io/apimachinery/pkg/types"

	"kubette/network"
)

// Link is the host's end.
type Link struct {
	session  *yamux.Session
	settings Settings
	table    *network.Table
	api      func(ctx context.Context) (net.Conn, error)
	streams  sync.WaitGroup
	setUp    chan struct{} // closed once the settings are on their way: they must be the first stream
}

// NewLink talks to a gateway over its standard streams. The table's changes are sent to it; api connects to the API server
// for pods that ask. Run it.
func NewLink(stdio io.ReadWriteCloser, settings Settings, table *network.Table, api func(ctx context.Context) (net.Conn, error)) (*Link, error) {
	session, err := yamux.Client(stdio, linkConfig())
	if err != nil {
		return nil, fmt.Errorf("link to the gateway: %w", err)
	}
	return &Link{session: session, settings: settings, table: table, api: api, setUp: make(chan struct{})}, nil
}

// Run keeps the gateway's table like the host's until the context ends or the link breaks, which is an error.
func (l *Link) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.session.Close() })
	defer stop()
	defer l.streams.Wait()
	defer l.session.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.streams.Go(func() { l.accept(ctx) })
	err := l.send(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the link to the gateway broke: %w", err)
}

// send writes the settings, then the table, then what changes in it.
func (l *Link) send(ctx context.Context) error {
	stream, err := l.session.Open()
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := errors.Join(writeMessage(stream, hello{Kind: kindSetup}), writeMessage(stream, l.settings)); err != nil {
		return err
	}
	close(l.setUp)
	l.streams.Go(func() { l.hear(stream) })
	known := map[types.NamespacedName]*network.Service{}
	var cut []string
	for first := true; ; first = false {
		services, changed := l.table.Services()
		if err := l.sendChanges(stream, known, services); err != nil {
			return err
		}
		if now := l.table.CutNodes(); !slices.Equal(now, cut) {
			if err := writeMessage(stream, update{Cut: &now}); err != nil {
				return err
			}
			cut = now
		}
		if first {
			if err := writeMessage(stream, update{Synced: true}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.session.CloseChan():
			return io.ErrUnexpectedEOF
		}
	}
}

func (l *Link) sendChanges(w io.Writer, known map[types.NamespacedName]*network.Service, services []*network.Service) error {
	gone := map[types.NamespacedName]bool{}
	for name := range known {
		gone[name] = true
	}
	for _, service := range services {
		name := types.NamespacedName{Namespace: service.Object.Namespace, Name: service.Object.Name}
		delete(gone, name)
		if known[name] == service {
			continue
		}
		if err := writeMessage(w, update{Name: name, Service: service}); err != nil {
			return err
		}
		known[name] = service
	}
	for name := range gone {
		if err := writeMessage(w, update{Name: name}); err != nil {
			return err
		}
		delete(known, name)
	}
	return nil
}

// hear takes in how much the gateway has carried where, until the stream ends.
func (l *Link) hear(gateway net.Conn) {
	defer l.table.Traffic.Beside(nil) // another gateway begins to count anew
	lines := bufio.NewReader(gateway)
	for {
		var counts []network.Count
		if readMessage(lines, &counts) != nil {
			return
		}
		l.table.Traffic.Beside(counts)
	}
}

// accept answers the gateway's streams: pods that want to talk to the API server.
func (l *Link) accept(ctx context.Context) {
	for {
		accepted, err := l.session.AcceptStream()
		if err != nil {
			return
		}
		l.streams.Go(func() { l.serve(ctx, stream{accepted}) })
	}
}

func (l *Link) serve(ctx context.Context, stream net.Conn) {
	var asked hello
	if err := readMessage(stream, &asked); err != nil || asked.Kind != kindAPI {
		_ = stream.Close()
		return
	}
	conn, err := l.api(ctx)
	if err != nil {
		slog.Debug("a pod's connection to the API", "error", err)
		_ = stream.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	network.Splice(conn, stream)
}

// Dial connects to an address in the container network, from inside it.
func (l *Link) Dial(ctx context.Context, networkName, address string) (net.Conn, error) {
	select {
	case <-l.setUp:
	case <-l.session.CloseChan():
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: networkName, Err: ctx.Err()}
	}
	opened, err := l.session.OpenStream()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: networkName, Err: fmt.Errorf("the gateway does not answer: %w", err)}
	}
	conn := stream{opened}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var answer reply
	err = errors.Join(writeMessage(conn, hello{Kind: kindDial, Network: networkName, Address: address}), readMessage(conn, &answer))
	switch {
	case !stop():
		return nil, &net.OpError{Op: "dial", Net: networkName, Err: ctx.Err()}
	case err == nil && answer.Error != "":
		err = errors.New(answer.Error)
	case err == nil && networkName == "udp":
		return packets{conn}, nil
	case err == nil:
		return conn, nil
	}
	_ = conn.Close()
	return nil, &net.OpError{Op: "dial", Net: networkName, Err: err}
}
