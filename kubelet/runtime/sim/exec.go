package sim

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path"

	"kubette/kubelet/runtime"
)

// Exec implements runtime.Runtime: the command runs as a program of the toolbox beside the container's own.
func (r *Runtime) Exec(ctx context.Context, id string, command []string, streams runtime.Streams) (int, error) {
	r.mu.Lock()
	c, err := r.running(id)
	if err != nil {
		r.mu.Unlock()
		return 0, err
	}
	if len(command) == 0 {
		r.mu.Unlock()
		return 0, fmt.Errorf("no command is given")
	}
	program := r.config.Programs[path.Base(command[0])]
	if program == nil {
		r.mu.Unlock()
		return 0, fmt.Errorf("OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH", command[0])
	}
	p := &process{}
	world := r.world(c, p, command)
	ended := c.wait()
	r.mu.Unlock()
	world.Stdin, world.Stdout, world.Stderr = streams.Stdin, streams.Stdout, streams.Stderr
	if world.Stdout == nil {
		world.Stdout = io.Discard
	}
	if world.Stderr == nil {
		world.Stderr = io.Discard
		if streams.TTY {
			world.Stderr = world.Stdout
		}
	}
	if streams.TTY && streams.Stdin != nil {
		t := newTerminal(world.Stdout)
		defer t.end()
		world.Stdin, world.Stdout, world.Stderr, world.Interrupts = t, t, t, t.interrupts
		world.Env = append(world.Env, "TERM=xterm") // as an engine does
		r.group.Go(func() { t.typing(streams.Stdin) })
	}
	ctx, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	done := make(chan int, 1)
	r.group.Go(func() {
		code := run(ctx, program, world)
		p.closeSockets()
		done <- code
	})
	defer cancel()
	select {
	case code := <-done:
		return code, nil
	case <-ended: // the container's end takes everything in it along
		p.closeSockets()
		return 137, nil
	case <-ctx.Done():
		p.closeSockets()
		return 137, ctx.Err()
	}
}

// Attach implements runtime.Runtime.
func (r *Runtime) Attach(ctx context.Context, id string, streams runtime.Streams) error {
	r.mu.Lock()
	c, err := r.running(id)
	if err != nil {
		r.mu.Unlock()
		return err
	}
	output, ended, p := c.output(), c.wait(), c.process
	once := c.config.StdinOnce
	r.mu.Unlock()
	watcher := &attachment{stdout: streams.Stdout, stderr: streams.Stderr}
	if streams.TTY && watcher.stderr == nil {
		watcher.stderr = streams.Stdout
	}
	output.attach(watcher)
	defer output.detach(watcher)
	if streams.Stdin != nil && p != nil && p.stdin != nil {
		r.group.Go(func() {
			_, _ = io.Copy(p.stdin, streams.Stdin)
			if once {
				_ = p.stdin.Close()
			}
		})
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Dial implements runtime.Runtime.
func (r *Runtime) Dial(ctx context.Context, id string, number int32) (io.ReadWriteCloser, error) {
	return r.dialSandbox(ctx, id, number, true)
}

// DialAddress is Dial without the loopback: what a probe does, and why it fails for a program that listens on localhost.
func (r *Runtime) DialAddress(ctx context.Context, id string, number int32) (io.ReadWriteCloser, error) {
	return r.dialSandbox(ctx, id, number, false)
}

func (r *Runtime) dialSandbox(ctx context.Context, id string, number int32, loopback bool) (io.ReadWriteCloser, error) {
	r.mu.Lock()
	s, ok := r.sandboxes[id]
	err := r.upLocked()
	r.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("sandbox %s: %w", id, runtime.ErrNotFound)
	}
	return r.config.Network.dial(ctx, "tcp", netip.Addr{}, netip.AddrPortFrom(s.address, uint16(number)), loopback)
}
