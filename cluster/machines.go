package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/sim"
	"kubette/network"
	"kubette/toolbox"
)

// machines is what nodes run their containers on: a Docker engine that they share, or a simulation.
type machines interface {
	name() string     // docker or sim
	describe() string // for people
	// node makes the container runtime of one node. If it has a method Close, whoever asked for it calls that at the end.
	node(name string, pods netip.Prefix) (runtime.Runtime, error)
	// dial connects to a pod.
	dial(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error)
	// kill ends a container of a node from outside, as a crash does.
	kill(ctx context.Context, node, container string) error
	// removeVolume deletes the directory of a persistent volume.
	removeVolume(ctx context.Context, dir string) error
	// connect joins the container network once the API is there: gateway and names.
	connect(ctx context.Context, c *Cluster, down *teardown) error
}

// findMachines takes the engine that the user wants, or that answers.
func (c *Cluster) findMachines(ctx context.Context, down *teardown) (machines, error) {
	if c.config.Runtime == RuntimeSim {
		return c.simulate("as asked for with --runtime sim")
	}
	engine, err := c.findDocker(ctx, down)
	switch {
	case err == nil:
		return engine, nil
	case errors.Is(err, ErrForeign):
		return nil, err
	case c.config.Runtime == RuntimeDocker:
		return nil, fmt.Errorf("start a Docker engine, or choose --runtime sim: %w", err)
	}
	return c.simulate("because " + err.Error())
}

func (c *Cluster) connectContainers(ctx context.Context, down *teardown) error {
	return c.machines.connect(ctx, c, down)
}

// simulation runs pods without containers.
type simulation struct {
	why     string
	cluster *Cluster
	network *sim.Network
	disks   *sim.Disks
	mu      sync.Mutex
	nodes   map[string]*sim.Runtime
}

func (c *Cluster) simulate(why string) (machines, error) {
	most := slices.Max(c.config.workers)
	if c.shared() {
		most = maxSimWorkers // other servers' nodes have addresses, too
	}
	ranges, err := newRanges(usualNetwork, most)
	if err != nil {
		return nil, err
	}
	c.ranges = ranges
	s := &simulation{why: why, cluster: c, network: sim.NewNetwork(), disks: &sim.Disks{}, nodes: map[string]*sim.Runtime{}}
	dialer, names := c.dialer(), c.names()
	s.network.Outside = func(ctx context.Context, from netip.Addr, networkName, address string) (net.Conn, error) {
		// As in Kubernetes, a pod behind a service sees the address of the pod that asks.
		own := *dialer
		own.Pod = func(ctx context.Context, networkName string, to netip.AddrPort) (net.Conn, error) {
			if s.network.Has(to.Addr()) {
				return s.network.DialFrom(ctx, networkName, from, to)
			}
			return c.dialPod(ctx, networkName, to)
		}
		own.Allows = func(to netip.AddrPort) bool {
			return s.network.Has(to.Addr()) || c.table.Reaches(from, to.Addr()) && c.policies.Allows(from, to, network.ProtocolOf(networkName))
		}
		return own.Dial(ctx, "", from, networkName, address)
	}
	s.network.Allows = func(networkName string, from netip.Addr, to netip.AddrPort) bool {
		if from.IsValid() && !c.table.Reaches(from, to.Addr()) { // a node itself always reaches its pods, to probe them
			return false
		}
		if to.Addr() == c.ranges.DNS {
			return c.policies.AllowsNames(from)
		}
		return c.policies.Allows(from, to, network.ProtocolOf(networkName))
	}
	s.network.Lookup = func(ctx context.Context, from netip.Addr, name string) ([]string, error) {
		if !c.policies.AllowsNames(from) || !c.table.Reaches(from, netip.Addr{}) {
			return nil, sim.Dropped(ctx)
		}
		found, known, err := names.LookupHost(ctx, "", name)
		if err != nil {
			return nil, err
		}
		if !known {
			return net.DefaultResolver.LookupHost(ctx, name)
		}
		var texts []string
		for _, address := range found {
			texts = append(texts, address.String())
		}
		return texts, nil
	}
	return s, nil
}

func (s *simulation) name() string     { return RuntimeSim }
func (s *simulation) describe() string { return "simulated containers, " + s.why }

func (s *simulation) node(name string, pods netip.Prefix) (runtime.Runtime, error) {
	r, err := sim.New(sim.Config{Node: name, Prefix: pods, Network: s.network, Disks: s.disks,
		Images: toolbox.Images(), Programs: toolbox.Programs()})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[name] = r
	return r, nil
}

func (s *simulation) dial(ctx context.Context, networkName string, address netip.AddrPort) (net.Conn, error) {
	return s.network.Dial(ctx, networkName, address)
}

func (s *simulation) kill(_ context.Context, node, container string) error {
	s.mu.Lock()
	r, ok := s.nodes[node]
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("there is no node %s", node)
	}
	return r.Kill(container)
}

func (s *simulation) removeVolume(_ context.Context, dir string) error {
	s.disks.Remove(dir)
	return nil
}

// connect starts the DNS server, which has the address of the service kube-dns on the simulated network. Nothing else needs
// to be joined: simulated pods are reached in this process.
func (s *simulation) connect(ctx context.Context, c *Cluster, down *teardown) error {
	s.network.Attach(c.ranges.DNS)
	at := netip.AddrPortFrom(c.ranges.DNS, 53)
	packets, err := s.network.ListenPacket(at, false)
	if err != nil {
		return fmt.Errorf("answer DNS: %w", err)
	}
	listener, err := s.network.Listen(at, false)
	if err != nil {
		return errors.Join(fmt.Errorf("answer DNS: %w", err), packets.Close())
	}
	resolvers, _ := os.ReadFile("/etc/resolv.conf") // not every system has it; names outside then have no answer here
	server := &network.DNSHandler{Names: c.names(), Forward: network.Resolvers(string(resolvers))}
	c.start(ctx, down, []part{func(ctx context.Context) { server.Serve(ctx, packets, listener) }})
	return nil
}
