package docker_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
)

func TestKubetteIsStartedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	finished := c.pod("finished")
	id := c.run(finished, "finished", "main", []string{"sleep"}, func(config *runtime.ContainerConfig) {
		config.Attempt = 3
	})
	unfinished := c.pod("unfinished")
	c.container(unfinished, "unfinished", "main", []string{"sleep"})
	before := c.state(id)
	for _, uid := range []string{"uid-finished", "uid-gone"} {
		if err := c.node.WriteVolume(t.Context(), uid, "scratch", runtime.Volume{}); err != nil {
			t.Fatal(err)
		}
	}

	again := connect(t)
	defer again.Close()
	config := c.config
	config.Network = c.engine.Network().Prefix
	if err := again.Prepare(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if again.Network() != c.engine.Network() {
		t.Errorf("the network was %+v, is %+v", c.engine.Network(), again.Network())
	}
	c.node = again.Node(c.nodeConfig("worker-1"))
	ready := map[string]bool{}
	addresses := map[netip.Addr]bool{}
	for _, sandbox := range must(c.node.ListPodSandboxes(t.Context()))(t) {
		ready[sandbox.Name] = sandbox.Ready
		addresses[sandbox.Address] = true
	}
	if !ready["finished"] || ready["unfinished"] {
		t.Errorf("ready: %v", ready)
	}
	after := c.state(id)
	if after.ID != before.ID || after.Attempt != 3 || !after.StartedAt.Equal(before.StartedAt) || after.State != runtime.Running {
		t.Errorf("before %+v, after %+v", before, after)
	}
	next := c.pod("next")
	for _, sandbox := range must(c.node.ListPodSandboxes(t.Context()))(t) {
		if sandbox.ID == next && addresses[sandbox.Address] {
			t.Errorf("%v was given twice", sandbox.Address)
		}
	}
	if _, err := c.node.Dial(t.Context(), finished, 80); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port of the adopted pod: %v", err)
	}
	scratch := func(pod, sandbox string) error {
		_, err := c.node.CreateContainer(t.Context(), sandbox, &runtime.ContainerConfig{
			PodNamespace: "default", PodName: pod, PodUID: "uid-" + pod, Name: "scratch", ImageID: c.image,
			Mounts: []runtime.Mount{{Volume: "scratch", Path: "/scratch"}},
		})
		return err
	}
	if err := scratch("finished", finished); err != nil {
		t.Errorf("the volume of a pod that is there: %v", err)
	}
	if err := scratch("gone", finished); err == nil {
		t.Error("the volume of a pod that is gone is still there")
	}
	if other := again.Node(c.nodeConfig("worker-2")); len(must(other.ListContainers(t.Context(), ""))(t)) > 0 {
		t.Error("another node sees these containers")
	}
	for _, sandbox := range []string{finished, unfinished, next} {
		if err := c.node.RemovePodSandbox(t.Context(), sandbox); err != nil {
			t.Error(err)
		}
	}
}

func TestASandboxThatEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sandbox := c.pod("web")
	c.run(sandbox, "web", "main", []string{"sleep"})
	api := c.engine.Client()
	if err := api.ContainerRestart(t.Context(), sandbox, container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for must(c.node.ListPodSandboxes(t.Context()))(t)[0].Ready && time.Now().Before(deadline) {
	}
	if sandboxes := must(c.node.ListPodSandboxes(t.Context()))(t); sandboxes[0].Ready {
		t.Error("a sandbox whose process was started again counts as ready, without a network")
	}
	id := c.container(sandbox, "web", "second", []string{"sleep"})
	if err := c.node.StartContainer(t.Context(), id); err == nil {
		t.Error("a container joins the host's network")
	}
}

func TestSharedProcessesAndTheHostsNetwork(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	shared := c.pod("shared", func(config *runtime.SandboxConfig) { config.ShareProcesses = true })
	c.run(shared, "shared", "one", []string{"sleep"})
	two := c.run(shared, "shared", "two", []string{"cat", "/proc/1/cmdline", "say", ""})
	if got := c.log(two); !strings.HasPrefix(got, "/pause") {
		t.Errorf("process 1 is %q", got)
	}
	host := c.pod("host", func(config *runtime.SandboxConfig) { config.HostNetwork, config.Hostname = true, "worker-1" })
	id := c.run(host, "host", "main", []string{"hostname", "cat", "/proc/net/dev"})
	got := c.log(id)
	if !strings.HasPrefix(got, "worker-1\n") || !strings.Contains(got, c.engine.Network().Bridge) {
		t.Errorf("on the host's network: %q", got)
	}
	a := c.pod("a")
	b := c.pod("b")
	server := c.run(a, "a", "main", []string{"serve", ":80", "sleep"})
	c.waitLog(server, "serving")
	var address netip.Addr
	for _, sandbox := range must(c.node.ListPodSandboxes(t.Context()))(t) {
		if sandbox.ID == a {
			address = sandbox.Address
		}
	}
	client := c.run(b, "b", "main", []string{"get", "http://" + address.String() + "/x"})
	if got := c.log(client); got != "a /x\n" {
		t.Errorf("from pod to pod: %q", got)
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sandbox := c.pod("web")
	c.node.WriteVolume(t.Context(), "uid-web", "memory", runtime.Volume{Memory: true})
	c.run(sandbox, "web", "main", []string{"sleep"})
	if err := c.engine.Cleanup(t.Context(), c.config.Name, docker.CleanupOptions{}); err != nil {
		t.Fatal(err)
	}
	api := c.engine.Client()
	for _, there := range must(api.ContainerList(t.Context(), container.ListOptions{All: true}))(t) {
		if there.Labels["kubette"] == c.config.Name {
			t.Errorf("left: %v", there.Names)
		}
	}
	for _, there := range must(api.NetworkList(t.Context(), network.ListOptions{}))(t) {
		if there.Labels["kubette"] == c.config.Name {
			t.Errorf("left: %v", there.Name)
		}
	}
	if err := c.engine.Cleanup(t.Context(), c.config.Name, docker.CleanupOptions{}); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestRangesThatAreTaken(t *testing.T) {
	t.Parallel()
	first := newCluster(t)
	second := connect(t)
	defer second.Close()
	config := first.config
	config.Name += "-second"
	defer second.Cleanup(t.Context(), config.Name, docker.CleanupOptions{})
	if err := second.Prepare(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if a, b := first.engine.Network().Prefix, second.Network().Prefix; a.Overlaps(b) {
		t.Errorf("%v and %v overlap", a, b)
	}
	third := connect(t)
	defer third.Close()
	config.Name = first.config.Name + "-third"
	config.Network = first.engine.Network().Prefix
	defer third.Cleanup(t.Context(), config.Name, docker.CleanupOptions{})
	if err := third.Prepare(t.Context(), config); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a range that is taken: %v", err)
	}
}

func TestNoEngine(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "silent.sock")
	listener, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, host := range []string{"unix:///nonexistent", "unix://" + silent, "tcp://127.0.0.1:1"} {
		t.Setenv("DOCKER_HOST", host)
		start := time.Now()
		engine, err := docker.Connect(t.Context())
		if err == nil {
			engine.Close()
			t.Fatalf("%s: an engine", host)
		}
		if !errors.Is(err, runtime.ErrUnavailable) || !strings.Contains(err.Error(), host) || time.Since(start) > 4*time.Second {
			t.Errorf("%s: %v, after %v", host, err, time.Since(start))
		}
	}
}
