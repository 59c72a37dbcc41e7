package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newFault(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "fault",
		Short: "Break something on purpose, and see what the cluster does about it",
		Long: `Break something on purpose, and see what the cluster does about it. A fault lasts until it is undone by its name
(` + "`kubette fault list`" + ` shows them), but for a crash, which the kubelet mends itself.`,
		Example: `  kubette fault crash backend-7c9f-x2v1
  kubette fault stop-node worker-1
  kubette fault slow-api 500ms
  kubette fault list
  kubette fault undo stop-node-worker-1`,
	}
	command.AddCommand(newFaultList(o), newFaultUndo(o), newFaultCrash(o),
		newNodeFault(o, cluster.FaultStopNode, "Cut a node's power: its containers end, and nobody is told"),
		newNodeFault(o, cluster.FaultCutNode, "Cut a node's network: its heartbeats stop, and no service, ingress or name server reaches its pods, which run on"),
		newFaultFillNode(o),
		newFaultStartNode(o), newFaultProbes(o), newFaultSlow(o))
	return command
}

func newFaultList(o *options) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "list", Short: "List what is broken on purpose", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			faults, err := control.Faults(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(faults)
			}
			if len(faults) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing is broken on purpose")
				return nil
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 3, ' ', 0)
			fmt.Fprintln(table, "NAME\tKIND\tTARGET\tSINCE")
			for _, f := range faults {
				target := f.Target
				if f.Delay != "" {
					target = f.Delay
				}
				if f.With != "" {
					target += " (" + f.With + ")"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Name, f.Kind, target, time.Since(f.Since).Round(time.Second))
			}
			return table.Flush()
		},
	}
	outputFlag(command, &output)
	return command
}

func newFaultUndo(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "undo NAME", Short: "Undo a fault", Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if control, err := connect(o.name); err == nil {
				faults, _ := control.Faults(cmd.Context())
				for _, f := range faults {
					names = append(names, f.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return mend(cmd, o, args[0]) },
	}
}

func mend(cmd *cobra.Command, o *options, name string) error {
	control, err := connect(o.name)
	if err != nil {
		return err
	}
	if err := control.Mend(cmd.Context(), name); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is undone\n", name)
	return nil
}

func newFaultCrash(o *options) *cobra.Command {
	fault := cluster.Fault{Kind: cluster.FaultCrash}
	command := &cobra.Command{
		Use: "crash POD", Short: "Kill a container behind the kubelet's back, as a crash of its program does", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fault.Target = args[0]
			made, err := inject(cmd, o, fault)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "container %s of pod %s is killed; `%s` shows what comes of it\n", made.Container, made.Target,
				commandLine(o.name, "why pod/"+made.Target+" -n "+made.Namespace))
			return nil
		},
	}
	namespaceFlag(command, &fault.Namespace)
	command.Flags().StringVarP(&fault.Container, "container", "c", "", "which container; the first one that runs otherwise")
	return command
}

func newNodeFault(o *options, kind, short string) *cobra.Command {
	return &cobra.Command{
		Use: kind + " NODE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return injectNamed(cmd, o, cluster.Fault{Kind: kind, Target: args[0]})
		},
	}
}

func newFaultFillNode(o *options) *cobra.Command {
	fault := cluster.Fault{Kind: cluster.FaultFillNode}
	command := &cobra.Command{
		Use: fault.Kind + " NODE", Short: "Fill a node: what pods may request there, or its memory, disk or process numbers", Args: cobra.ExactArgs(1),
		Long: `Fill a node. A pod requests all cpu and memory that is free on it, so that no other pod fits. With --with, the kubelet
believes instead that something which is no pod has used up the machine's memory, disk or process numbers: the node
comes under pressure, and evicts pods. Your machine itself has as much left as before.`,
		Example: "  kubette fault fill-node worker-1\n  kubette fault fill-node worker-1 --with memory",
		RunE: func(cmd *cobra.Command, args []string) error {
			fault.Target = args[0]
			return injectNamed(cmd, o, fault)
		},
	}
	command.Flags().StringVar(&fault.With, "with", "", "memory, disk or pids: what runs short on the machine")
	return command
}

func newFaultStartNode(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "start-node NODE", Short: "Switch a node on again: undoes stop-node", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return mend(cmd, o, cluster.FaultStopNode+"-"+args[0]) },
	}
}

func newFaultProbes(o *options) *cobra.Command {
	fault := cluster.Fault{Kind: cluster.FaultProbes}
	command := &cobra.Command{
		Use: cluster.FaultProbes + " POD", Short: "Let a pod's probes fail, whatever it answers", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fault.Target = args[0]
			return injectNamed(cmd, o, fault)
		},
	}
	namespaceFlag(command, &fault.Namespace)
	command.Flags().StringVarP(&fault.Container, "container", "c", "", "which container; all of them otherwise")
	return command
}

func newFaultSlow(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "slow-api DURATION", Short: "Make each request to the API server take longer", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return injectNamed(cmd, o, cluster.Fault{Kind: cluster.FaultSlowAPI, Delay: args[0]})
		},
	}
}

func injectNamed(cmd *cobra.Command, o *options, fault cluster.Fault) error {
	made, err := inject(cmd, o, fault)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s; undo it with `%s`\n", made.Name, commandLine(o.name, "fault undo "+made.Name))
	return nil
}

func inject(cmd *cobra.Command, o *options, fault cluster.Fault) (*cluster.Fault, error) {
	control, err := connect(o.name)
	if err != nil {
		return nil, err
	}
	return control.Break(cmd.Context(), fault)
}
