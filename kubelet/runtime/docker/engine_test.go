package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
)

// connect returns the engine of this machine, or skips the test when there is none and none is required.
func connect(t testing.TB) *docker.Engine {
	t.Helper()
	engine, err := docker.Connect(t.Context())
	if err != nil {
		if os.Getenv("KUBETTE_TEST_DOCKER") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return engine
}

// program is the test's image: this package's testdata/program from scratch. It is made once for all tests.
var program = sync.OnceValues(func() (string, error) {
	engine, err := docker.Connect(context.Background())
	if err != nil {
		return "", err
	}
	defer engine.Close()
	directory, err := os.MkdirTemp("", "kubette-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(directory)
	target := filepath.Join(directory, "program")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", target, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the test's program: %w: %s", err, out)
	}
	data, err := os.ReadFile(target)
	if err != nil {
		return "", err
	}
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	files.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(data))})
	files.Write(data)
	files.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777})
	files.Close()
	out, err := engine.Client().ImageImport(context.Background(), image.ImportSource{Source: &archive, SourceName: "-"},
		"kubette.test/program", image.ImportOptions{Tag: "1", Changes: []string{
			`ENTRYPOINT ["/program"]`, `CMD ["say","default"]`, `ENV PATH=/`, "LABEL kubette=test",
		}})
	if err != nil {
		return "", err
	}
	defer out.Close()
	if _, err := io.Copy(io.Discard, out); err != nil {
		return "", err
	}
	there, err := engine.Client().ImageInspect(context.Background(), "kubette.test/program:1")
	return there.ID, err
})

// TestMain removes the test's image at the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if id, err := program(); err == nil && id != "" {
		if engine, err := docker.Connect(context.Background()); err == nil {
			engine.Client().ImageRemove(context.Background(), id, image.RemoveOptions{Force: true, PruneChildren: true})
			engine.Close()
		}
	}
	os.Exit(code)
}

// cluster is a prepared engine with one node, under a name of the test's own, removed at its end.
type cluster struct {
	testing.TB
	engine *docker.Engine
	node   runtime.Runtime
	config docker.ClusterConfig
	image  string
}

func newCluster(t testing.TB, change ...func(*docker.ClusterConfig)) *cluster {
	t.Helper()
	c := &cluster{TB: t, engine: connect(t)}
	c.config = docker.ClusterConfig{
		Name: "test-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())),
		Log:  slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	for _, f := range change {
		f(&c.config)
	}
	var err error
	if c.image, err = program(); err != nil {
		t.Fatal(err)
	}
	c.engine.Cleanup(t.Context(), c.config.Name, docker.CleanupOptions{})
	t.Cleanup(func() {
		if err := c.engine.Cleanup(context.Background(), c.config.Name, docker.CleanupOptions{}); err != nil {
			t.Error(err)
		}
		c.engine.Close()
	})
	if err := c.engine.Prepare(t.Context(), c.config); err != nil {
		t.Fatal(err)
	}
	c.node = c.engine.Node(c.nodeConfig("worker-1"))
	return c
}

func (c *cluster) nodeConfig(name string) docker.NodeConfig {
	base := c.engine.Network().Prefix.Addr().As4()
	return docker.NodeConfig{Name: name, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{base[0], base[1] + 1, 1, 0}), 24)}
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// must returns a value or ends the test.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// pod makes a sandbox for a pod of this name.
func (c *cluster) pod(name string, change ...func(*runtime.SandboxConfig)) string {
	c.Helper()
	config := &runtime.SandboxConfig{
		Namespace: "default", Name: name, UID: "uid-" + name, Hostname: name,
		DNS: runtime.DNSConfig{
			Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local", "svc.cluster.local", "cluster.local"},
			Options: []string{"ndots:5"},
		},
	}
	for _, f := range change {
		f(config)
	}
	id, err := c.node.RunPodSandbox(c.Context(), config)
	if err != nil {
		c.Fatal(err)
	}
	return id
}

// container creates a container of the test's program in a pod; run also starts it.
func (c *cluster) container(sandbox, pod, name string, args []string, change ...func(*runtime.ContainerConfig)) string {
	c.Helper()
	config := &runtime.ContainerConfig{
		PodNamespace: "default", PodName: pod, PodUID: "uid-" + pod, Name: name, Image: "kubette.test/program:1", ImageID: c.image, Args: args,
	}
	for _, f := range change {
		f(config)
	}
	id, err := c.node.CreateContainer(c.Context(), sandbox, config)
	if err != nil {
		c.Fatal(err)
	}
	return id
}

func (c *cluster) run(sandbox, pod, name string, args []string, change ...func(*runtime.ContainerConfig)) string {
	c.Helper()
	id := c.container(sandbox, pod, name, args, change...)
	if err := c.node.StartContainer(c.Context(), id); err != nil {
		c.Fatal(err)
	}
	return id
}

// log returns a container's whole output, after it ended.
func (c *cluster) log(id string) string {
	c.Helper()
	var out bytes.Buffer
	if err := c.node.Logs(c.Context(), id, runtime.LogOptions{Follow: true, Tail: -1}, &out, &out); err != nil {
		c.Fatal(err)
	}
	return out.String()
}

// state is a container as it is listed.
func (c *cluster) state(id string) runtime.Container {
	c.Helper()
	for _, there := range must(c.node.ListContainers(c.Context(), ""))(c) {
		if there.ID == id {
			return there
		}
	}
	return runtime.Container{}
}

// until waits for a state, by the runtime's events.
func (c *cluster) until(id string, reached func(runtime.Container) bool) runtime.Container {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	events := must(c.node.Events(ctx))(c)
	for {
		if state := c.state(id); reached(state) {
			return state
		}
		if _, ok := <-events; !ok {
			c.Fatalf("the container is %+v", c.state(id))
		}
	}
}

func (c *cluster) ended(id string) runtime.Container {
	c.Helper()
	return c.until(id, func(state runtime.Container) bool { return state.State == runtime.Exited })
}
