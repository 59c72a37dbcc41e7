package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// kubernetesVersion is the one whose behaviour kubette follows.
const kubernetesVersion = "v1.37.2"

func newVersion() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:     "version",
		Short:   "Print kubette's version, and that of the Kubernetes that it follows",
		Example: "  kubette version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": programVersion(),
					"kubernetes": kubernetesVersion, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "kubette %s, as Kubernetes %s (%s, %s/%s)\n",
				programVersion(), kubernetesVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	outputFlag(command, &output)
	return command
}

func outputFlag(command *cobra.Command, output *string) {
	command.Flags().StringVarP(output, "output", "o", "", "json for scripts; a table otherwise")
}

func checkOutput(output string) error {
	if output != "" && output != "json" {
		return fmt.Errorf("-o %q: only json is possible", output)
	}
	return nil
}
