package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"
)

// CleanupOptions say what Cleanup leaves or takes beyond the usual.
type CleanupOptions struct {
	KeepVolumes bool // the cluster's volume stays, with the persistent directories of its pods
	Images      bool // kubette's own images go too, which other clusters may use
}

// Cleanup removes what is labelled as a cluster's: containers, networks, volumes. It needs no Prepare.
func (e *Engine) Cleanup(ctx context.Context, cluster string, options CleanupOptions) error {
	label := labelCluster + "=" + cluster
	e.keeper.close() // it is one of the containers
	there, err := e.list(ctx, label)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(8)
	for _, summary := range there {
		group.Go(func() error { return e.remove(ctx, summary.ID) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := e.removeNetworks(ctx, label); err != nil {
		return err
	}
	volumes := []string{label}
	if options.KeepVolumes {
		volumes = append(volumes, labelUID) // only those in memory belong to a pod
	}
	if err := e.removeVolumes(ctx, volumes...); err != nil {
		return err
	}
	if options.Images {
		return e.removeImages(ctx)
	}
	return nil
}

// Owner is the owner of what the engine has of a cluster: ClusterConfig.Owner as it was when its network was made, and
// "" when there is none. It needs no Prepare.
func (e *Engine) Owner(ctx context.Context, cluster string) (string, error) {
	there, err := e.networks(ctx, labelCluster+"="+cluster)
	if err != nil || len(there) == 0 {
		return "", err
	}
	return there[0].Labels[labelOwner], nil
}

func (e *Engine) networks(ctx context.Context, label string) ([]network.Summary, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]network.Summary, error) {
		return e.api.NetworkList(ctx, network.ListOptions{Filters: scope(label)})
	})
	if err != nil {
		return nil, fmt.Errorf("list the networks: %w", explain(ctx, err))
	}
	return there, nil
}

// removeNetworks removes a cluster's networks, and takes whatever else is attached to them off first.
func (e *Engine) removeNetworks(ctx context.Context, label string) error {
	there, err := e.networks(ctx, label)
	if err != nil {
		return err
	}
	for _, left := range there {
		err := e.call(ctx, callTimeout, func(ctx context.Context) error {
			details, err := e.api.NetworkInspect(ctx, left.ID, network.InspectOptions{})
			if err != nil {
				return err
			}
			for id := range details.Containers {
				if err := e.api.NetworkDisconnect(ctx, left.ID, id, true); err != nil && !isGone(err) {
					return err
				}
			}
			return e.api.NetworkRemove(ctx, left.ID)
		})
		if err != nil && !isGone(err) {
			return fmt.Errorf("remove the network %s: %w", left.Name, err)
		}
	}
	return nil
}

// removeImages removes kubette's own images that no container uses.
func (e *Engine) removeImages(ctx context.Context) error {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return e.api.ImageList(ctx, image.ListOptions{Filters: scope(labelRole + "=" + roleImage)})
	})
	if err != nil {
		return fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	for _, left := range there {
		err := e.call(ctx, startTimeout, func(ctx context.Context) error {
			_, err := e.api.ImageRemove(ctx, left.ID, image.RemoveOptions{Force: true, PruneChildren: true})
			return err
		})
		if err != nil && !isGone(err) && !isConflict(err) {
			return fmt.Errorf("remove the image %s: %w", short(left.ID), err)
		}
	}
	return nil
}
