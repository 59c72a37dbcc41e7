package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"kubette/kubelet/runtime"
)

const (
	// connectTimeout is how long an engine may take to say that it is there.
	connectTimeout = 2 * time.Second
	// callTimeout bounds a call that only looks or changes records; startTimeout one that starts or ends processes.
	callTimeout  = 30 * time.Second
	startTimeout = 90 * time.Second
)

// Connect finds the engine: the one that DOCKER_HOST names, or else the one at the default place. It returns
// runtime.ErrUnavailable with the reason in plain words when none answers.
func Connect(ctx context.Context) (*Engine, error) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("set up the Docker client from the environment (DOCKER_HOST, DOCKER_CERT_PATH): %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	info, err := api.Info(ctx)
	if err != nil {
		api.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%s is silent for %v", api.DaemonHost(), connectTimeout)
		}
		return nil, noEngine{fmt.Errorf("no Docker engine answers: %w", err)}
	}
	if info.OSType != "linux" {
		api.Close()
		return nil, fmt.Errorf("the Docker engine at %s runs %s containers; kubette needs Linux containers", api.DaemonHost(), info.OSType)
	}
	architecture := info.Architecture
	switch architecture {
	case "x86_64":
		architecture = "amd64"
	case "aarch64":
		architecture = "arm64"
	}
	if _, err := pauseProgram(architecture); err != nil {
		api.Close()
		return nil, err
	}
	return &Engine{api: api, architecture: architecture, info: info}, nil
}

// noEngine is why Connect fails. The client's own words, which name the address, say enough.
type noEngine struct{ error }

func (e noEngine) Is(target error) bool { return target == runtime.ErrUnavailable }

func (e noEngine) Unwrap() error { return e.error }

// within gives a call to the engine a time in which it must have answered.
func within[T any](ctx context.Context, timeout time.Duration, do func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result, err := do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return result, fmt.Errorf("%w within %v: %w", runtime.ErrUnavailable, timeout, err)
	}
	return result, err
}

// call is within for what returns nothing.
func (e *Engine) call(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	_, err := within(ctx, timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return explain(ctx, err)
}

// explain turns the client's errors into the runtime's: not found, or an engine that does not answer.
func explain(ctx context.Context, err error) error {
	var network net.Error
	switch {
	case err == nil, errors.Is(err, runtime.ErrUnavailable), errors.Is(err, runtime.ErrNotFound):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return err
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %w", runtime.ErrNotFound, err)
	case client.IsErrConnectionFailed(err), errors.As(err, &network), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", runtime.ErrUnavailable, err)
	}
	return err
}
