package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

func newStatus(o *options) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "status",
		Short: "Show a cluster's components, nodes, runtime and addresses",
		Example: `  kubette status
  kubette status -o json`,
		Args: cobra.NoArgs,
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
			if status.ConsoleURL, err = control.ConsoleURL(cmd.Context()); err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			}
			return printStatus(cmd.OutOrStdout(), status)
		},
	}
	outputFlag(command, &output)
	return command
}

func printStatus(out io.Writer, s *cluster.Status) error {
	data := s.DataDir
	if s.Ephemeral {
		data = "in memory only"
	}
	if len(s.Etcd) > 0 {
		data = "etcd at " + strings.Join(s.Etcd, ", ")
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	for _, row := range [][2]string{
		{"Cluster", fmt.Sprintf("%s (pid %d, kubette %s)", s.Name, s.PID, s.Version)}, {"Runtime", s.Runtime}, {"Data", data},
		{"API", s.APIURL}, {"Ingress", s.HTTPURL + "  " + s.HTTPSURL}, {"Console", s.ConsoleURL}, {"Browser proxy", s.PACURL}, {"Revision", fmt.Sprint(s.Revision)},
	} {
		fmt.Fprintf(table, "%s:\t%s\n", row[0], row[1])
	}
	fmt.Fprintf(table, "\nNODE\tROLE\tREADY\tPODS\tADDRESS\n")
	for _, n := range s.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", n.Name, n.Role, yesNo(n.Ready), n.Pods, n.Address)
	}
	fmt.Fprintf(table, "\nCOMPONENT\tQUEUE\tSTATE\n")
	for _, c := range s.Components {
		state := "running"
		if c.Paused {
			state = "paused"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", c.Name, c.Queue, state)
	}
	return table.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
