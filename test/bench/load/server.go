package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubette/cluster"
	"kubette/store"
)

// serverArgument makes this program the cluster instead of the load.
const serverArgument = "serve-cluster"

// profileVariable names the file for the server's CPU profile.
const profileVariable = "KUBETTE_LOAD_PROFILE"

// etcdVariable names an etcd for the server's store.
const etcdVariable = "KUBETTE_LOAD_ETCD"

// serveCluster runs a cluster until it is told to stop.
func serveCluster(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config := cluster.Config{
		Name: name, Workers: 1, Runtime: cluster.RuntimeSim,
		APIPort: cluster.AnyPort, HTTPPort: cluster.AnyPort, HTTPSPort: cluster.AnyPort, ConsolePort: cluster.AnyPort,
	}
	if url := os.Getenv(etcdVariable); url != "" {
		config.Etcd = store.EtcdOptions{Endpoints: []string{url}, Prefix: "/load-" + name}
	}
	c, err := cluster.New(config)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.WithoutCancel(ctx)) }()
	select {
	case err := <-ended:
		return err
	case <-c.Ready():
	}
	fmt.Println("Ready", c.State().Kubeconfig())
	if path := os.Getenv(profileVariable); path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); _ = file.Close() }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		c.Stop()
		return <-ended
	}
}

// server is the cluster's process.
type server struct {
	command *exec.Cmd
	config  *rest.Config
	file    string        // the store's
	took    time.Duration // from the start of the process to Ready
}

// start runs a cluster with its state under a directory, and returns when it is ready.
func start(ctx context.Context, dir, name, profile string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, serverArgument, name)
	command.Env = append(os.Environ(), "KUBETTE_HOME="+dir, profileVariable+"="+profile)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(begun)
	path, ready := strings.CutPrefix(strings.TrimSpace(line), "Ready ")
	if err != nil || !ready {
		_ = command.Process.Kill()
		return nil, errors.Join(fmt.Errorf("the cluster did not start: %s", strings.TrimSpace(complaints.String())), command.Wait())
	}
	s := &server{command: command, took: took, file: filepath.Join(filepath.Dir(path), "store.db")}
	if s.config, err = clientcmd.BuildConfigFromFlags("", path); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// stop ends the server as a user does.
func (s *server) stop() {
	_ = s.command.Process.Signal(os.Interrupt)
	_ = s.command.Wait()
}

// kill ends it as a power cut does; nothing happens when it has ended already.
func (s *server) kill() {
	if s.command.ProcessState == nil {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
	}
}

// ticks is the processor time that the server has used, in hundredths of a second; only Linux tells.
func (s *server) ticks() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	_, rest, found := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) < 13 {
		return 0
	}
	inUser, _ := strconv.ParseInt(fields[11], 10, 64)
	inSystem, _ := strconv.ParseInt(fields[12], 10, 64)
	return inUser + inSystem
}

// memory is how many bytes the server holds beside pages of files, and false where the system does not tell.
func (s *server) memory() (int64, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	_, rest, found := strings.Cut(string(data), "RssAnon:")
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) == 0 {
		return 0, false
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes << 10, err == nil
}
