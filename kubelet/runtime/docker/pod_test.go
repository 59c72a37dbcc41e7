package docker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"kubette/kubelet/runtime"
)

func TestAPodRuns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	start := time.Now()
	sandbox := c.pod("web-0", func(config *runtime.SandboxConfig) {
		config.Domain = "web.default.svc.cluster.local"
		config.Hosts = []runtime.HostEntry{{Address: "10.1.2.3", Names: []string{"foo.remote", "bar.remote"}}}
	})
	t.Log("sandbox", time.Since(start))
	id := c.container(sandbox, "web-0", "main", []string{"hostname", "cat", "/etc/hosts", "cat", "/etc/resolv.conf", "cat", "/etc/hostname", "serve", ":80", "term", "exit", "3"})
	t.Log("created", time.Since(start))
	if err := c.node.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	t.Log("started", time.Since(start))
	state := c.state(id)
	if state.State != runtime.Running || state.StartedAt.IsZero() || state.PodName != "web-0" || state.SandboxID != sandbox {
		t.Errorf("a running container is listed as %+v", state)
	}
	boxes := must(c.node.ListPodSandboxes(t.Context()))(t)
	if len(boxes) != 1 || !boxes[0].Ready || boxes[0].ID != sandbox {
		t.Fatalf("sandboxes: %+v", boxes)
	}
	conn := must(c.node.Dial(t.Context(), sandbox, 80))(t)
	fmt.Fprintf(conn, "GET /path HTTP/1.0\r\n\r\n")
	var answer bytes.Buffer
	answer.ReadFrom(conn)
	conn.Close()
	if !strings.HasSuffix(answer.String(), "web-0 /path") {
		t.Errorf("the pod answers %q", answer.String())
	}
	var out bytes.Buffer
	code, err := c.node.Exec(t.Context(), id, []string{"/program", "say", "hello", "exit", "7"}, runtime.Streams{Stdout: &out})
	if code != 7 || err != nil || out.String() != "hello\n" {
		t.Errorf("exec: %d, %v, %q", code, err, out.String())
	}
	stopped := time.Now()
	if err := c.node.StopContainer(t.Context(), id, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Log("stopped in", time.Since(stopped))
	state = c.state(id)
	if state.State != runtime.Exited || state.ExitCode != 3 || state.EndedAt.IsZero() || state.OOMKilled {
		t.Errorf("an ended container is listed as %+v", state)
	}
	t.Log(c.log(id))
	if err := c.node.RemovePodSandbox(t.Context(), sandbox); err != nil {
		t.Fatal(err)
	}
	if left := must(c.node.ListContainers(t.Context(), ""))(t); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}
