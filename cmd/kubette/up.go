package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
	"kubette/store"
)

// upFlags are what `kubette up` can be told.
type upFlags struct {
	config                                    cluster.Config
	apiPort, httpPort, httpsPort, consolePort string
	detach                                    bool
}

func newUp(o *options) *cobra.Command {
	f := &upFlags{}
	command := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster",
		Long: `Start a cluster, and run it until Ctrl-C. With --detach it goes on in the background until
` + "`kubette down`" + `.

Objects are kept in the data directory: the next ` + "`kubette up`" + ` has them again. After a crash it also finds the
containers that still run.`,
		Example: `  kubette up
  kubette up --detach --nodes 3
  kubette up --runtime sim --ephemeral
  kubette up --name second --http-port 9080
  kubette up --name one --etcd-endpoints http://127.0.0.1:2379   # and another one with --name two, elsewhere`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.config.Name, f.config.Version = o.name, programVersion()
			if cmd.Flags().Changed("nodes") && f.config.Workers == 0 {
				return errors.New("--nodes 0: a cluster needs at least one worker node")
			}
			for _, p := range []struct {
				flag, text string
				port       *int
			}{{"--api-port", f.apiPort, &f.config.APIPort}, {"--http-port", f.httpPort, &f.config.HTTPPort}, {"--https-port", f.httpsPort, &f.config.HTTPSPort}, {"--console-port", f.consolePort, &f.config.ConsolePort}} {
				if err := parsePort(p.flag, p.text, p.port); err != nil {
					return err
				}
			}
			if f.detach {
				return upDetached(cmd.Context(), cmd.OutOrStdout(), f.config.Name)
			}
			return upForeground(cmd.Context(), cmd.OutOrStdout(), f.config)
		},
	}
	flags := command.Flags()
	flags.IntVar(&f.config.Workers, "nodes", 0, "how many worker nodes, beside the control plane; by default those of the last time, else 2")
	flags.StringVar(&f.config.Runtime, "runtime", "", "docker or sim; by default docker when an engine answers, else sim")
	flags.StringVar(&f.config.DataDir, "data-dir", "", "where objects, keys and volumes are kept; by default that of the last time, else a folder in ~/.kubette")
	flags.BoolVar(&f.config.Ephemeral, "ephemeral", false, "keep objects in memory only: they are gone when the cluster stops")
	etcd := &f.config.Etcd
	flags.StringSliceVar(&etcd.Endpoints, "etcd-endpoints", nil, "keep objects in the etcd (v3) at these URLs, which several servers may share")
	flags.StringVar(&etcd.Prefix, "etcd-prefix", store.DefaultEtcdPrefix, "what all keys in etcd begin with; another one is another cluster")
	flags.StringVar(&etcd.CAFile, "etcd-cafile", "", "certificates of the CA that signed etcd's")
	flags.StringVar(&etcd.CertFile, "etcd-certfile", "", "certificate to show to etcd")
	flags.StringVar(&etcd.KeyFile, "etcd-keyfile", "", "key of the certificate to show to etcd")
	flags.StringVar(&etcd.Username, "etcd-username", "", "user of an etcd with authentication")
	flags.StringVar(&etcd.PasswordFile, "etcd-password-file", "", "file that holds the password of that user")
	flags.StringVar(&f.apiPort, "api-port", "", "the API server's port on 127.0.0.1; 0 for a free one (default 6443 when it is free)")
	flags.StringVar(&f.httpPort, "http-port", "", "the ingress' port for http; 0 for a free one (default 8080 when it is free)")
	flags.StringVar(&f.httpsPort, "https-port", "", "the ingress' port for https; 0 for a free one (default 8443 when it is free)")
	flags.StringVar(&f.consolePort, "console-port", "", "the console's port; 0 for a free one (default 8001 when it is free)")
	flags.BoolVarP(&f.detach, "detach", "d", false, "run in the background")
	flags.BoolVar(&f.config.AllowPrivileged, "allow-privileged", false, "let pods run privileged containers")
	flags.BoolVar(&f.config.AllowHostPath, "allow-host-path", false, "let pods mount paths of this machine")
	flags.StringVar(&f.config.ExternalIPs, "external-ips", "", "spec.externalIPs of services: refuse, open (on this machine's addresses: others may reach them), or inside the cluster only (default)")
	flags.BoolVar(&f.config.AllowHostNetwork, "allow-host-network", false, "let pods use this machine's network")
	return command
}

func parsePort(flag, text string, port *int) error {
	if text == "" {
		return nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 || number > 65535 {
		return fmt.Errorf("%s %s: a port is a number from 0 to 65535", flag, text)
	}
	if number == 0 {
		number = cluster.AnyPort
	}
	*port = number
	return nil
}

// upForeground runs a cluster in this process until the context ends.
func upForeground(ctx context.Context, out io.Writer, config cluster.Config) error {
	for {
		again, err := upOnce(ctx, out, config)
		if err != nil || !again {
			return err
		}
		fmt.Fprintf(out, "\nTaking the snapshot's objects ...\n")
	}
}

// upOnce runs a cluster until it is stopped; again is true when that was to take a snapshot's objects.
func upOnce(ctx context.Context, out io.Writer, config cluster.Config) (again bool, err error) {
	c, err := cluster.New(config)
	if err != nil {
		return false, err
	}
	begun := time.Now()
	fmt.Fprintf(out, "Starting cluster %s ...\n", config.Name)
	err = runCluster(ctx, c, func(context.Context) error {
		printReady(out, c, time.Since(begun))
		beFrugal()
		return nil
	}, func() { fmt.Fprintf(out, "\nStopping cluster %s ...\n", config.Name) })
	return c.Again(), err
}

// runCluster runs a cluster, and a function once it is ready. The cluster stops when the context ends, or when the
// function returns an error. Ending is told before it stops.
func runCluster(ctx context.Context, c *cluster.Cluster, ready func(ctx context.Context) error, ending func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.WithoutCancel(ctx)) }()
	var failed error
	select {
	case err := <-ended:
		return err
	case <-c.Ready():
		failed = ready(ctx)
	case <-ctx.Done():
	}
	if failed == nil {
		select {
		case err := <-ended: // somebody else asked it to stop
			return err
		case <-ctx.Done():
		}
	}
	ending()
	c.Stop()
	return errors.Join(failed, <-ended)
}

// readyMark begins what a cluster prints when it is ready.
const readyMark = "Ready after"

func printReady(out io.Writer, c *cluster.Cluster, took time.Duration) {
	state := c.State()
	var text strings.Builder
	fmt.Fprintf(&text, "%s %.2f s, on %s\n\n", readyMark, took.Seconds(), c.RuntimeName())
	fmt.Fprintf(&text, "  API       %s\n", state.Running.APIURL)
	fmt.Fprintf(&text, "  Ingress   %s  %s\n", state.Running.HTTPURL, state.Running.HTTPSURL)
	fmt.Fprintf(&text, "  Browser   %s   # as automatic proxy configuration: opens every ingress host under its own name\n", state.Running.PACURL())
	fmt.Fprintf(&text, "  Console   %s\n", c.ConsoleURL())
	if len(state.Etcd) > 0 {
		fmt.Fprintf(&text, "  Data      etcd at %s\n", strings.Join(state.Etcd, ", "))
	} else if state.Ephemeral {
		fmt.Fprintf(&text, "  Data      in memory only, gone when the cluster stops\n")
	} else {
		fmt.Fprintf(&text, "  Data      %s\n", state.DataDir)
	}
	fmt.Fprintf(&text, "\nIn another terminal:\n\n  %s\n  %s   # or merge it into your own kubeconfig\n\n",
		commandLine(state.Name, "kubectl get nodes"), commandLine(state.Name, "kubeconfig --merge"))
	_, _ = io.WriteString(out, text.String()) // at once: upDetached looks for its beginning
}

// commandLine is how a user calls kubette for a cluster.
func commandLine(name, rest string) string {
	if name != cluster.DefaultName {
		rest = "--name " + name + " " + rest
	}
	return programName() + " " + rest
}

// programName is how a user started this program: by its name, or with the go tool from its source.
func programName() string {
	self, err := os.Executable()
	if err == nil && strings.Contains(self, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/kubette"
	}
	return "kubette"
}

// detachTime bounds how long a cluster in the background may take to be ready.
const detachTime = 3 * time.Minute

// upDetached starts this program again as `kubette up` in the background, and returns when the cluster is ready.
func upDetached(ctx context.Context, out io.Writer, name string) error {
	state, err := cluster.ReadState(name)
	if err != nil {
		return err
	}
	unlock, err := state.Lock() // an error that names the running one comes at once
	if err != nil {
		return err
	}
	unlock()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find kubette's executable: %w", err)
	}
	logPath := filepath.Join(state.Dir, cluster.LogFile)
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the log of the cluster in the background: %w", err)
	}
	defer log.Close()
	var args []string
	for _, arg := range os.Args[1:] {
		if arg != "--detach" && arg != "-d" && arg != "--detach=true" {
			args = append(args, arg)
		}
	}
	child := exec.Command(self, args...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = inBackground()
	if err := child.Start(); err != nil {
		return fmt.Errorf("start the cluster in the background: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(detachTime)
	for {
		select {
		case <-ticker.C:
			if now, err := cluster.ReadState(name); err == nil && now.Running != nil && now.Running.PID == child.Process.Pid &&
				strings.Contains(readLog(logPath), readyMark) {
				copyLog(out, logPath)
				return nil
			}
		case <-ended:
			return fmt.Errorf("the cluster did not start:\n%s", readLog(logPath))
		case <-timeout:
			_ = child.Process.Kill()
			return fmt.Errorf("the cluster was not ready after %s; its log is %s", detachTime, logPath)
		case <-ctx.Done():
			_ = child.Process.Signal(os.Interrupt)
			<-ended
			return ctx.Err()
		}
	}
}

func readLog(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// copyLog shows what the cluster in the background printed when it was ready.
func copyLog(out io.Writer, path string) {
	scanner := bufio.NewScanner(strings.NewReader(readLog(path)))
	for scanner.Scan() {
		fmt.Fprintln(out, scanner.Text())
	}
}
