package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newPause(o *options) *cobra.Command {
	return newSteer(o, cluster.ActionPause, "Hold a component before its next step", `Hold a component (the scheduler, a controller, a node's kubelet, the service proxy, the ingress) before its next step.
What it would do then waits, and can be seen waiting. `+"`kubette status`"+` lists the components.`,
		`  kubette pause default-scheduler
  kubette kubectl create deployment web --image nginx   # its pod stays Pending
  kubette step default-scheduler                        # now it is bound
  kubette resume default-scheduler`)
}

func newResume(o *options) *cobra.Command {
	return newSteer(o, cluster.ActionResume, "Let a paused component go on", "Let a paused component go on.", "  kubette resume default-scheduler")
}

func newStep(o *options) *cobra.Command {
	return newSteer(o, cluster.ActionStep, "Let a paused component take a step, or several",
		"Let a paused component take one step, or as many as -n says. A step is one reconciliation, or the placing of one pod.",
		"  kubette step default-scheduler\n  kubette step replicaset-controller -n 3")
}

// newSteer makes one of the commands that hold components and let them go.
func newSteer(o *options, action, short, long, example string) *cobra.Command {
	var output string
	steps := 1
	command := &cobra.Command{
		Use: action + " COMPONENT", Short: short, Long: long, Example: example,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return componentNames(cmd.Context(), o.name), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			status, err := control.Steer(cmd.Context(), args[0], action, steps)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(status)
			}
			state := "runs"
			if status.Paused {
				state = "is paused"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s; %d waiting in its queue\n", status.Name, state, status.Queue)
			return nil
		},
	}
	outputFlag(command, &output)
	if action == cluster.ActionStep {
		command.Flags().IntVarP(&steps, "steps", "n", 1, "how many steps")
	}
	return command
}

func connect(name string) (*cluster.Control, error) {
	state, err := cluster.ReadState(name)
	if err != nil {
		return nil, err
	}
	control, err := state.Connect()
	if err == nil {
		control.Command = os.Getenv(commandVariable)
	}
	return control, err
}

// componentNames completes a component's name; none when the cluster does not run.
func componentNames(ctx context.Context, name string) []string {
	control, err := connect(name)
	if err != nil {
		return nil
	}
	status, err := control.Status(ctx)
	if err != nil {
		return nil
	}
	var all []string
	for _, component := range status.Components {
		all = append(all, component.Name)
	}
	return all
}
