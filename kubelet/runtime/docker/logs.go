package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"kubette/kubelet/runtime"
)

// Logs implements runtime.Runtime. With Follow it returns when the container has ended, or with the context's error.
func (n *Node) Logs(ctx context.Context, id string, options runtime.LogOptions, stdout, stderr io.Writer) error {
	details, err := n.engine.inspect(ctx, id)
	if err != nil {
		return err
	}
	wanted := container.LogsOptions{
		ShowStdout: stdout != nil, ShowStderr: stderr != nil, Follow: options.Follow, Timestamps: options.Timestamps, Tail: "all",
	}
	if !wanted.ShowStdout && !wanted.ShowStderr {
		return nil
	}
	if options.Tail >= 0 {
		wanted.Tail = strconv.FormatInt(options.Tail, 10)
	}
	if !options.Since.IsZero() {
		wanted.Since = fmt.Sprintf("%d.%09d", options.Since.Unix(), options.Since.Nanosecond())
	}
	log, err := n.engine.api.ContainerLogs(ctx, id, wanted)
	if err != nil {
		return fmt.Errorf("read the log of the container %s: %w", short(id), explain(ctx, err))
	}
	defer log.Close()
	if err := split(log, details.Config.Tty, stdout, stderr); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("read the log of the container %s: %w", short(id), err)
	}
	return nil
}

// split copies a container's stream to its writers: that of a terminal is plain, any other has both outputs in it.
func split(stream io.Reader, tty bool, stdout, stderr io.Writer) error {
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	var err error
	if tty {
		_, err = io.Copy(stdout, stream)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, stream)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
