package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
)

// The cluster's volume holds the files of all pods: config maps, secrets, empty directories, termination logs. It belongs
// to the engine, so it works wherever the engine is and leaves nothing on the host; containers get parts of it as bind
// mounts. kubette writes into it through the keeper, a container of the pause image that has the volume mounted and
// executes system calls: no root is needed on the host, owners and modes are as wanted, and a rename is a rename.
type keeper struct {
	mu        sync.Mutex
	worker    *worker
	closed    bool
	directory string // the volume's directory on the engine's machine
}

// errClosed is what the keeper answers after Close or Cleanup.
var errClosed = errors.New("the engine is no longer used")

// keeperMount is where the keeper sees the volume.
const keeperMount = "/volume"

// startKeeper makes the cluster's volume and starts its keeper. One of an earlier run is replaced: what it was doing when
// kubette ended is not known.
func (e *Engine) startKeeper(ctx context.Context) error {
	name := "kubette-" + e.config.Name
	made, err := within(ctx, callTimeout, func(ctx context.Context) (volume.Volume, error) {
		return e.api.VolumeCreate(ctx, volume.CreateOptions{
			Name: name, Labels: map[string]string{labelCluster: e.config.Name, labelRole: roleVolume},
		})
	})
	if err != nil {
		return fmt.Errorf("make the volume %s: %w", name, explain(ctx, err))
	}
	e.keeper.directory = made.Mountpoint
	if _, err := e.keeperWorker(ctx); err != nil {
		return err
	}
	return e.prepareVolume(ctx)
}

// keeperWorker returns the keeper's connection, and starts the keeper anew when it is gone: somebody may have removed it.
func (e *Engine) keeperWorker(ctx context.Context) (*worker, error) {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	if e.keeper.closed {
		return nil, errClosed
	}
	if worker := e.keeper.worker; worker != nil && !worker.isBroken() {
		return worker, nil
	}
	old, err := within(ctx, callTimeout, func(ctx context.Context) ([]container.Summary, error) {
		return e.api.ContainerList(ctx, container.ListOptions{
			All: true, Filters: scope(labelCluster+"="+e.config.Name, labelRole+"="+roleKeeper),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for the keeper of the cluster's volume: %w", explain(ctx, err))
	}
	for _, left := range old {
		if err := e.remove(ctx, left.ID); err != nil {
			return nil, err
		}
	}
	_, worker, err := e.startWorker(ctx, "kubette_"+e.config.Name+"_keeper", &container.Config{
		Labels: map[string]string{labelCluster: e.config.Name, labelRole: roleKeeper},
	}, &container.HostConfig{
		NetworkMode: "none",
		CapDrop:     []string{"ALL"},
		CapAdd:      []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"},
		Mounts: []mount.Mount{{
			Type: mount.TypeVolume, Source: "kubette-" + e.config.Name, Target: keeperMount,
			VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		}},
	}, false)
	if err != nil {
		return nil, fmt.Errorf("start the keeper of the cluster's volume: %w", err)
	}
	e.keeper.worker = worker
	return worker, nil
}

func (k *keeper) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

func (k *keeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.worker != nil {
		k.worker.close()
		k.worker = nil
	}
}
