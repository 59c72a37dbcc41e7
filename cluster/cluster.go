package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"kubette/apiserver"
	"kubette/apiserver/admission"
	"kubette/apiserver/auth"
	"kubette/console"
	"kubette/kubelet"
	"kubette/loop"
	"kubette/network"
	"kubette/store"
)

// Cluster is one cluster in this process. Make it with New, and Run it.
type Cluster struct {
	config Config
	state  *State
	ranges Ranges

	store         store.Store
	ca            *auth.CA
	token         string // the administrator's
	server        *apiserver.Server
	quota         *admission.ResourceQuota // counts what quotas limit
	authenticator *auth.Authenticator
	authorizer    *auth.Authorizer
	machine       *loop.Machine
	machines      machines // what nodes run their containers on
	table         *network.Table
	ingress       *network.Ingress
	cutting       sync.Mutex // serialises changes of which nodes are cut off
	policies      *network.Policies
	ports         listeners
	firstNode     int // the first of this server's node numbers
	explaining    explaining
	console       *console.Server

	fleet    fleet
	restarts restarts

	mu       sync.Mutex
	kubelets map[string]*kubelet.Kubelet
	again    bool // it is stopped to begin anew, see Again

	ready     chan struct{}
	stopAsked chan struct{}
	stopOnce  sync.Once
}

// traceLength is how many steps of components are kept for the explaining tools.
const traceLength = 20_000

// New checks a configuration. It touches nothing yet.
func New(config Config) (*Cluster, error) {
	if config.Name == "" {
		config.Name = DefaultName
	}
	state, err := ReadState(config.Name)
	if err != nil {
		return nil, err
	}
	config, err = config.withDefaults(state)
	if err != nil {
		return nil, err
	}
	return &Cluster{config: config, state: state, machine: loop.NewMachine(traceLength), table: network.NewTable(),
		kubelets: map[string]*kubelet.Kubelet{}, ready: make(chan struct{}), stopAsked: make(chan struct{})}, nil
}

// Run builds the cluster and runs it until the context ends or somebody asks it to stop, and then takes it down: it
// returns when its containers, networks and goroutines are gone. Its data stays, unless it is ephemeral. When it cannot
// be built, it returns why, and nothing is left of the attempt.
func (c *Cluster) Run(ctx context.Context) (err error) {
	unlock, err := c.state.Lock()
	if err != nil {
		return err
	}
	defer func() {
		unlock()
		if c.config.Ephemeral {
			err = errors.Join(err, c.state.Forget(true))
		}
	}()
	if err := os.MkdirAll(c.config.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory (--data-dir): %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var down teardown
	defer func() {
		if err = errors.Join(err, down.run(context.WithoutCancel(ctx))); err == nil {
			err = c.takeSnapshot()
		}
	}()
	if err := c.build(ctx, &down); err != nil {
		return err
	}
	close(c.ready)
	select {
	case <-ctx.Done():
	case <-c.stopAsked:
	}
	return nil
}

// build makes every part in the order in which each needs the ones before it. What it starts, it also tells how to take
// down; that happens in the opposite order.
func (c *Cluster) build(ctx context.Context, down *teardown) error {
	var err error
	if err := c.openStore(ctx, down); err != nil {
		return err
	}
	if c.machines, err = c.findMachines(ctx, down); err != nil { // Docker, or simulated
		return err
	}
	if err := c.shareNetwork(ctx); err != nil {
		return err
	}
	if c.ports, err = c.openPorts(down); err != nil {
		return err
	}
	if err := c.shareAddress(ctx); err != nil {
		return err
	}
	if err := c.startAPI(ctx, down); err != nil { // over the store
		return err
	}
	if err := c.bootstrap(ctx); err != nil { // the objects that every cluster begins with
		return err
	}
	// From here on, everybody only talks to the API.
	everybody := c.controllersAndScheduler()
	services, err := c.serviceNetwork()
	if err != nil {
		return err
	}
	everybody = append(everybody, services...)
	c.start(ctx, down, everybody)
	if err := c.startNodes(ctx, down); err != nil {
		return err
	}
	if err := c.connectContainers(ctx, down); err != nil { // the gateway into the container network
		return err
	}
	if err := c.waitForNodes(ctx); err != nil {
		return err
	}
	if err := c.waitForAccount(ctx); err != nil {
		return err
	}
	if err := c.startConsole(ctx, down); err != nil {
		return err
	}
	return c.announce(down)
}

// part is something that runs until its context ends.
type part func(ctx context.Context)

// start runs parts until the teardown.
func (c *Cluster) start(ctx context.Context, down *teardown, parts []part) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	for _, run := range parts {
		group.Go(func() { run(running) })
	}
	down.add(func(context.Context) error {
		cancel()
		group.Wait()
		return nil
	})
}

// teardown is what must be done at the end, the last first.
type teardown struct {
	steps []func(ctx context.Context) error
}

func (t *teardown) add(step func(ctx context.Context) error) { t.steps = append(t.steps, step) }

// teardownTime bounds each step: an engine that hangs must not keep kubette from ending.
const teardownTime = time.Minute

func (t *teardown) run(ctx context.Context) error {
	var errs []error
	for i := len(t.steps) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(ctx, teardownTime)
		errs = append(errs, t.steps[i](ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// Ready is closed when the API answers, all nodes are ready and pods may be made.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// Stop asks the cluster to stop; Run then returns.
func (c *Cluster) Stop() { c.stopOnce.Do(func() { close(c.stopAsked) }) }

// State says where the cluster is and how to reach it, once it is ready.
func (c *Cluster) State() *State { return c.state }

// RuntimeName says what runs the containers, in words.
func (c *Cluster) RuntimeName() string { return c.machines.describe() }

// listeners are the cluster's ports on the loopback address.
type listeners struct{ api, http, https, console net.Listener }

func (c *Cluster) openPorts(down *teardown) (listeners, error) {
	var l listeners
	var err error
	open := func(flag string, asked, last, usual int) net.Listener {
		if err != nil {
			return nil
		}
		var listener net.Listener
		if listener, err = listen(c.config.Loopback, flag, asked, last, usual); err == nil {
			down.add(func(context.Context) error { return ignoreClosed(listener.Close()) })
		}
		return listener
	}
	l.api = open("--api-port", c.config.APIPort, c.state.APIPort, usualAPIPort)
	l.http = open("--http-port", c.config.HTTPPort, c.state.HTTPPort, usualHTTPPort)
	l.https = open("--https-port", c.config.HTTPSPort, c.state.HTTPSPort, usualHTTPSPort)
	l.console = open("--console-port", c.config.ConsolePort, c.state.ConsolePort, usualConsolePort)
	return l, err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// announce writes how to reach the cluster, for other processes.
func (c *Cluster) announce(down *teardown) error {
	c.state.DataDir, c.state.Ephemeral, c.state.Runtime = c.config.DataDir, c.config.Ephemeral, c.machines.name()
	c.state.APIPort, c.state.HTTPPort, c.state.HTTPSPort = portOf(c.ports.api), portOf(c.ports.http), portOf(c.ports.https)
	c.state.ConsolePort = portOf(c.ports.console)
	c.state.Etcd = c.config.Etcd.Endpoints
	c.state.Network, c.state.Workers = c.ranges.Network.String(), c.fleet.numbers()
	c.state.Running = &Running{
		PID: os.Getpid(), Began: time.Now(), Version: c.config.Version,
		APIURL:   c.apiURL(),
		HTTPURL:  "http://" + c.ports.http.Addr().String(),
		HTTPSURL: "https://" + c.ports.https.Addr().String(),
	}
	down.add(func(context.Context) error {
		c.fleet.mu.Lock() // who adds or removes nodes writes the state, too
		defer c.fleet.mu.Unlock()
		c.state.Running = nil
		return c.state.write()
	})
	if err := c.writeKubeconfig(c.token); err != nil {
		return err
	}
	return c.state.write()
}
