package main

import (
	"cmp"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"kubette/cluster"
)

// nameVariable names the cluster where --name does not.
const nameVariable = "KUBETTE_NAME"

// options are the flags that every command has.
type options struct {
	name    string
	verbose bool
}

func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "kubette",
		Short: "A small Kubernetes that you can run, watch and read on one machine",
		Long: `kubette is a whole Kubernetes cluster in one process: API server, store, controllers, scheduler,
nodes, service network and ingress. kubectl drives it; a Docker engine runs its containers, or,
where there is none, they are simulated.`,
		Example: `  kubette demo                        # see it all once, on the course's application
  kubette up                          # start a cluster, Ctrl-C ends it
  kubette kubectl get pods --watch    # in another terminal`,
		// Flags before the word kubectl are kubette's, those after it are kubectl's.
		TraverseChildren: true,
		SilenceUsage:     true,
		SilenceErrors:    true,
		// Without it, a mistyped command would show this help as if all were well.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			level := slog.LevelError
			if o.verbose {
				level = slog.LevelDebug
			}
			handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})
			slog.SetDefault(slog.New(handler))
			// Kubernetes' libraries log through klog: what they call information is detail here.
			klog.SetSlogLogger(slog.New(handler))
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.name, "name", cmp.Or(os.Getenv(nameVariable), cluster.DefaultName), "the cluster's name; "+nameVariable+" sets it, too")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "log what components do, on standard error")
	root.AddCommand(newDemo(o), newUp(o), newDown(o), newStatus(o), newKubeconfig(o), newKubectl(o), newOpen(o),
		newPause(o), newResume(o), newStep(o), newSnapshot(o), newNode(o), newImage(),
		newDiff(o), newWhy(o), newTrace(o), newHistory(o), newFault(o), newVersion())
	return root
}

// version is set when a release is built; otherwise the build tells.
var version = ""

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}
