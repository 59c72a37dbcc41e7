package gateway

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"kubette/network"
)

// Program is the name under which kubette's executable runs as a gateway.
const Program = "kubette-gateway"

// Main runs a gateway over this process' standard streams until it is told to end, and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	resolv, _ := os.ReadFile("/etc/resolv.conf")
	err := Serve(ctx, Config{
		Stdio:   stdio{os.Stdin, os.Stdout},
		Forward: network.Resolvers(string(resolv)),
		Claim:   claim,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		return 1
	}
	return 0
}

type stdio struct {
	io.Reader
	io.Writer
}

func (stdio) Close() error { return nil }

// Config is what a gateway runs with.
type Config struct {
	// Stdio is the link.
	Stdio io.ReadWriteCloser
	// Forward are the resolvers for names outside the cluster.
	Forward []string
	// DNSPort is where DNS is answered; 0 is 53.
	DNSPort int
	// Claim makes this host answer on all addresses of a range.
	Claim func(services netip.Prefix) error
}

// gateway is the container's end.
type gateway struct {
	config   Config
	session  *yamux.Session
	settings Settings
	table    *network.Table
	ports    *ports
	api      netip.AddrPort
	group    sync.WaitGroup
}

// Serve runs a gateway until the context ends. It goes on when the link breaks.
func Serve(ctx context.Context, config Config) error {
	session, err := yamux.Server(config.Stdio, linkConfig())
	if err != nil {
		return fmt.Errorf("link to the host: %w", err)
	}
	g := &gateway{config: config, session: session, table: network.NewTable()}
	g.ports = newPorts(g.table, g.dial)
	ctx, cancel := context.WithCancel(ctx)
	defer g.group.Wait()
	defer g.ports.close()
	defer session.Close()
	defer cancel()
	setup, err := g.firstStream()
	if err != nil {
		return err
	}
	if err := g.prepare(ctx); err != nil {
		return err
	}
	g.group.Go(func() { g.accept(ctx) })
	g.follow(ctx, setup)
	<-ctx.Done()
	return nil
}

// firstStream reads the settings.
func (g *gateway) firstStream() (net.Conn, error) {
	stream, err := g.session.Accept()
	if err != nil {
		return nil, fmt.Errorf("wait for the host: %w", err)
	}
	var asked hello
	if err := errors.Join(readMessage(stream, &asked), readMessage(stream, &g.settings)); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	if asked.Kind != kindSetup {
		return nil, fmt.Errorf("the host began with %q instead of the settings", asked.Kind)
	}
	return stream, nil
}

// prepare takes the service addresses, and answers DNS.
func (g *gateway) prepare(ctx context.Context) error {
	services, err := netip.ParsePrefix(g.settings.Services)
	if err != nil {
		return fmt.Errorf("the range of service addresses: %w", err)
	}
	if g.api, err = netip.ParseAddrPort(g.settings.APIAddress); err != nil {
		return fmt.Errorf("the API server's address: %w", err)
	}
	if g.table.NodeOf, err = network.NodesByRange(g.settings.Nodes); err != nil {
		return err
	}
	if err := g.config.Claim(services); err != nil {
		return fmt.Errorf("answer on %s: %w", services, err)
	}
	return g.serveDNS(ctx)
}

func (g *gateway) serveDNS(ctx context.Context) error {
	handler := &network.DNSHandler{Names: &network.Names{Table: g.table, Domain: g.settings.Domain}, Forward: g.config.Forward, Reaches: func(from netip.Addr) bool {
		return g.table.Reaches(from, netip.Addr{})
	}}
	address := net.JoinHostPort(g.settings.DNSAddress, strconv.Itoa(cmp.Or(g.config.DNSPort, 53)))
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("answer DNS: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("answer DNS: %w", err)
	}
	g.group.Go(func() { handler.Serve(ctx, packets, listener) })
	return nil
}

// follow applies the host's updates until the link breaks.
func (g *gateway) follow(ctx context.Context, setup net.Conn) {
	defer setup.Close()
	stop := context.AfterFunc(ctx, func() { _ = setup.Close() })
	defer stop()
	g.group.Go(func() { g.tell(ctx, setup) })
	updates := bufio.NewReader(setup)
	for {
		var change update
		if err := readMessage(updates, &change); err != nil {
			return
		}
		if change.Cut != nil {
			g.table.Cut(*change.Cut)
		}
		if change.Synced || change.Cut != nil {
			continue
		}
		g.table.Replace(change.Name, change.Service)
		g.ports.update(change.Name, change.Service, g.settings.DNSAddress)
	}
}

// tellEvery is how often the host is told how much went where, if that has changed.
const tellEvery = time.Second

// tell tells the host what the services' ports have carried.
func (g *gateway) tell(ctx context.Context, host net.Conn) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	var told []network.Count
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := g.table.Traffic.Counts(); !slices.Equal(now, told) {
			if writeMessage(host, now) != nil {
				return
			}
			told = now
		}
	}
}

// accept answers the host's streams: connections to pods.
func (g *gateway) accept(ctx context.Context) {
	for {
		accepted, err := g.session.AcceptStream()
		if err != nil {
			return
		}
		g.group.Go(func() { g.serve(ctx, stream{accepted}) })
	}
}

// dialTime bounds how long a connection to a pod may take to come about.
const dialTime = 10 * time.Second

func (g *gateway) serve(ctx context.Context, host net.Conn) {
	var asked hello
	if err := readMessage(host, &asked); err != nil || asked.Kind != kindDial {
		_ = host.Close()
		return
	}
	conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, asked.Network, asked.Address)
	if err != nil {
		_ = writeMessage(host, reply{Error: strings.TrimPrefix(err.Error(), "dial tcp ")})
		_ = host.Close()
		return
	}
	if err := writeMessage(host, reply{}); err != nil {
		_ = conn.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if asked.Network == "udp" {
		conn, host = udpSocket{conn}, packets{host}
	}
	network.Splice(conn, host)
}

// dial connects to an endpoint: the API server's over the link, all others directly.
func (g *gateway) dial(ctx context.Context, networkName string, endpoint netip.AddrPort) (net.Conn, error) {
	if endpoint != g.api {
		return network.DialDirect(ctx, networkName, endpoint)
	}
	opened, err := g.session.OpenStream()
	if err != nil {
		return nil, err
	}
	if err := writeMessage(opened, hello{Kind: kindAPI}); err != nil {
		_ = opened.Close()
		return nil, err
	}
	return stream{opened}, nil
}
