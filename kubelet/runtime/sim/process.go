package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// process is a running program: a goroutine, and the sockets that end with it.
type process struct {
	cancel context.CancelFunc
	stdin  *io.PipeWriter // nil when the container has no stdin

	mu      sync.Mutex
	ended   bool
	sockets map[io.Closer]struct{}
}

// launch starts a container's program; the runtime's lock is held.
func (r *Runtime) launch(c *container, program toolbox.Program, args []string) {
	ctx, cancel := context.WithCancel(r.alive)
	p := &process{cancel: cancel}
	c.process = p
	output := c.output()
	world := r.world(c, p, args)
	world.Stdout, world.Stderr = output.writer(false), output.writer(true)
	if c.config.Stdin {
		reader, writer := io.Pipe()
		world.Stdin, p.stdin = reader, writer
	}
	r.group.Go(func() {
		code := run(ctx, program, world)
		cancel()
		p.closeSockets()
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.state.State == runtime.Running {
			r.finish(c, code, false)
		}
	})
}

// run calls a program and turns a panic into what a crash looks like.
func run(ctx context.Context, program toolbox.Program, world *toolbox.Process) (code int) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Fprintf(world.Stderr, "panic: %v\n\n%s", reason, debug.Stack())
			code = 2
		}
	}()
	return program(ctx, world)
}

// world is what a program of a container sees; the runtime's lock is held.
func (r *Runtime) world(c *container, p *process, args []string) *toolbox.Process {
	image, _ := r.lookup(c.config.Image)
	s := c.sandbox
	process := &toolbox.Process{
		Args: args, Dir: c.config.WorkingDir, Hostname: s.config.Hostname, Files: r.filesOf(c),
		Env: environment(image.Env, s.config.Hostname, c.config.Env),
		Listen: func(network, address string) (net.Listener, error) {
			return r.listen(p, s, network, address)
		},
		ListenPacket: func(network, address string) (net.PacketConn, error) {
			return r.listenPacket(p, s, network, address)
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			conn, err := r.config.Network.dialPod(ctx, s, network, address)
			if err != nil {
				return nil, err
			}
			return p.keep(conn)
		},
		LookupHost: func(ctx context.Context, name string) ([]string, error) {
			if address, err := netip.ParseAddr(name); err == nil {
				return []string{address.String()}, nil
			}
			return r.config.Network.lookupPod(ctx, s, name)
		},
	}
	if process.Dir == "" {
		process.Dir = "/"
	}
	return process
}

// environment is the image's, then what every container has, then the pod's; later ones win.
func environment(image []string, hostname string, pod []runtime.EnvVar) []string {
	env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "HOSTNAME=" + hostname}, image...)
	position := map[string]int{}
	for i, each := range env {
		name, _, _ := strings.Cut(each, "=")
		position[name] = i
	}
	for _, each := range pod {
		text := each.Name + "=" + each.Value
		if i, ok := position[each.Name]; ok {
			env[i] = text
			continue
		}
		position[each.Name] = len(env)
		env = append(env, text)
	}
	return env
}

func (r *Runtime) listen(p *process, s *sandbox, network, address string) (net.Listener, error) {
	at, local, err := s.own("tcp", network, address)
	if err != nil {
		return nil, err
	}
	l, err := r.config.Network.Listen(at, local)
	if err != nil {
		return nil, err
	}
	if _, err := keep[net.Listener](p, l); err != nil {
		return nil, err
	}
	return &trackedListener{Listener: l, process: p}, nil
}

func (r *Runtime) listenPacket(p *process, s *sandbox, network, address string) (net.PacketConn, error) {
	at, local, err := s.own("udp", network, address)
	if err != nil {
		return nil, err
	}
	socket, err := r.config.Network.ListenPacket(at, local)
	if err != nil {
		return nil, err
	}
	if _, err := keep(p, socket); err != nil {
		return nil, err
	}
	return &trackedPackets{PacketConn: socket, process: p}, nil
}

// own turns what a program listens on into an address of its pod; local is for the loopback.
func (s *sandbox) own(family, network, address string) (at netip.AddrPort, local bool, err error) {
	failed := func(err error) error { return &net.OpError{Op: "listen", Net: network, Err: err} }
	if !strings.HasPrefix(network, family) {
		return at, false, failed(net.UnknownNetworkError(network))
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return at, false, failed(err)
	}
	number, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return at, false, failed(fmt.Errorf("unknown port %q", portText))
	}
	ip, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(s.address, uint16(number)), host == "localhost" || err == nil && ip.IsLoopback(), nil
}

// trackedPackets forgets itself when it is closed.
type trackedPackets struct {
	net.PacketConn
	process *process
}

func (s *trackedPackets) Close() error {
	s.process.drop(s.PacketConn)
	return s.PacketConn.Close()
}

// trackedListener hands out connections that end with their process.
type trackedListener struct {
	net.Listener
	process *process
}

func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.process.keep(conn)
}

func (l *trackedListener) Close() error {
	l.process.drop(l.Listener)
	return l.Listener.Close()
}

// keep makes a connection end with the process.
func (p *process) keep(c net.Conn) (net.Conn, error) {
	if _, err := keep[net.Conn](p, c); err != nil {
		return nil, err
	}
	return &trackedConn{Conn: c, process: p}, nil
}

func keep[T io.Closer](p *process, socket T) (T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		_ = socket.Close()
		return socket, net.ErrClosed
	}
	if p.sockets == nil {
		p.sockets = map[io.Closer]struct{}{}
	}
	p.sockets[socket] = struct{}{}
	return socket, nil
}

func (p *process) drop(socket io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sockets, socket)
}

// closeSockets ends what the process had open, as the kernel does.
func (p *process) closeSockets() {
	p.mu.Lock()
	sockets := p.sockets
	p.sockets, p.ended = nil, true
	p.mu.Unlock()
	for socket := range sockets {
		_ = socket.Close()
	}
	if p.stdin != nil {
		_ = p.stdin.Close()
	}
}

// trackedConn forgets itself when it is closed.
type trackedConn struct {
	net.Conn
	process *process
}

func (c *trackedConn) Close() error {
	c.process.drop(c.Conn)
	return c.Conn.Close()
}

// CloseWrite closes one direction where the connection can.
func (c *trackedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// hostsFile is the pod's /etc/hosts by name.
func (s *sandbox) hostsFile() map[string]string {
	names := map[string]string{"localhost": "127.0.0.1", s.config.Hostname: s.address.String()}
	if s.config.Domain != "" {
		names[s.config.Hostname+"."+s.config.Domain] = s.address.String()
	}
	for _, entry := range s.config.Hosts {
		for _, name := range entry.Names {
			names[name] = entry.Address
		}
	}
	return names
}

// candidates are the names that a resolver tries for a name, by resolv.conf's ndots and search.
func (s *sandbox) candidates(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{strings.TrimSuffix(name, ".")}
	}
	ndots := 1
	for _, option := range s.config.DNS.Options {
		if text, ok := strings.CutPrefix(option, "ndots:"); ok {
			if n, err := strconv.Atoi(text); err == nil {
				ndots = n
			}
		}
	}
	var searched []string
	for _, domain := range s.config.DNS.Searches {
		searched = append(searched, name+"."+domain)
	}
	if strings.Count(name, ".") >= ndots {
		return append([]string{name}, searched...)
	}
	return append(searched, name)
}
