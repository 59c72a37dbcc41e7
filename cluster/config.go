package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"kubette/store"
)

// Runtimes that a cluster can have.
const (
	RuntimeAuto   = ""       // docker when an engine answers, else sim
	RuntimeDocker = "docker" // real containers on a Docker engine
	RuntimeSim    = "sim"    // simulated containers
)

// What becomes of services' spec.externalIPs, which let whoever may write a Service claim any address.
const (
	// ExternalIPsInside serves them where the simulated network does, and opens nothing on this machine.
	ExternalIPsInside = "inside"
	// ExternalIPsRefuse refuses them, as Kubernetes' admission plugin DenyServiceExternalIPs does.
	ExternalIPsRefuse = "refuse"
	// ExternalIPsOpen opens the services' ports on those addresses that this machine has: other machines may reach them.
	ExternalIPsOpen = "open"
)

// Config is what a user may choose about a cluster. The zero value is a cluster named kubette, with two workers.
type Config struct {
	Name string
	// Workers is the number of worker nodes beside the control plane; 0 means those of the last time, or two.
	Workers int
	workers []int // their numbers
	Runtime string
	// DataDir holds the store, keys and volumes; empty means that of the last time, or the cluster's folder in Home. Ephemeral keeps the store in
	// memory only.
	DataDir   string
	Ephemeral bool
	// Etcd keeps the store in an etcd, when it has endpoints. Other servers of the cluster may share it; what is this
	// server's own, its volumes and a copy of the cluster's keys, is in DataDir.
	Etcd store.EtcdOptions
	// Store is used instead of one of these, when it is not nil; whoever gives it closes it. Tests look on, and let it fail.
	Store store.Store
	// Ports on the loopback address; 0 takes the one of the last time, else the usual one if it is free, else any.
	// AnyPort takes any free one.
	APIPort, HTTPPort, HTTPSPort, ConsolePort int
	// Loopback is where the ports are opened; nil is this machine's own loopback network. A test gives one in memory, so
	// that a whole cluster fits into a bubble of virtual time.
	Loopback Loopback
	// Allow what could take over the host. All are refused by default.
	AllowPrivileged, AllowHostPath, AllowHostNetwork bool
	// ExternalIPs says what becomes of services' spec.externalIPs; empty means ExternalIPsInside.
	ExternalIPs string
	// Version is kubette's own.
	Version string
	// Progress receives a line for people about each step; nil drops them.
	Progress io.Writer
}

// AnyPort asks for any free port.
const AnyPort = -1

const (
	defaultWorkers = 2
	// maxWorkers keeps node addresses and pod ranges within the cluster's network.
	maxWorkers = 250
	// maxSimWorkers is for the simulated runtime, whose network is larger.
	maxSimWorkers = 5000
)

func (c Config) withDefaults(state *State) (Config, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Workers == 0 && len(state.Workers) > 0 {
		c.workers, c.Workers = slices.Clone(state.Workers), len(state.Workers)
	}
	if c.Workers == 0 {
		c.Workers = defaultWorkers
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.Loopback == nil {
		c.Loopback = hostLoopback{}
	}
	switch {
	case c.Workers < 1:
		return c, fmt.Errorf("--nodes %d: a cluster needs at least one worker node", c.Workers)
	case c.Workers > maxSimWorkers:
		return c, fmt.Errorf("--nodes %d: at most %d worker nodes are possible", c.Workers, maxSimWorkers)
	}
	for number := 1; len(c.workers) < c.Workers; number++ {
		c.workers = append(c.workers, number)
	}
	if c.Ephemeral && state.DataDir != "" && !state.Ephemeral {
		return c, fmt.Errorf("cluster %s keeps its objects in %s, and an ephemeral one of that name would remove them: choose another --name",
			c.Name, state.DataDir)
	}
	switch {
	case c.Ephemeral && len(c.Etcd.Endpoints) > 0:
		return c, errors.New("--ephemeral and --etcd-endpoints exclude each other: objects are in memory only, or in etcd")
	case len(c.Etcd.Endpoints) == 0 && c.Etcd.Asked():
		return c, errors.New("options for etcd are of no use without --etcd-endpoints")
	case len(c.Etcd.Endpoints) == 0 && len(state.Etcd) > 0:
		return c, fmt.Errorf("cluster %s keeps its objects in etcd: say --etcd-endpoints %s again, or choose another --name",
			c.Name, strings.Join(state.Etcd, ","))
	}
	switch c.Runtime {
	case RuntimeAuto, RuntimeDocker, RuntimeSim:
	default:
		return c, fmt.Errorf("--runtime %q: it must be docker or sim", c.Runtime)
	}
	switch c.ExternalIPs {
	case "":
		c.ExternalIPs = ExternalIPsInside
	case ExternalIPsInside, ExternalIPsRefuse, ExternalIPsOpen:
	default:
		return c, fmt.Errorf("--external-ips %q: it must be inside, refuse or open", c.ExternalIPs)
	}
	for flag, port := range map[string]int{"--api-port": c.APIPort, "--http-port": c.HTTPPort, "--https-port": c.HTTPSPort, "--console-port": c.ConsolePort} {
		if port != AnyPort && (port < 0 || port > 65535) {
			return c, fmt.Errorf("%s %d: a port is a number up to 65535", flag, port)
		}
	}
	if c.DataDir == "" {
		c.DataDir = cmp.Or(state.DataDir, state.Dir)
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("--data-dir %s: %w", c.DataDir, err)
	}
	c.DataDir = dir
	return c, nil
}
