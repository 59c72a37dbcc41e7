package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// program is kubette, built for this run, with a folder for its clusters' state.
type program struct{ dir, path string }

func build(ctx context.Context) (*program, error) {
	dir, err := os.MkdirTemp("", "kubette-bench-")
	if err != nil {
		return nil, err
	}
	p := &program{dir: dir, path: filepath.Join(dir, "kubette")}
	if runtime.GOOS == "windows" {
		p.path += ".exe"
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", p.path, "kubette/cmd/kubette").CombinedOutput(); err != nil {
		p.remove()
		return nil, fmt.Errorf("build kubette: %w\n%s", err, out)
	}
	return p, nil
}

func (p *program) remove() { _ = os.RemoveAll(p.dir) }

// command is kubette with arguments, and a state folder of its own.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, p.path, args...)
	command.Env = append(os.Environ(), "KUBETTE_HOME="+filepath.Join(p.dir, "home"))
	return command
}

// process is a running cluster.
type process struct {
	program *program
	name    string
	command *exec.Cmd
	took    time.Duration // from the start of the process to Ready
}

// up starts a cluster on free ports, and returns when it says that it is ready.
func (p *program) up(ctx context.Context, name string, args ...string) (*process, error) {
	args = append([]string{"up", "--name", name, "--api-port", "0", "--http-port", "0", "--https-port", "0"}, args...)
	c := &process{program: p, name: name, command: p.command(ctx, args...)}
	var complaints bytes.Buffer
	c.command.Stderr = &complaints
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Ready") {
			c.took = time.Since(begun)
			go func() { // what it prints later is not read by anybody, but must not block it
				for lines.Scan() {
				}
			}()
			return c, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("kubette up ended before it was ready: %s", strings.TrimSpace(complaints.String())), c.command.Wait())
}

// down removes the cluster with all that it has.
func (c *process) down() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := c.program.command(ctx, "down", "--name", c.name, "--delete-data").CombinedOutput(); err != nil {
		fmt.Printf("  down: %v: %s\n", err, out)
		_ = c.command.Process.Kill()
	}
	_ = c.command.Wait()
}

// access is how to reach the cluster's API, without the client's own limit of requests in a second.
func (c *process) access() (*rest.Config, error) {
	data, err := c.program.command(context.Background(), "kubeconfig", "--name", c.name).Output()
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}

func (c *process) client() (kubernetes.Interface, error) {
	config, err := c.access()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// memory is the process' resident memory in bytes: all of it, the part that is not pages of files, and the most there
// ever was. Only Linux tells.
type memory struct{ all, anonymous, peak int64 }

func (c *process) memory() (memory, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.command.Process.Pid))
	if err != nil {
		return memory{}, false
	}
	value := func(name string) int64 {
		_, rest, _ := strings.Cut(string(data), name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		kilobytes, _ := strconv.ParseInt(fields[0], 10, 64)
		return kilobytes << 10
	}
	return memory{all: value("VmRSS"), anonymous: value("RssAnon"), peak: value("VmHWM")}, true
}

// processor is how much time of a processor the process has had. Only Linux tells.
func (c *process) processor() (time.Duration, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.command.Process.Pid))
	if err != nil {
		return 0, false
	}
	const ticksPerSecond = 100
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	ticks := int64(0)
	for _, field := range fields[11:13] { // in user mode and in the kernel
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, true
}

// text is a memory as a figure of the table.
func (m memory) text(known bool) string {
	if !known {
		return "n/a"
	}
	return fmt.Sprintf("%d MB, of which its own data %d MB", m.all/1e6, m.anonymous/1e6)
}
