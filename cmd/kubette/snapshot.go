package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newSnapshot(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "snapshot",
		Short: "Save a cluster's objects to a file, or bring them back from one",
		Example: `  kubette snapshot save before-the-exercise.db
  kubette snapshot restore before-the-exercise.db`,
	}
	command.AddCommand(
		&cobra.Command{
			Use: "save FILE", Short: "Save all objects of the running cluster, with their history",
			Example: "  kubette snapshot save monday.db",
			Args:    cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				control, err := connect(o.name)
				if err != nil {
					return err
				}
				if err := control.SaveSnapshot(cmd.Context(), args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The objects of cluster %s are saved in %s\n", o.name, args[0])
				return nil
			},
		},
		&cobra.Command{
			Use: "restore FILE", Short: "Bring back the objects of a snapshot",
			Long: `Bring back the objects of a snapshot. A cluster that runs is stopped for it, with all its containers, and begins anew
in the same process. The objects that it has are kept beside the others, in a file of their own.`,
			Example: "  kubette snapshot restore monday.db",
			Args:    cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				state, err := cluster.ReadState(o.name)
				if err != nil {
					return err
				}
				restored, running, err := restore(cmd.Context(), state, args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Cluster %s has the objects of %s, at revision %d", o.name, args[0], restored.Revision)
				if !running {
					fmt.Fprintf(cmd.OutOrStdout(), "; start it with `%s`", commandLine(o.name, "up"))
				}
				fmt.Fprintln(cmd.OutOrStdout())
				if restored.Old != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "What it had before is kept in %s\n", restored.Old)
				}
				return nil
			},
		},
	)
	return command
}

// restore brings back a snapshot, in a cluster that runs or one that does not.
func restore(ctx context.Context, state *cluster.State, snapshot string) (_ *cluster.Restored, running bool, err error) {
	unlock, err := state.Lock()
	if errors.Is(err, cluster.ErrRunning) {
		restored, err := state.RestoreRunning(ctx, snapshot)
		return restored, true, err
	}
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	restored, err := state.Restore(snapshot)
	return restored, false, err
}
