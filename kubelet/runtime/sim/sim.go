package sim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	goruntime "runtime"
	"sync"
	"time"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// Config is what a simulated runtime is made from. Only Prefix is needed.
type Config struct {
	Node   string
	Prefix netip.Prefix // the node's pod addresses
	// Network connects the runtimes of one cluster; nil makes one for this runtime alone.
	Network *Network
	// Disks hold persistent volumes, shared by the runtimes of a cluster; nil makes private ones.
	Disks    *Disks
	Images   []toolbox.Image
	Programs map[string]toolbox.Program
	// PullTime is how long a pull takes; 0 is none.
	PullTime time.Duration
	// StopTime is how long a container that is only a record takes to end after the stop signal.
	StopTime time.Duration
	// CPUs and MemoryBytes are the simulated machine; zero means 4 CPUs and 8 GiB.
	CPUs, MemoryBytes int64
}

// Runtime simulates the containers of one node. It implements runtime.Runtime. Close ends its programs.
type Runtime struct {
	config Config
	images map[string]toolbox.Image // by normalised repository
	alive  context.Context
	stop   context.CancelFunc
	group  sync.WaitGroup // running programs

	mu         sync.Mutex
	down       bool // the node has no power
	sandboxes  map[string]*sandbox
	containers map[string]*container
	pods       map[string][]*container // by pod UID, oldest first
	pulled     map[string]*runtime.ImageStatus
	volumes    map[volumeKey]*tree
	host       *tree // what hostPath mounts show, made when needed
	addresses  map[netip.Addr]bool
	last       netip.Addr
	listeners  map[chan runtime.Event]struct{}
}

// New makes a runtime.
func New(config Config) (*Runtime, error) {
	if !config.Prefix.IsValid() {
		return nil, errors.New("sim: no range of pod addresses is given")
	}
	if config.Network == nil {
		config.Network = NewNetwork()
	}
	if config.Disks == nil {
		config.Disks = &Disks{}
	}
	if config.CPUs == 0 {
		config.CPUs = 4
	}
	if config.MemoryBytes == 0 {
		config.MemoryBytes = 8 << 30
	}
	alive, stop := context.WithCancel(context.Background())
	return &Runtime{
		config: config, images: imagesByRepository(config.Images), alive: alive, stop: stop,
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{}, pods: map[string][]*container{},
		pulled: map[string]*runtime.ImageStatus{}, volumes: map[volumeKey]*tree{},
		addresses: map[netip.Addr]bool{}, last: config.Prefix.Masked().Addr(),
		listeners: map[chan runtime.Event]struct{}{},
	}, nil
}

// Close kills every container and waits for the programs to end.
func (r *Runtime) Close() {
	r.PowerOff()
	r.stop()
	r.group.Wait()
}

// Info implements runtime.Runtime.
func (r *Runtime) Info(context.Context) (runtime.Info, error) {
	if err := r.up(); err != nil {
		return runtime.Info{}, err
	}
	return runtime.Info{
		Name: "sim", Version: "1.0.0", OperatingSystem: "kubette simulation", KernelVersion: "simulated",
		Architecture: goruntime.GOARCH, CPUs: r.config.CPUs, MemoryBytes: r.config.MemoryBytes,
	}, nil
}

// up returns an error while the node has no power.
func (r *Runtime) up() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.upLocked()
}

func (r *Runtime) upLocked() error {
	if r.down {
		return fmt.Errorf("node %s is off: %w", r.config.Node, runtime.ErrUnavailable)
	}
	return nil
}

// newID is an identifier as real runtimes make them: 64 hexadecimal digits.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
