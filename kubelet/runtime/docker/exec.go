package docker

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// Exec implements runtime.Runtime. When the context ends first, Exec returns and the process loses its streams, but the
// engine offers no way to end it: it goes on until it notices or its container ends. Kubernetes is no better off.
func (n *Node) Exec(ctx context.Context, id string, command []string, streams runtime.Streams) (int, error) {
	api := n.engine.api
	created, err := within(ctx, callTimeout, func(ctx context.Context) (container.ExecCreateResponse, error) {
		return api.ContainerExecCreate(ctx, id, container.ExecOptions{
			Cmd: command, Tty: streams.TTY, AttachStdin: streams.Stdin != nil, AttachStdout: true, AttachStderr: !streams.TTY,
		})
	})
	if err != nil {
		return 0, fmt.Errorf("run a command in the container %s: %w", short(id), explain(ctx, err))
	}
	attached, err := hijack(ctx, func(ctx context.Context) (types.HijackedResponse, error) {
		return api.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: streams.TTY})
	})
	if err != nil {
		return 0, fmt.Errorf("run a command in the container %s: %w", short(id), explain(ctx, err))
	}
	resize := func(ctx context.Context, size container.ResizeOptions) error {
		return api.ContainerExecResize(ctx, created.ID, size)
	}
	if err := copyStreams(ctx, attached, streams, resize); err != nil {
		return 0, fmt.Errorf("run a command in the container %s: %w", short(id), err)
	}
	return n.exitCode(ctx, created.ID)
}

// exitCode asks for a command's exit code; its streams end a moment before the engine has it.
func (n *Node) exitCode(ctx context.Context, exec string) (int, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		state, err := within(ctx, callTimeout, func(ctx context.Context) (container.ExecInspect, error) {
			return n.engine.api.ContainerExecInspect(ctx, exec)
		})
		if err != nil {
			return 0, fmt.Errorf("ask how the command ended: %w", explain(ctx, err))
		}
		if !state.Running {
			return state.ExitCode, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Attach implements runtime.Runtime. It returns when the container has ended, or the caller's streams have.
func (n *Node) Attach(ctx context.Context, id string, streams runtime.Streams) error {
	details, err := n.engine.inspect(ctx, id)
	if err != nil {
		return err
	}
	streams.TTY = details.Config.Tty
	if !details.Config.OpenStdin {
		streams.Stdin = nil
	}
	api := n.engine.api
	attached, err := hijack(ctx, func(ctx context.Context) (types.HijackedResponse, error) {
		return api.ContainerAttach(ctx, id, container.AttachOptions{
			Stream: true, Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil && !streams.TTY,
		})
	})
	if err != nil {
		return fmt.Errorf("attach to the container %s: %w", short(id), explain(ctx, err))
	}
	resize := func(ctx context.Context, size container.ResizeOptions) error {
		return api.ContainerResize(ctx, id, size)
	}
	if err := copyStreams(ctx, attached, streams, resize); err != nil {
		return fmt.Errorf("attach to the container %s: %w", short(id), err)
	}
	return nil
}

// hijack opens a stream, within the time that the engine has to answer.
func hijack(ctx context.Context, open func(context.Context) (types.HijackedResponse, error)) (types.HijackedResponse, error) {
	return within(ctx, startTimeout, open)
}

// copyStreams moves a process' streams until its output ends or the context does.
func copyStreams(ctx context.Context, attached types.HijackedResponse, streams runtime.Streams, resize func(context.Context, container.ResizeOptions) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close)
	defer stop()
	if streams.Stdin != nil {
		// It ends with its reader, which is the caller's: it may stay in a read after the process has ended.
		go func() {
			io.Copy(attached.Conn, streams.Stdin) // a process that is gone reads no more
			attached.CloseWrite()
		}()
	}
	if streams.Resize != nil {
		go func() {
			for {
				select {
				case size, ok := <-streams.Resize:
					if !ok {
						return
					}
					resize(ctx, container.ResizeOptions{Height: uint(size.Height), Width: uint(size.Width)}) // a process that is gone has no size
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	err := split(attached.Reader, streams.TTY, streams.Stdout, streams.Stderr)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
