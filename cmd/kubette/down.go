package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newDown(o *options) *cobra.Command {
	var deleteData bool
	command := &cobra.Command{
		Use:   "down",
		Short: "Stop a cluster, and remove its containers and networks",
		Long: `Stop a cluster, and remove all of its containers and networks, also those that a crash left behind.
Its objects stay in the data directory, unless --delete-data is given.`,
		Example: `  kubette down
  kubette down --name second --delete-data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return down(cmd.Context(), cmd.OutOrStdout(), o.name, deleteData)
		},
	}
	command.Flags().BoolVar(&deleteData, "delete-data", false, "remove the cluster's objects, keys and volumes, too")
	return command
}

// stopTime bounds how long a cluster may take to stop.
const stopTime = 2 * time.Minute

func down(ctx context.Context, out io.Writer, name string, deleteData bool) error {
	state, err := cluster.ReadState(name)
	if err != nil && state == nil {
		return err
	}
	if control, err := state.Connect(); err == nil {
		if err := control.Stop(ctx); err != nil {
			return err
		}
		fmt.Fprintf(out, "Stopping cluster %s ...\n", name)
	} else if !errors.Is(err, cluster.ErrNotRunning) {
		return err
	}
	unlock, err := waitForLock(ctx, state)
	if err != nil {
		return err
	}
	defer unlock()
	removed, err := state.RemoveContainers(ctx, deleteData || state.Ephemeral)
	if errors.Is(err, cluster.ErrForeign) && state.DataDir != "" {
		fmt.Fprintf(out, "Nothing was removed from the Docker engine: %v\n", err)
	} else if err != nil {
		return err
	}
	if removed > 0 {
		fmt.Fprintf(out, "Removed %d containers and networks that were left of it\n", removed)
	}
	if err := state.Forget(deleteData); err != nil {
		return err
	}
	switch {
	case deleteData:
		fmt.Fprintf(out, "Cluster %s is gone, with its data\n", name)
		if len(state.Etcd) > 0 {
			fmt.Fprintf(out, "Its objects are still in etcd at %s\n", strings.Join(state.Etcd, ", "))
		}
	case len(state.Etcd) > 0:
		fmt.Fprintf(out, "Server %s is down; the cluster's objects are in etcd at %s\n", name, strings.Join(state.Etcd, ", "))
	case state.DataDir != "" && !state.Ephemeral:
		fmt.Fprintf(out, "Cluster %s is down; its objects are kept in %s\n", name, state.DataDir)
	default:
		fmt.Fprintf(out, "Cluster %s is down\n", name)
	}
	return nil
}

// waitForLock returns when no process runs the cluster any more.
func waitForLock(ctx context.Context, state *cluster.State) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		unlock, err := state.Lock()
		if err == nil || !errors.Is(err, cluster.ErrRunning) {
			return unlock, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("cluster %s does not stop: %w", state.Name, ctx.Err())
		}
	}
}
