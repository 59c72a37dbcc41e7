package docker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// Engine is one cluster's share of a Docker engine: its network, its images, its volumes, and what all its nodes have in
// common. Connect makes it, Prepare makes it usable, Node gives a node's view of it, Close ends its work.
type Engine struct {
	api          *client.Client
	architecture string // as Go names it: amd64, arm64
	info         system.Info
	config       ClusterConfig
	log          *slog.Logger

	network  Network
	pause    string // the pause image's identifier
	keeper   keeper
	builtins builtins
	registry reachability
	unused   unusedImages
	events   fanout
	records  records
	memory   memoryVolumes
	written  written
	sweep    sync.Mutex // emptying the trash

	starts chan struct{} // holds one value for each container that is being started

	background context.Context // ends with Close
	cancel     context.CancelFunc
	starting   sync.Mutex // no work begins while Close begins to wait
	work       sync.WaitGroup
}

// ClusterConfig says what Prepare makes.
type ClusterConfig struct {
	// Name of the cluster; the label kubette=NAME is on everything made for it.
	Name string
	// Owner says whose the cluster is, for others who use the engine; see Engine.Owner.
	Owner string
	// Network is the range of the cluster's pods and services; the zero prefix lets Prepare choose one that is free. Store
	// the choice (Engine.Network) and pass it in the next time.
	Network netip.Prefix
	// Images are kubette's own, and Programs the names under which their executable answers (in /bin of each).
	Images   []toolbox.Image
	Programs []string
	// Executable is the file that the built-in images are made of; empty is the running one.
	Executable string
	// Dial reaches addresses of the cluster's network where the host has no route to it (engines in a virtual machine);
	// nil does without.
	Dial func(ctx context.Context, address netip.AddrPort) (net.Conn, error)
	Log  *slog.Logger
}

// Prepare makes the cluster's network, its volume and its images. It adopts what is there from an earlier run. The
// built-in images are finished in the background; whoever needs one waits for it.
func (e *Engine) Prepare(ctx context.Context, config ClusterConfig) error {
	if config.Name == "" {
		return fmt.Errorf("a cluster needs a name")
	}
	e.config = config
	if e.log = config.Log; e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.starts = make(chan struct{}, max(4, 2*e.info.NCPU))
	e.background, e.cancel = context.WithCancel(context.Background())
	e.keeper.closed = false
	e.startEvents()
	e.startBuiltins()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		e.network, err = e.ensureNetwork(ctx)
		return err
	})
	group.Go(func() (err error) {
		if e.pause, err = e.ensurePause(ctx); err != nil {
			return err
		}
		return e.startKeeper(ctx)
	})
	group.Go(func() error {
		select {
		case <-e.events.opened:
			return nil
		case <-time.After(callTimeout):
			return fmt.Errorf("%w with its events", runtime.ErrUnavailable)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err := group.Wait(); err != nil {
		e.Close()
		return fmt.Errorf("prepare the Docker engine for the cluster %s: %w", config.Name, err)
	}
	e.start(e.removeNameless)
	return nil
}

// Close ends the background work. Containers go on running.
func (e *Engine) Close() {
	if e.cancel != nil {
		e.starting.Lock()
		e.cancel()
		e.starting.Unlock()
		e.work.Wait()
		e.keeper.close()
	}
	e.api.Close()
}

// Client is the connection to the engine, for what else the cluster runs there. It must not be closed.
func (e *Engine) Client() *client.Client { return e.api }

// Network is the cluster's network, after Prepare.
func (e *Engine) Network() Network { return e.network }

// Architecture is that of the engine's machine, as Go names it.
func (e *Engine) Architecture() string { return e.architecture }

// Describe is the engine in a few words: docker 28.2.2.
func (e *Engine) Describe() string { return "docker " + e.info.ServerVersion }

// start runs background work that Close waits for. After Close the work is done on the spot, and finds its context ended.
func (e *Engine) start(work func(ctx context.Context)) {
	e.starting.Lock()
	ended := e.background.Err() != nil
	if !ended {
		e.work.Add(1)
	}
	e.starting.Unlock()
	if ended {
		work(e.background)
		return
	}
	go func() {
		defer e.work.Done()
		work(e.background)
	}()
}
