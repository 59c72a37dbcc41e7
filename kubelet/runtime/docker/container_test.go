package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// TestContainers runs many small containers in one pod and looks at what each saw.
func TestContainers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sandbox := c.pod("web", func(config *runtime.SandboxConfig) {
		config.Sysctls = map[string]string{"net.ipv4.tcp_syncookies": "0", "kernel.shm_rmid_forced": "1"}
	})
	number := 0
	t.Run("what a program sees", func(t *testing.T) {
		tests := []struct {
			name, want string
			args       []string
			change     func(*runtime.ContainerConfig)
		}{
			{name: "the image's own arguments", want: "default\n"},
			{name: "arguments", args: []string{"args", "a", "b"}, want: "a|b\n"},
			{name: "a command", want: "c\n", change: func(c *runtime.ContainerConfig) { c.Command = []string{"/program", "say", "c"} }},
			{name: "a command with arguments", args: []string{"say", "d"}, want: "d\n", change: func(c *runtime.ContainerConfig) { c.Command = []string{"/program"} }},
			{name: "a variable", args: []string{"env", "A"}, want: "x=y z\n", change: func(c *runtime.ContainerConfig) { c.Env = []runtime.EnvVar{{Name: "A", Value: "x=y z"}} }},
			{name: "the host name", args: []string{"hostname", "env", "HOSTNAME"}, want: "web\nweb\n"},
			{name: "user, group, groups, directory, process", args: []string{"ids"}, want: "1000 2000 [2000 3000] /tmp 1\n", change: func(c *runtime.ContainerConfig) {
				c.Security.User, c.Security.Groups, c.WorkingDir = "1000:2000", []int64{3000}, "/tmp"
			}},
			{name: "a read-only root", args: []string{"write", "/x", ""}, want: "open /x: read-only file system\n", change: func(c *runtime.ContainerConfig) { c.Security.ReadOnlyRoot = true }},
			{name: "a low port for an ordinary user", args: []string{"bind", ":81"}, want: "bound\n", change: func(c *runtime.ContainerConfig) { c.Security.User = "1000" }},
			{name: "a sysctl of the network", args: []string{"cat", "/proc/sys/net/ipv4/tcp_syncookies"}, want: "0\n"},
			{name: "a sysctl of the memory shared between processes", args: []string{"cat", "/proc/sys/kernel/shm_rmid_forced"}, want: "1\n"},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				number++
				id := c.run(sandbox, "web", fmt.Sprintf("c%d", number), test.args, func(config *runtime.ContainerConfig) {
					if test.change != nil {
						test.change(config)
					}
				})
				if got := c.log(id); got != test.want {
					t.Errorf("it printed %q, want %q", got, test.want)
				}
			})
		}
	})

	t.Run("a command that is not there", func(t *testing.T) {
		id := c.container(sandbox, "web", "missing", nil, func(config *runtime.ContainerConfig) { config.Command = []string{"/missing"} })
		err := c.node.StartContainer(t.Context(), id)
		state := c.state(id)
		if err == nil || state.State != runtime.Exited || state.ExitCode != 127 || !strings.Contains(state.Error, "no such file") {
			t.Errorf("the start says %v, the list %+v", err, state)
		}
	})

	t.Run("a file that cannot be executed", func(t *testing.T) {
		id := c.container(sandbox, "web", "denied", nil, func(config *runtime.ContainerConfig) { config.Command = []string{"/tmp"} })
		err := c.node.StartContainer(t.Context(), id)
		if state := c.state(id); err == nil || state.State != runtime.Exited || state.ExitCode != 126 || !strings.Contains(state.Error, "permission denied") {
			t.Errorf("the start says %v, the list %+v", err, state)
		}
	})

	t.Run("must not run as root", func(t *testing.T) {
		_, err := c.node.CreateContainer(t.Context(), sandbox, &runtime.ContainerConfig{
			PodName: "web", PodUID: "uid-web", Name: "root", ImageID: c.image, Security: runtime.Security{RunAsNonRoot: true},
		})
		if err == nil || !strings.Contains(err.Error(), "runAsNonRoot and image will run as root") {
			t.Errorf("it says %v", err)
		}
	})

	t.Run("too much memory", func(t *testing.T) {
		id := c.run(sandbox, "web", "eater", []string{"eat"}, func(config *runtime.ContainerConfig) {
			config.Resources = runtime.Resources{MemoryBytes: 64 << 20, CPUMilli: 500, CPURequestMilli: 100, PIDs: 50}
		})
		if state := c.ended(id); !state.OOMKilled || state.ExitCode != 137 {
			t.Errorf("it ended as %+v", state)
		}
	})

	t.Run("stopping", func(t *testing.T) {
		polite := c.run(sandbox, "web", "polite", []string{"term", "exit", "5"})
		stubborn := c.run(sandbox, "web", "stubborn", []string{"stubborn"})
		c.waitLog(polite, "ready")
		c.waitLog(stubborn, "ready")
		start := time.Now()
		if err := c.node.StopContainer(t.Context(), polite, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if state := c.state(polite); state.ExitCode != 5 || time.Since(start) > 10*time.Second {
			t.Errorf("after %v: %+v", time.Since(start), state)
		}
		if err := c.node.StopContainer(t.Context(), stubborn, time.Second); err != nil {
			t.Fatal(err)
		}
		if state := c.state(stubborn); state.ExitCode != 137 || state.OOMKilled {
			t.Errorf("a killed one: %+v", state)
		}
		for _, id := range []string{polite, "0123456789ab"} {
			if err := c.node.StopContainer(t.Context(), id, time.Second); err != nil {
				t.Errorf("stopping again: %v", err)
			}
			if err := c.node.StopContainer(t.Context(), id, 0); err != nil {
				t.Errorf("killing again: %v", err)
			}
		}
		if err := c.node.RemoveContainer(t.Context(), "0123456789ab"); err != nil {
			t.Errorf("removing what is not there: %v", err)
		}
	})

	t.Run("killed, paused and removed from outside", func(t *testing.T) {
		id := c.run(sandbox, "web", "victim", []string{"sleep"})
		api := c.engine.Client()
		api.ContainerPause(t.Context(), id)
		c.until(id, func(state runtime.Container) bool { return state.Paused && state.State == runtime.Running })
		api.ContainerUnpause(t.Context(), id)
		c.until(id, func(state runtime.Container) bool { return !state.Paused })
		api.ContainerKill(t.Context(), id, "SIGKILL")
		if state := c.ended(id); state.ExitCode != 137 || state.OOMKilled {
			t.Errorf("killed: %+v", state)
		}
		api.ContainerRemove(t.Context(), id, container.RemoveOptions{})
		c.until(id, func(state runtime.Container) bool { return state.ID == "" })
	})

	t.Run("a log", func(t *testing.T) {
		id := c.run(sandbox, "web", "talker", []string{"count", "5"})
		c.ended(id)
		for _, test := range []struct {
			options runtime.LogOptions
			want    string
		}{
			{runtime.LogOptions{Tail: -1}, "line 0\nline 1\nline 2\nline 3\nline 4\n"},
			{runtime.LogOptions{Tail: 3}, "line 2\nline 3\nline 4\n"},
			{runtime.LogOptions{Tail: -1, Since: time.Now().Add(time.Hour)}, ""},
		} {
			var out, errors bytes.Buffer
			if err := c.node.Logs(t.Context(), id, test.options, &out, &errors); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("%+v: %q, want %q (and %q)", test.options, out.String(), test.want, errors.String())
			}
		}
		var stamped bytes.Buffer
		c.node.Logs(t.Context(), id, runtime.LogOptions{Tail: -1, Timestamps: true}, &stamped, nil)
		stamp, _, _ := strings.Cut(stamped.String(), " ")
		if when, err := time.Parse(time.RFC3339Nano, stamp); err != nil || time.Since(when) > time.Minute {
			t.Errorf("a line with its time: %q", stamped.String())
		}
	})

	t.Run("following a log until the caller has enough", func(t *testing.T) {
		id := c.run(sandbox, "web", "follower", []string{"say", "first", "sleep"})
		ctx, cancel := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		done := make(chan error)
		go func() {
			done <- c.node.Logs(ctx, id, runtime.LogOptions{Tail: -1, Follow: true}, writer, writer)
		}()
		line := make([]byte, 6)
		io.ReadFull(reader, line)
		cancel()
		if err := <-done; string(line) != "first\n" || err != context.Canceled {
			t.Errorf("%q, %v", line, err)
		}
	})

	t.Run("exec", func(t *testing.T) {
		id := c.run(sandbox, "web", "shell", []string{"sleep"})
		var out, errs bytes.Buffer
		code, err := c.node.Exec(t.Context(), id, []string{"/program", "echo", "complain", "end", "exit", "3"},
			runtime.Streams{Stdin: strings.NewReader("a\nb\n"), Stdout: &out, Stderr: &errs})
		if code != 3 || err != nil || out.String() != "got a\ngot b\n" || errs.String() != "end\n" {
			t.Errorf("%d %v %q %q", code, err, out.String(), errs.String())
		}
		out.Reset()
		sizes := make(chan runtime.Size, 1)
		sizes <- runtime.Size{Width: 81, Height: 25}
		code, err = c.node.Exec(t.Context(), id, []string{"/program", "size"}, runtime.Streams{Stdout: &out, TTY: true, Resize: sizes})
		if code != 0 || err != nil || out.String() != "25 81\r\n" {
			t.Errorf("on a terminal: %d %v %q", code, err, out.String())
		}
		if code, err = c.node.Exec(t.Context(), id, []string{"missing"}, runtime.Streams{Stdout: &out}); code == 0 && err == nil {
			t.Error("a command that is not there succeeds")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := c.node.Exec(ctx, id, []string{"/program", "sleep"}, runtime.Streams{Stdout: &out}); err == nil {
			t.Error("an exec that was given up succeeds")
		}
		stats := must(c.node.Stats(t.Context(), id))(t)
		if stats.MemoryBytes == 0 || stats.MemoryBytes > 100<<20 || stats.CPUNanos == 0 {
			t.Errorf("it uses %+v", stats)
		}
		if err := c.node.UpdateContainerResources(t.Context(), id, runtime.Resources{MemoryBytes: 100 << 20, CPUMilli: 700}); err != nil {
			t.Error(err)
		}
		details := must(c.engine.Client().ContainerInspect(t.Context(), id))(t)
		if details.HostConfig.Memory != 100<<20 || details.HostConfig.NanoCPUs != 700e6 {
			t.Errorf("after an update: %+v", details.HostConfig.Resources)
		}
	})

	t.Run("attach", func(t *testing.T) {
		id := c.run(sandbox, "web", "cat", []string{"echo", "exit", "4"}, func(config *runtime.ContainerConfig) { config.Stdin, config.StdinOnce = true, true })
		var out bytes.Buffer
		if err := c.node.Attach(t.Context(), id, runtime.Streams{Stdin: strings.NewReader("hi\n"), Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		if state := c.ended(id); out.String() != "got hi\n" || state.ExitCode != 4 {
			t.Errorf("%q, %+v", out.String(), state)
		}
	})

	t.Run("a terminal's log", func(t *testing.T) {
		id := c.run(sandbox, "web", "tty", []string{"say", "plain"}, func(config *runtime.ContainerConfig) { config.TTY = true })
		if got := c.log(id); got != "plain\r\n" {
			t.Errorf("%q", got)
		}
	})

	t.Run("a port that listens on the loopback only", func(t *testing.T) {
		id := c.run(sandbox, "web", "local", []string{"serve", "127.0.0.1:82", "sleep"})
		c.waitLog(id, "serving")
		conn := must(c.node.Dial(t.Context(), sandbox, 82))(t)
		defer conn.Close()
		fmt.Fprintf(conn, "GET /%s HTTP/1.0\r\n\r\n", strings.Repeat("x", 3000))
		answer := must(io.ReadAll(conn))(t)
		if !strings.HasSuffix(string(answer), "web /"+strings.Repeat("x", 3000)) {
			t.Errorf("the answer is %q", answer)
		}
		if _, err := c.node.Dial(t.Context(), sandbox, 83); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a port where nothing listens: %v", err)
		}
	})
}

// waitLog waits until a container has printed a line.
func (c *cluster) waitLog(id, line string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() {
		writer.CloseWithError(c.node.Logs(ctx, id, runtime.LogOptions{Tail: -1, Follow: true}, writer, writer))
	}()
	var seen strings.Builder
	buffer := make([]byte, 1000)
	for !strings.Contains(seen.String(), line+"\n") {
		n, err := reader.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			c.Fatalf("waiting for %q: %v after %q", line, err, seen.String())
		}
	}
}
