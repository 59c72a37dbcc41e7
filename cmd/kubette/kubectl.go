package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"
	"k8s.io/kubectl/pkg/cmd/util"

	"kubette/cluster"
)

func newKubectl(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl [command] [flags]",
		Short: "The real kubectl, pointed at the cluster",
		Long: `Everything after the word kubectl is for kubectl itself, which is linked into kubette. It talks to the cluster
that --name chooses (before the word kubectl). A link to kubette that is named kubectl does the same.`,
		Example: `  kubette kubectl get pods -A
  kubette --name second kubectl apply -f app.yaml
  alias kubectl='kubette kubectl'`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			signal.Reset() // Ctrl-C and kill are kubectl's own business, as they are under its own name
			if code := kubectlMain(o.name, args); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}

// kubectlMain runs kubectl with the cluster's credentials, unless its arguments name others.
func kubectlMain(name string, args []string) int {
	nameKubectlVersion()
	name = cmp.Or(name, cluster.DefaultName)
	if !namesKubeconfig(args) {
		state, err := cluster.ReadState(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "kubette:", err)
			return 1
		}
		if needsCluster(args) && !state.Alive() {
			fmt.Fprintf(os.Stderr, "kubette: cluster %s is not running; start it with `%s`\n", name, commandLine(name, "up"))
			return 1
		}
		if os.Getenv(commandVariable) == "" { // a command that is followed has credentials of its own
			if err := os.Setenv("KUBECONFIG", state.Kubeconfig()); err != nil {
				fmt.Fprintln(os.Stderr, "kubette:", err)
				return 1
			}
		}
	}
	os.Args = append([]string{"kubectl"}, args...)
	command := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		PluginHandler: cmd.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     os.Args,
		IOStreams:     genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
	})
	if err := cli.RunNoErrOutput(command); err != nil {
		util.CheckErr(err) // prints, and ends the process with kubectl's own code
	}
	return 0
}

// runKubectl runs one kubectl command in this process, for the demo. What it prints on errors becomes the error.
func runKubectl(ctx context.Context, state *cluster.State, out io.Writer, args ...string) (err error) {
	var complaints bytes.Buffer
	util.BehaviorOnFatal(func(message string, _ int) { panic(kubectlFailure(message)) })
	defer util.DefaultBehaviorOnFatal()
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case kubectlFailure:
			err = fmt.Errorf("kubectl %s: %s", strings.Join(args, " "), strings.TrimSpace(string(failure)))
		default:
			panic(failure)
		}
	}()
	flags := genericclioptions.NewConfigFlags(true)
	path := state.Kubeconfig()
	flags.KubeConfig = &path
	command := cmd.NewKubectlCommand(cmd.KubectlOptions{
		ConfigFlags: flags, Arguments: append([]string{"kubectl"}, args...),
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: &complaints},
	})
	command.SetArgs(args)
	command.SetErr(&complaints)
	if err := command.ExecuteContext(ctx); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

type kubectlFailure string

func namesKubeconfig(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--kubeconfig" || strings.HasPrefix(arg, "--kubeconfig=") {
			return true
		}
	}
	return false
}

// needsCluster says whether a command talks to a cluster at all: help and completion do not.
func needsCluster(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case "help", "completion", "options", "plugin", "kustomize", "--help", "-h":
		return false
	}
	for _, arg := range args {
		if arg == "--help" || arg == "-h" || arg == "--client" {
			return false
		}
	}
	return true
}
