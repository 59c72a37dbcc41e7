package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// create makes a container under a name. A container of that name which never ran is the remainder of an attempt that
// was cut off, and is replaced.
func (e *Engine) create(ctx context.Context, name string, config *container.Config, host *container.HostConfig) (string, error) {
	for attempt := 0; ; attempt++ {
		made, err := within(ctx, callTimeout, func(ctx context.Context) (container.CreateResponse, error) {
			return e.api.ContainerCreate(ctx, config, host, nil, nil, name)
		})
		if err == nil {
			return made.ID, nil
		}
		if !isConflict(err) || attempt > 0 {
			return "", explain(ctx, err)
		}
		there, inspectErr := e.api.ContainerInspect(ctx, name)
		if inspectErr != nil || there.Config.Labels[labelCluster] != e.config.Name || there.State.Status != container.StateCreated {
			return "", err
		}
		if err := e.remove(ctx, there.ID); err != nil {
			return "", err
		}
	}
}

// remove removes a container, running or not, with the volumes that its image asked for. One that is gone is no error.
func (e *Engine) remove(ctx context.Context, id string) error {
	err := e.call(ctx, startTimeout, func(ctx context.Context) error {
		return e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the container %s: %w", short(id), err)
	}
	return nil
}

func isConflict(err error) bool { return errdefs.IsConflict(err) }

// isGone says that there is nothing left to remove, or that it is being removed already.
func isGone(err error) bool {
	return err != nil && (errdefs.IsNotFound(err) || errors.Is(err, runtime.ErrNotFound) ||
		errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress"))
}
