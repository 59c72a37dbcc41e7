package docker

import (
	"context"
	"net/netip"
	"sync"

	"kubette/kubelet/runtime"
)

// Node is one node's view of the engine: the containers that carry its label.
type Node struct {
	engine    *Engine
	config    NodeConfig
	addresses *addresses

	mu         sync.Mutex
	adopted    bool
	sandboxes  map[string]*sandbox // by identifier; those that this process made or adopted
	containers map[string]string   // the sandbox of a container that was created and not started yet
}

// NodeConfig says which node it is.
type NodeConfig struct {
	Name string
	// Prefix is the range of its pods' addresses.
	Prefix netip.Prefix
}

var _ runtime.Runtime = (*Node)(nil)

// Node returns a node's runtime. It may be called for any number of nodes, after Prepare.
func (e *Engine) Node(config NodeConfig) runtime.Runtime {
	return &Node{engine: e, config: config, addresses: newAddresses(config.Prefix), sandboxes: map[string]*sandbox{}, containers: map[string]string{}}
}

// Info implements runtime.Runtime.
func (n *Node) Info(ctx context.Context) (runtime.Info, error) {
	if err := n.engine.call(ctx, callTimeout, func(ctx context.Context) error {
		_, err := n.engine.api.Ping(ctx)
		return err
	}); err != nil {
		return runtime.Info{}, err
	}
	info := n.engine.info
	return runtime.Info{
		Name: "docker", Version: info.ServerVersion, OperatingSystem: info.OperatingSystem, KernelVersion: info.KernelVersion,
		Architecture: n.engine.architecture, CPUs: int64(info.NCPU), MemoryBytes: info.MemTotal,
	}, nil
}

// mine is the filter for this node's objects of a role.
func (n *Node) mine(role string, more ...string) []string {
	return append([]string{labelCluster + "=" + n.engine.config.Name, labelNode + "=" + n.config.Name, labelRole + "=" + role}, more...)
}
