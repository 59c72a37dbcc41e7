package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newNode(o *options) *cobra.Command {
	command := &cobra.Command{
		Use: "node", Short: "List, add, stop, start and remove the nodes of a running cluster",
		Example: `  kubette node add
  kubette node stop worker-2     # a power cut: see what becomes of its pods
  kubette node start worker-2`,
	}
	command.AddCommand(newNodeList(o), newNodeAdd(o),
		newNodeAction(o, "stop", "is off, its containers have ended", "Cut a node's power", `Cut a node's power: its containers end at once, and nobody is told. After 40 s without a heartbeat the node is NotReady;
its pods are replaced on other nodes when their toleration for that is over, after 5 minutes if they say nothing else.`,
			(*cluster.Control).StopNode),
		newNodeAction(o, "start", "is on", "Switch a node on again", `Switch a node on again. It removes what was replaced meanwhile and starts the pods that are still its own.`,
			(*cluster.Control).StartNode),
		newNodeAction(o, "remove", "is removed", "Remove a worker node", `Remove a worker node: its containers end and its Node object is deleted. Nothing is drained before; drain it first to
see its pods move in good order.`,
			(*cluster.Control).RemoveNode),
	)
	return command
}

func newNodeList(o *options) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "list", Short: "List the nodes", Args: cobra.NoArgs, Example: "  kubette node list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			status, err := control.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(status.Nodes)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(table, "NAME\tROLE\tPOWER\tREADY\tADDRESS\tPODS")
			for _, node := range status.Nodes {
				ready, power := "no", node.Power
				if node.Ready {
					ready = "yes"
				}
				if power == "" {
					power = "no machine"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\n", node.Name, node.Role, power, ready, node.Address, node.Pods)
			}
			return table.Flush()
		},
	}
	outputFlag(command, &output)
	return command
}

func newNodeAdd(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "add", Short: "Add a worker node", Args: cobra.NoArgs, Example: "  kubette node add",
		Long: "Add a worker node, which has the next number. The cluster has it again after a restart.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			name, err := control.AddNode(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "node %s is ready\n", name)
			return nil
		},
	}
}

// newNodeAction makes one of the commands that do something to a node that is there.
func newNodeAction(o *options, action, done, short, long string, do func(*cluster.Control, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: action + " NODE", Short: short, Long: long, Example: "  kubette node " + action + " worker-2",
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return nodeNames(cmd.Context(), o.name), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			if err := do(control, cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "node %s %s\n", args[0], done)
			return nil
		},
	}
}

// nodeNames completes a node's name; none when the cluster does not run.
func nodeNames(ctx context.Context, name string) []string {
	control, err := connect(name)
	if err != nil {
		return nil
	}
	status, err := control.Status(ctx)
	if err != nil {
		return nil
	}
	var all []string
	for _, node := range status.Nodes {
		all = append(all, node.Name)
	}
	return all
}
