package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
	"kubette/examples"
)

// demoName is the demo's own cluster, so that it never touches another one.
const demoName = "demo"

func newDemo(o *options) *cobra.Command {
	var exit bool
	var runtime string
	command := &cobra.Command{
		Use:   "demo",
		Short: "See it all once: the course's application from manifests to a page, and a crash mended",
		Long: `Start a cluster of its own, apply the course's application to it, watch each object from wanted to running, request
it through the ingress, kill one of its containers and watch it come back. The cluster stays up until Ctrl-C for you
to look around, and then everything is removed.`,
		Example: `  kubette demo
  kubette demo --exit             # ends by itself: status 0 when all was seen
  kubette demo --runtime sim      # without Docker`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := demoName
			if cmd.Flags().Changed("name") {
				name = o.name
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), name, runtime, exit)
		},
	}
	command.Flags().BoolVar(&exit, "exit", false, "end when all was seen, with status 0, or not, with the reason")
	command.Flags().StringVar(&runtime, "runtime", "", "docker or sim; by default docker when an engine answers, else sim")
	return command
}

// errSeen ends the demo when all was seen and it is not to wait.
var errSeen = errors.New("all was seen")

func demo(ctx context.Context, out io.Writer, name, runtime string, exit bool) error {
	c, err := cluster.New(cluster.Config{Name: name, Runtime: runtime, Ephemeral: true, Version: programVersion()})
	if err != nil {
		return err
	}
	show := &story{out: out, colour: isTerminal(out), begun: time.Now()}
	show.title("kubette: a whole Kubernetes cluster in this process")
	err = runCluster(ctx, c, func(ctx context.Context) error {
		err := show.tell(ctx, c)
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C
		case err != nil:
			return fmt.Errorf("the demo did not go as it should: %w", err)
		case exit:
			return errSeen
		}
		show.say("The cluster stays up. Ctrl-C removes it and everything in it.")
		return nil
	}, func() { show.say("\nRemoving the cluster ...") })
	if errors.Is(err, errSeen) && len(flatten(err)) == 1 {
		err = nil
	}
	if err == nil {
		show.say("Nothing is left of it.")
	}
	return err
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// tell is the demo, step by step.
func (s *story) tell(ctx context.Context, c *cluster.Cluster) error {
	state := c.State()
	s.line("ready after %.2f s on %s", time.Since(s.begun).Seconds(), c.RuntimeName())
	s.line("API %s, ingress %s", state.Running.APIURL, state.Running.HTTPURL)

	dir, err := writeExamples(state.Dir)
	if err != nil {
		return err
	}
	watcher, stop := s.follow(ctx, c)
	defer stop()
	s.title("1. What is wanted (kubectl apply -f examples/course), and what becomes of it")
	if err := runKubectl(ctx, state, s.indented(), "apply", "-f", dir); err != nil {
		return err
	}
	if err := watcher.until(ctx, "both deployments are available", watcher.available("backend", "frontend")); err != nil {
		return err
	}
	s.title("2. From outside, through the ingress")
	visit := &visitor{story: s, base: state.Running.HTTPURL}
	if err := visit.application(ctx); err != nil {
		return err
	}
	s.title("3. A crash: one container is killed")
	if err := s.crash(ctx, c, watcher); err != nil {
		return err
	}
	if err := visit.afterCrash(ctx); err != nil {
		return err
	}
	s.title("How to go on")
	s.howToGoOn(state)
	return nil
}

// writeExamples puts the course's manifests into the cluster's folder, for kubectl to read.
func writeExamples(dir string) (string, error) {
	target := filepath.Join(dir, "examples", "course")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", fmt.Errorf("write the examples: %w", err)
	}
	names, err := fs.Glob(examples.Course, "course/*.yaml")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		data, err := examples.Course.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(target, filepath.Base(name)), data, 0o600); err != nil {
			return "", fmt.Errorf("write the examples: %w", err)
		}
	}
	return target, nil
}

func (s *story) howToGoOn(state *cluster.State) {
	port := state.Running.HTTPURL[strings.LastIndexByte(state.Running.HTTPURL, ':')+1:]
	for _, row := range [][2]string{
		{"the pods", commandLine(state.Name, "kubectl get pods -o wide")},
		{"why they are as they are", commandLine(state.Name, "kubectl describe pod -l app=backend")},
		{"more of them", commandLine(state.Name, "kubectl scale deployment backend --replicas 3")},
		{"the front end, in a browser", "http://" + frontendHost + ".localhost:" + port + "/"},
		{"the back end", "http://" + backendHost + ".localhost:" + port + "/docs"},
		{"a cluster of your own", commandLine(cluster.DefaultName, "up")},
	} {
		s.row(row[0], row[1])
	}
	s.say("")
}
