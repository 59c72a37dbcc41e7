package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
	servicenetwork "kubette/network"
	"kubette/network/gateway"
	"kubette/toolbox"
)

// dockerMachines are nodes that share one Docker engine.
type dockerMachines struct {
	engine  *docker.Engine
	cluster *Cluster
	system  runtime.Runtime // for the cluster's own containers
	link    atomic.Pointer[gateway.Link]
}

// connectTime bounds how long an engine may take to answer when it is looked for.
const connectTime = 3 * time.Second

func (c *Cluster) findDocker(ctx context.Context, down *teardown) (machines, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTime)
	engine, err := docker.Connect(connecting)
	cancel()
	if err != nil {
		return nil, err
	}
	if last := slices.Max(c.config.workers); last > maxWorkers {
		engine.Close()
		return nil, fmt.Errorf("--nodes %d: on a Docker engine at most %d worker nodes are possible", last, maxWorkers)
	}
	if err := c.state.claim(ctx, engine); err != nil {
		engine.Close()
		return nil, err
	}
	m := &dockerMachines{engine: engine, cluster: c}
	prefix, err := c.agreedNetwork(ctx)
	if err != nil {
		engine.Close()
		return nil, err
	}
	if !prefix.IsValid() && c.state.Network != "" && c.state.Runtime == RuntimeDocker {
		if prefix, err = netip.ParsePrefix(c.state.Network); err != nil {
			engine.Close()
			return nil, fmt.Errorf("the network in the state of cluster %s: %w", c.config.Name, err)
		}
	}
	programs := []string{gateway.Program}
	for name := range toolbox.Programs() {
		programs = append(programs, name)
	}
	slices.Sort(programs)
	err = engine.Prepare(ctx, docker.ClusterConfig{
		Name: c.config.Name, Owner: c.state.owner(), Network: prefix, Images: toolbox.Images(), Programs: programs,
		Dial: m.dialThroughGateway, Log: slog.Default(),
	})
	if err != nil {
		return nil, errors.Join(err, engine.Cleanup(context.WithoutCancel(ctx), c.config.Name, docker.CleanupOptions{KeepVolumes: true}))
	}
	down.add(func(ctx context.Context) error {
		err := engine.Cleanup(ctx, c.config.Name, docker.CleanupOptions{KeepVolumes: !c.config.Ephemeral})
		engine.Close()
		return err
	})
	if c.ranges, err = newRanges(engine.Network().Prefix.String(), slices.Max(c.config.workers)); err != nil {
		return nil, err
	}
	m.system = engine.Node(docker.NodeConfig{Name: controlPlaneName, Prefix: c.ranges.NodePods(controlPlaneNumber)})
	return m, nil
}

func (m *dockerMachines) name() string     { return RuntimeDocker }
func (m *dockerMachines) describe() string { return "Docker engine (" + m.engine.Describe() + ")" }

func (m *dockerMachines) node(name string, pods netip.Prefix) (runtime.Runtime, error) {
	if name == controlPlaneName {
		return m.system, nil
	}
	return m.engine.Node(docker.NodeConfig{Name: name, Prefix: pods}), nil
}

// dial goes straight to a pod where this host has the containers' network, and through the gateway elsewhere.
func (m *dockerMachines) dial(ctx context.Context, networkName string, address netip.AddrPort) (net.Conn, error) {
	if m.engine.Network().Direct {
		return servicenetwork.DialDirect(ctx, networkName, address)
	}
	return m.throughGateway(ctx, networkName, address)
}

func (m *dockerMachines) dialThroughGateway(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	return m.throughGateway(ctx, "tcp", address)
}

var errNoGateway = errors.New("the gateway into the container network is not there just now")

func (m *dockerMachines) throughGateway(ctx context.Context, networkName string, address netip.AddrPort) (net.Conn, error) {
	link := m.link.Load()
	if link == nil {
		return nil, &net.OpError{Op: "dial", Net: networkName, Err: errNoGateway}
	}
	return link.Dial(ctx, networkName, address.String())
}

func (m *dockerMachines) kill(ctx context.Context, _, id string) error {
	return m.engine.Client().ContainerKill(ctx, id, "SIGKILL")
}

// removeVolume deletes a volume's directory. Files that a container made as root are root's: where kubette may not remove
// them, the error says so, and the volume stays as Failed for its user to see.
func (m *dockerMachines) removeVolume(_ context.Context, dir string) error { return os.RemoveAll(dir) }

// A gateway that lives for a shorter time than gatewayLife is started again only after a pause.
const (
	gatewayRetry = time.Second
	gatewayLife  = 5 * time.Second
)

func pause(ctx context.Context, lasts time.Duration) {
	select {
	case <-time.After(lasts):
	case <-ctx.Done():
	}
}

// connect starts the gateway, and starts it again whenever it is gone.
func (m *dockerMachines) connect(ctx context.Context, c *Cluster, down *teardown) error {
	stdio, err := m.startGateway(ctx)
	if err != nil {
		return err
	}
	c.start(ctx, down, []part{func(ctx context.Context) {
		for ctx.Err() == nil {
			if stdio != nil {
				begun := time.Now()
				if err := m.runLink(ctx, stdio); err != nil {
					slog.Warn("the gateway is started again", "reason", err)
				}
				if time.Since(begun) < gatewayLife {
					pause(ctx, gatewayRetry) // it cannot live: do not keep the engine busy
				}
			}
			if stdio, err = m.startGateway(ctx); err != nil && ctx.Err() == nil {
				slog.Warn("the gateway does not start", "error", err)
				pause(ctx, gatewayRetry)
			}
		}
		if stdio != nil {
			_ = stdio.Close()
		}
	}})
	return nil
}

func (m *dockerMachines) runLink(ctx context.Context, stdio io.ReadWriteCloser) error {
	c := m.cluster
	link, err := gateway.NewLink(stdio, gateway.Settings{
		Domain: Domain, Services: c.ranges.Services.String(), DNSAddress: c.ranges.DNS.String(),
		APIAddress: netip.AddrPortFrom(c.ranges.ControlPlane(), apiPort).String(), Nodes: c.nodeRanges(),
	}, c.table, c.dialAPI)
	if err != nil {
		return errors.Join(err, stdio.Close())
	}
	m.link.Store(link)
	defer m.link.CompareAndSwap(link, nil)
	return link.Run(ctx)
}

// gatewayTime bounds how long the engine may take to make the gateway's container.
const gatewayTime = 30 * time.Second

// startGateway replaces the gateway's container, whose state an earlier kubette may have left in the middle of a word,
// and returns its standard streams.
func (m *dockerMachines) startGateway(ctx context.Context) (io.ReadWriteCloser, error) {
	image, err := m.system.PullImage(ctx, "kubette.local/shell", nil, func(string) {})
	if err != nil {
		return nil, fmt.Errorf("make the gateway's image: %w", err)
	}
	api, name := m.engine.Client(), "kubette_"+m.cluster.config.Name+"_gateway"
	if err := api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("remove the old gateway: %w", err)
	}
	// A request that is cut off in the middle may still make a container, after everything else was removed.
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatewayTime)
	defer cancel()
	made, err := api.ContainerCreate(creating,
		&container.Config{
			Image: image.ID, Entrypoint: []string{"/bin/" + gateway.Program}, Hostname: "gateway",
			OpenStdin: true, AttachStdin: true, AttachStdout: true,
			Labels: map[string]string{"kubette": m.cluster.config.Name, "kubette.role": "gateway"},
		},
		&container.HostConfig{
			NetworkMode: container.NetworkMode(m.engine.Network().Name), CapAdd: []string{"NET_ADMIN"},
			ReadonlyRootfs: true, LogConfig: container.LogConfig{Type: "none"},
		},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			m.engine.Network().Name: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: m.cluster.ranges.Gateway().String()}},
		}}, nil, name)
	if err != nil {
		return nil, fmt.Errorf("make the gateway: %w", err)
	}
	attached, err := api.ContainerAttach(ctx, made.ID, container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		return nil, fmt.Errorf("attach to the gateway: %w", err)
	}
	if err := api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		attached.Close()
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	output, demultiplexed := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(demultiplexed, io.Discard, attached.Reader)
		_ = demultiplexed.CloseWithError(errors.Join(err, io.EOF))
	}()
	return &attachedStreams{Reader: output, Writer: attached.Conn, conn: attached.Conn}, nil
}

type attachedStreams struct {
	io.Reader
	io.Writer
	conn net.Conn
}

func (a *attachedStreams) Close() error { return a.conn.Close() }

// RemoveContainers removes what a cluster that nobody runs has left in the Docker engine: containers and networks. It
// returns how many there were; without an engine there is nothing to remove. Volumes are data: they stay unless asked for.
// It returns ErrForeign when what is there is not this cluster's.
func (s *State) RemoveContainers(ctx context.Context, volumes bool) (int, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTime)
	engine, err := docker.Connect(connecting)
	cancel()
	if err != nil {
		return 0, nil
	}
	defer engine.Close()
	if err := s.claim(ctx, engine); err != nil {
		return 0, err
	}
	mine := filters.NewArgs(filters.Arg("label", "kubette="+s.Name))
	left, err := engine.Client().ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	if err != nil {
		return 0, fmt.Errorf("list the containers of cluster %s: %w", s.Name, err)
	}
	networks, err := engine.Client().NetworkList(ctx, network.ListOptions{Filters: mine})
	if err != nil {
		return 0, fmt.Errorf("list the networks of cluster %s: %w", s.Name, err)
	}
	return len(left) + len(networks), engine.Cleanup(ctx, s.Name, docker.CleanupOptions{KeepVolumes: !volumes})
}
