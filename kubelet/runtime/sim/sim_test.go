package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

var _ runtime.Runtime = (*Runtime)(nil)

func sandboxFor(name string, address netip.Addr) *sandbox {
	return &sandbox{address: address, config: &runtime.SandboxConfig{Name: name, Hostname: name, UID: name}}
}

// machine is a runtime with one sandbox.
type machine struct {
	*Runtime
	t       *testing.T
	sandbox string
}

func newMachine(t *testing.T, programs map[string]toolbox.Program) *machine {
	t.Helper()
	r, err := New(Config{
		Node: "n", Prefix: netip.MustParsePrefix("10.97.1.0/28"), Programs: programs,
		Images: []toolbox.Image{{Name: "kubette.local/tools", StandsFor: []string{"docker.io/library/busybox"}, Command: []string{"main"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	m := &machine{Runtime: r, t: t}
	if m.sandbox, err = r.RunPodSandbox(t.Context(), &runtime.SandboxConfig{Namespace: "default", Name: "web", UID: "uid", Hostname: "web"}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) start(config runtime.ContainerConfig) (string, error) {
	m.t.Helper()
	config.PodUID, config.Name = "uid", "app"
	id, err := m.CreateContainer(m.t.Context(), m.sandbox, &config)
	if err != nil {
		m.t.Fatal(err)
	}
	return id, m.StartContainer(m.t.Context(), id)
}

func (m *machine) state(id string) runtime.Container {
	list, _ := m.ListContainers(m.t.Context(), "")
	for _, c := range list {
		if c.ID == id {
			return c
		}
	}
	return runtime.Container{}
}

func TestWhichProgramRuns(t *testing.T) {
	programs := map[string]toolbox.Program{}
	for _, name := range []string{"main", "echo"} {
		programs[name] = func(_ context.Context, p *toolbox.Process) int { fmt.Fprint(p.Stdout, p.Args); return 0 }
	}
	cases := map[string]struct {
		config runtime.ContainerConfig
		want   string // the output; empty for a record
		failed bool
	}{
		"the image's own":              {runtime.ContainerConfig{Image: "busybox"}, "[main]", false},
		"by any tag":                   {runtime.ContainerConfig{Image: "docker.io/library/busybox:1.36"}, "[main]", false},
		"a command by its path":        {runtime.ContainerConfig{Image: "busybox", Command: []string{"/bin/echo", "x"}}, "[/bin/echo x]", false},
		"arguments that are a command": {runtime.ContainerConfig{Image: "busybox", Args: []string{"echo", "x"}}, "[echo x]", false},
		"arguments of the image's own": {runtime.ContainerConfig{Image: "busybox", Args: []string{"--flag"}}, "[main --flag]", false},
		"a command that is not there":  {runtime.ContainerConfig{Image: "busybox", Command: []string{"python"}}, "", true},
		"an unknown image":             {runtime.ContainerConfig{Image: "example.com/x"}, "", false},
		"a known command in it":        {runtime.ContainerConfig{Image: "example.com/x", Command: []string{"echo"}}, "[echo]", false},
		"an unknown command in it":     {runtime.ContainerConfig{Image: "example.com/x", Command: []string{"python"}}, "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, programs)
				id, err := m.start(c.config)
				if (err != nil) != c.failed {
					t.Fatalf("start: %v", err)
				}
				synctest.Wait()
				var output bytes.Buffer
				_ = m.Logs(t.Context(), id, runtime.LogOptions{Tail: -1}, &output, &output)
				if output.String() != c.want {
					t.Errorf("the output is %q, wanted %q", output.String(), c.want)
				}
				if state := m.state(id); c.failed && (state.ExitCode != 128 || state.State != runtime.Exited) {
					t.Errorf("it is %s with code %d", state.State, state.ExitCode)
				}
			})
		})
	}
}

func TestStopAndKill(t *testing.T) {
	programs := map[string]toolbox.Program{
		"main": func(ctx context.Context, _ *toolbox.Process) int { <-ctx.Done(); return 0 },
		"deaf": func(context.Context, *toolbox.Process) int { time.Sleep(time.Hour); return 0 },
	}
	cases := map[string]struct {
		config runtime.ContainerConfig
		grace  time.Duration
		took   time.Duration
		code   int
	}{
		"a program that heeds":    {runtime.ContainerConfig{Image: "busybox"}, 30 * time.Second, 0, 0},
		"a program that does not": {runtime.ContainerConfig{Image: "busybox", Command: []string{"deaf"}}, 30 * time.Second, 30 * time.Second, 137},
		"no grace":                {runtime.ContainerConfig{Image: "busybox"}, 0, 0, 137},
		"a container on paper":    {runtime.ContainerConfig{Image: "example.com/x"}, 30 * time.Second, 0, 0},
		"one on paper, at once":   {runtime.ContainerConfig{Image: "example.com/x"}, 0, 0, 137},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, programs)
				id, err := m.start(c.config)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := m.StopContainer(t.Context(), id, c.grace); err != nil {
					t.Fatal(err)
				}
				if state := m.state(id); state.ExitCode != c.code || time.Since(began) != c.took {
					t.Errorf("it took %v and ended with %d", time.Since(began), state.ExitCode)
				}
			})
		})
	}
}

func TestImagesThatCannotBePulled(t *testing.T) {
	m := newMachine(t, nil)
	for image, reason := range map[string]string{
		"busybox": "", "example.com/x:v1": "", "missing.test/app": "ErrImagePull", "busybox:missing": "ErrImagePull", "nginx:doesnotexist": "ErrImagePull",
		"registry.invalid/app": "RegistryUnavailable", "BAD": "InvalidImageName", "private.test/app": "ErrImagePull",
	} {
		_, err := m.PullImage(t.Context(), image, nil, nil)
		var failure *runtime.ImageError
		if errors.As(err, &failure) != (reason != "") || failure != nil && failure.Reason != reason {
			t.Errorf("%s: %v", image, err)
		}
	}
	if _, err := m.PullImage(t.Context(), "private.test/app", &runtime.ImageAuth{Username: "me"}, nil); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

func TestAddressesRunOutAndComeBack(t *testing.T) {
	m := newMachine(t, nil) // a range of 16: 13 for pods, one is taken
	var last string
	for i := range 12 {
		id, err := m.RunPodSandbox(t.Context(), &runtime.SandboxConfig{Name: "p", UID: fmt.Sprint(i)})
		if err != nil {
			t.Fatalf("sandbox %d: %v", i, err)
		}
		last = id
	}
	if _, err := m.RunPodSandbox(t.Context(), &runtime.SandboxConfig{Name: "p", UID: "x"}); err == nil {
		t.Error("there was an address too many")
	}
	if err := m.StopPodSandbox(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RunPodSandbox(t.Context(), &runtime.SandboxConfig{Name: "p", UID: "x"}); err != nil {
		t.Errorf("the freed address was not found: %v", err)
	}
}

func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, map[string]toolbox.Program{"main": func(ctx context.Context, p *toolbox.Process) int {
			for i := range 4 {
				fmt.Fprintf(p.Stdout, "line %d\n", i)
				time.Sleep(time.Second)
			}
			fmt.Fprint(p.Stderr, "end")
			return 1
		}})
		began := time.Now()
		id, err := m.start(runtime.ContainerConfig{Image: "busybox"})
		if err != nil {
			t.Fatal(err)
		}
		var followed bytes.Buffer
		if err := m.Logs(t.Context(), id, runtime.LogOptions{Follow: true, Tail: -1}, &followed, &followed); err != nil {
			t.Fatal(err)
		}
		if got := followed.String(); got != "line 0\nline 1\nline 2\nline 3\nend" || time.Since(began) != 4*time.Second {
			t.Errorf("followed for %v: %q", time.Since(began), got)
		}
		for name, c := range map[string]struct {
			options runtime.LogOptions
			want    string
		}{
			"tail":  {runtime.LogOptions{Tail: 2}, "line 3\nend"},
			"since": {runtime.LogOptions{Since: began.Add(3 * time.Second), Tail: -1}, "line 3\nend"},
		} {
			var output bytes.Buffer
			_ = m.Logs(t.Context(), id, c.options, &output, &output)
			if output.String() != c.want {
				t.Errorf("%s: %q", name, output.String())
			}
		}
		var stdout bytes.Buffer
		_ = m.Logs(t.Context(), id, runtime.LogOptions{Tail: -1}, &stdout, nil)
		if strings.Contains(stdout.String(), "end") {
			t.Errorf("standard output alone: %q", stdout.String())
		}
	})
}

func TestOldLogLinesGo(t *testing.T) {
	l := newLog()
	w := l.writer(false)
	for i := range 10000 {
		fmt.Fprintf(w, "%d %s\n", i, strings.Repeat("x", 100))
	}
	if l.size > logLimit {
		t.Errorf("%d bytes are kept", l.size)
	}
	var output bytes.Buffer
	_ = l.copy(t.Context(), runtime.LogOptions{Tail: 1}, &output, nil)
	if !strings.HasPrefix(output.String(), "9999 ") {
		t.Errorf("the last line is %q", output.String())
	}
}

func TestFiles(t *testing.T) {
	root, volume := newTree(0), newTree(10)
	volume.put("/sub/a", "A", 0o644)
	f := &files{root: root, mounts: []mounted{
		{path: "/data/deep", tree: volume, sub: "/sub"}, {path: "/data", tree: volume, sub: "/"}, {path: "/ro", tree: volume, sub: "/", readOnly: true},
	}}
	for _, m := range f.mounts {
		_, _ = root.mkdirs(m.path, 0o755)
	}
	read := func(name string) (string, error) {
		file, err := f.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(file)
		return b.String(), err
	}
	write := func(name, text string) error {
		file, err := f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = file.Write([]byte(text))
		return err
	}
	if got, err := read("/data/deep/a"); err != nil || got != "A" {
		t.Errorf("a part of a volume: %q, %v", got, err)
	}
	if got, err := read("/data/sub/a"); err != nil || got != "A" {
		t.Errorf("the same by the whole: %q, %v", got, err)
	}
	for name, want := range map[string]error{
		"/ro/x": syscall.EROFS, "/no/where": fs.ErrNotExist, "/data": syscall.EISDIR, "/data/new": nil, "/data/sub/a/b": syscall.ENOTDIR,
	} {
		if err := write(name, "text"); !errors.Is(err, want) {
			t.Errorf("write %s: %v, wanted %v", name, err, want)
		}
	}
	if err := write("/data/big", "more than ten bytes"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full volume: %v", err)
	}
	if err := f.Rename("/data/new", "/data/sub/b"); err != nil {
		t.Error(err)
	}
	if err := f.Rename("/data/sub/b", "/b"); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("rename across: %v", err)
	}
	entries, err := f.ReadDir("/data/deep")
	if err != nil || len(entries) != 2 || entries[1].Name() != "b" {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if err := f.RemoveAll("/data/deep/b"); err != nil {
		t.Error(err)
	}
	if err := f.RemoveAll("/data"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("remove a mount: %v", err)
	}
	if _, err := f.Stat("/data/deep/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of what is gone: %v", err)
	}
}

func TestPowerCut(t *testing.T) {
	m := newMachine(t, nil)
	id, _ := m.start(runtime.ContainerConfig{Image: "example.com/x"})
	m.PowerOff()
	if _, err := m.ListContainers(t.Context(), ""); !errors.Is(err, runtime.ErrUnavailable) {
		t.Errorf("a node without power answers: %v", err)
	}
	m.PowerOn()
	if state := m.state(id); state.State != runtime.Exited || state.ExitCode != 137 {
		t.Errorf("after it the container is %s, %d", state.State, state.ExitCode)
	}
}

func TestAProgramThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, map[string]toolbox.Program{"main": func(context.Context, *toolbox.Process) int { panic("oh no") }})
		id, _ := m.start(runtime.ContainerConfig{Image: "busybox"})
		synctest.Wait()
		if state := m.state(id); state.ExitCode != 2 {
			t.Errorf("it is %s with code %d", state.State, state.ExitCode)
		}
	})
}
