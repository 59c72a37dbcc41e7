package docker_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"
	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// line is a connection to the engine that can be cut, as when the engine is started again.
type line struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	down     bool
	open     map[net.Conn]bool
	held     sync.RWMutex // held for writing while nothing passes
}

// passing copies what is said, unless the line hangs.
type passing struct {
	io.Writer
	line *line
}

func (p passing) Write(data []byte) (int, error) {
	p.line.held.RLock()
	defer p.line.held.RUnlock()
	return p.Writer.Write(data)
}

func newLine(t *testing.T) *line {
	t.Helper()
	host := client.DefaultDockerHost
	if !strings.HasPrefix(host, "unix://") {
		t.Skip("the engine is not behind a socket")
	}
	name := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, target: strings.TrimPrefix(host, "unix://"), open: map[net.Conn]bool{}}
	t.Cleanup(func() { listener.Close(); l.cut(true) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(conn)
		}
	}()
	t.Setenv("DOCKER_HOST", "unix://"+name)
	return l
}

func (l *line) serve(conn net.Conn) {
	far, err := net.Dial("unix", l.target)
	if err != nil {
		conn.Close()
		return
	}
	l.mu.Lock()
	if l.down {
		l.mu.Unlock()
		conn.Close()
		far.Close()
		return
	}
	l.open[conn], l.open[far] = true, true
	l.mu.Unlock()
	go func() {
		io.Copy(passing{far, l}, conn)
		far.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(passing{conn, l}, far)
	conn.Close()
	far.Close()
}

// cut breaks all connections; down refuses new ones.
func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for conn := range l.open {
		conn.Close()
	}
	l.open = map[net.Conn]bool{}
}

func TestTheEngineGoesAwayAndComesBack(t *testing.T) {
	connect(t).Close() // skips without an engine
	line := newLine(t)
	c := newCluster(t)
	sandbox := c.pod("web")
	id := c.run(sandbox, "web", "main", []string{"sleep"})
	events := must(c.node.Events(t.Context()))(t)

	line.cut(true)
	for range events { // until it is closed
	}
	start := time.Now()
	if _, err := c.node.ListContainers(t.Context(), ""); !errors.Is(err, runtime.ErrUnavailable) {
		t.Errorf("a list without an engine: %v", err)
	}
	if err := c.node.WriteVolume(t.Context(), "uid-web", "config", files("a", "b")); !errors.Is(err, runtime.ErrUnavailable) {
		t.Errorf("a volume without an engine: %v", err)
	}
	if _, err := c.node.PullImage(t.Context(), "nginx", nil, nil); !errors.Is(err, runtime.ErrUnavailable) {
		t.Errorf("a pull without an engine: %v", err)
	}
	if _, err := c.node.RunPodSandbox(t.Context(), &runtime.SandboxConfig{Namespace: "default", Name: "x", UID: "x"}); !errors.Is(err, runtime.ErrUnavailable) {
		t.Errorf("a sandbox without an engine: %v", err)
	}
	if time.Since(start) > 5*time.Second {
		t.Errorf("they took %v", time.Since(start))
	}

	line.cut(false)
	deadline := time.After(20 * time.Second)
	for {
		if _, err := c.node.Events(t.Context()); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("events do not come back")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if state := c.state(id); state.State != runtime.Running {
		t.Errorf("afterwards: %+v", state)
	}
	if err := c.node.WriteVolume(t.Context(), "uid-web", "config", files("a", "b")); err != nil {
		t.Error(err)
	}
	if err := c.node.RemovePodSandbox(t.Context(), sandbox); err != nil {
		t.Error(err)
	}
}

// TestAKubeletWhoseEngineFails: while the engine's connections are cut, or it takes questions and answers none, the node is
// not ready; its pods run on. Afterwards all is as wanted by itself, what ended meanwhile is seen, and nothing was restarted.
func TestAKubeletWhoseEngineFails(t *testing.T) {
	connect(t).Close() // skips without an engine
	const spec = `{terminationGracePeriodSeconds: 1, automountServiceAccountToken: false,
		containers: [{name: app, image: "kubette.test/program:1", imagePullPolicy: Never, args: [term, exit, "0"]}]}`
	for name, fail := range map[string]func(*line) (mend func()){
		"cut":  func(l *line) func() { l.cut(true); return func() { l.cut(false) } },
		"hang": func(l *line) func() { l.held.Lock(); return l.held.Unlock },
	} {
		t.Run(name, func(t *testing.T) {
			direct := connect(t) // for what happens behind kubette's back
			defer direct.Close()
			l := newLine(t)
			c := newCluster(t)
			p := newPlane(t)
			_, stop := p.kubelet(c.node)
			defer stop()
			p.pod("stays", spec)
			p.pod("dies", spec)
			_, stays, _ := strings.Cut(p.until("stays", "ready", ready).Status.ContainerStatuses[0].ContainerID, "://")
			_, dies, _ := strings.Cut(p.until("dies", "ready", ready).Status.ContainerStatuses[0].ContainerID, "://")
			mend := fail(l)
			mended := false
			defer func() {
				if !mended {
					mend()
				}
			}()
			if err := direct.Client().ContainerKill(t.Context(), dies, "SIGKILL"); err != nil {
				t.Fatal(err)
			}
			p.pod("comes", spec)
			p.untilNode("False")
			mended = true
			mend()
			p.untilNode("True")
			p.until("comes", "ready", ready)
			p.until("dies", "restarted", func(pod *corev1.Pod) bool {
				return ready(pod) && pod.Status.ContainerStatuses[0].RestartCount == 1 && !strings.HasSuffix(pod.Status.ContainerStatuses[0].ContainerID, dies)
			})
			if now := p.until("stays", "ready", ready).Status.ContainerStatuses[0]; now.RestartCount != 0 || !strings.HasSuffix(now.ContainerID, stays) {
				t.Errorf("a pod that nothing happened to is %+v", now)
			}
			for _, each := range []string{"stays", "dies", "comes"} {
				p.delete(each)
			}
			c.holds(t, 0, 0)
		})
	}
}
