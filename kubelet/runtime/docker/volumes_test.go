package docker_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/volume"

	"kubette/kubelet/runtime"
)

func files(pairs ...string) runtime.Volume {
	volume := runtime.Volume{Files: map[string]runtime.File{}}
	for i := 0; i < len(pairs); i += 2 {
		volume.Files[pairs[i]] = runtime.File{Data: pairs[i+1], Mode: 0o644}
	}
	return volume
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	write := func(name string, volume runtime.Volume) {
		t.Helper()
		if err := c.node.WriteVolume(t.Context(), "uid-web", name, volume); err != nil {
			t.Fatal(err)
		}
	}
	group := int64(4000)
	large := strings.Repeat("0123456789abcdef", 1<<16) // a megabyte
	write("config", files("a", "one", "b", "one", "deep/er/c", "three", "large", large))
	secret := files("key", "secret")
	secret.Files["key"] = runtime.File{Data: "secret", Mode: 0o400}
	secret.Group = &group
	write("secret", secret)
	write("scratch", runtime.Volume{Group: &group})
	write("memory", runtime.Volume{Memory: true, SizeLimit: 1 << 20})
	write("kept", runtime.Volume{Persistent: "claim-1"})
	sandbox := c.pod("web")
	mounts := func(config *runtime.ContainerConfig) {
		config.TerminationLog = "/dev/termination-log"
		config.Mounts = []runtime.Mount{
			{Volume: "config", Path: "/config"}, {Volume: "secret", Path: "/secret"}, {Volume: "scratch", Path: "/scratch"},
			{Volume: "memory", Path: "/memory"}, {Volume: "kept", Path: "/kept"}, {Volume: "config", SubPath: "a", Path: "/single"},
			{Volume: "scratch", SubPath: "x/y", Path: "/part"}, {Volume: "scratch", Path: "/readonly", ReadOnly: true},
			{HostPath: "/proc/version", Path: "/host", ReadOnly: true},
		}
	}
	sleeper := c.run(sandbox, "web", "sleeper", []string{"sleep"}, mounts)
	exec := func(want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if _, err := c.node.Exec(t.Context(), sleeper, append([]string{"/program"}, args...), runtime.Streams{Stdout: &out, Stderr: &out}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("%v prints %.200q, want %.200q", args, got, want)
		}
	}
	exec("one", "cat", "/config/a")
	exec("three", "cat", "/config/deep/er/c")
	exec(large, "cat", "/config/large")
	exec("one", "cat", "/single")
	exec("-r--r----- 0 4000", "stat", "/secret/key")
	exec("-rw-r--r-- 0 0", "stat", "/config/a")
	exec("dgrwxrwxrwx 0 4000", "stat", "/scratch")
	exec("open /config/a: read-only file system", "write", "/config/a", "x")
	exec("open /readonly/a: read-only file system", "write", "/readonly/a", "x")
	exec("inside", "write", "/part/z", "inside", "cat", "/scratch/x/y/z")
	exec("", "fill", "/memory/small", "1000")
	exec("write /memory/big: no space left on device", "fill", "/memory/big", "2000000")
	exec("stays", "write", "/kept/file", "stays", "cat", "/kept/file")

	t.Run("an update is seen at once and whole", func(t *testing.T) {
		watcher := c.run(sandbox, "web", "watcher", []string{"watch", "/config"}, mounts)
		for range 20 {
			for _, value := range []string{"two", "three"} {
				write("config", files("a", value, "b", value, "new", value))
			}
		}
		exec("three", "cat", "/config/a")
		exec("three", "cat", "/config/new")
		exec("one", "cat", "/single") // as in Kubernetes, a subPath stays what it was
		exec("stat /config/large: no such file or directory", "stat", "/config/large")
		write("config", files("a", "stop", "b", "stop"))
		c.ended(watcher)
		if got := c.log(watcher); got != "" {
			t.Errorf("the watcher saw %.1000q", got)
		}
	})

	t.Run("a termination message", func(t *testing.T) {
		id := c.run(sandbox, "web", "dying", []string{"write", "/dev/termination-log", "0123456789", "write", "/tmp/x", "abc"}, mounts)
		c.ended(id)
		for _, test := range []struct{ name, want string }{{"/dev/termination-log", "56789"}, {"/tmp/x", "abc"}} {
			if got, err := c.node.ReadFile(t.Context(), id, test.name, 5); string(got) != test.want || err != nil {
				t.Errorf("%s: %q, %v", test.name, got, err)
			}
		}
		if _, err := c.node.ReadFile(t.Context(), id, "/none", 5); err == nil {
			t.Error("a file that is not there can be read")
		}
	})

	t.Run("files in memory outlive a container", func(t *testing.T) {
		if err := c.node.StopContainer(t.Context(), sleeper, 0); err != nil {
			t.Fatal(err)
		}
		sleeper = c.run(sandbox, "web", "sleeper", []string{"sleep"}, mounts, func(config *runtime.ContainerConfig) { config.Attempt = 1 })
		exec("-rw-r--r-- 0 0", "stat", "/memory/small")
	})

	t.Run("bad names", func(t *testing.T) {
		for _, name := range []string{"../up", "/root", "a/../b", "..data", ""} {
			if err := c.node.WriteVolume(t.Context(), "uid-web", "bad", files(name, "x")); err == nil {
				t.Errorf("the file name %q is accepted", name)
			}
		}
		if _, err := c.node.CreateContainer(t.Context(), sandbox, &runtime.ContainerConfig{
			PodName: "web", PodUID: "uid-web", Name: "none", ImageID: c.image, Mounts: []runtime.Mount{{Volume: "none", Path: "/none"}},
		}); err == nil || !strings.Contains(err.Error(), `no volume "none"`) {
			t.Errorf("a volume that was not made: %v", err)
		}
	})

	t.Run("the keeper is removed by someone", func(t *testing.T) {
		api := c.engine.Client()
		if err := api.ContainerKill(t.Context(), "kubette_"+c.config.Name+"_keeper", "SIGKILL"); err != nil {
			t.Fatal(err)
		}
		write("config", files("a", "again"))
		exec("again", "cat", "/config/a")
	})

	if err := c.node.RemovePodSandbox(t.Context(), sandbox); err != nil {
		t.Fatal(err)
	}
	left := must(c.engine.Client().VolumeList(t.Context(), volume.ListOptions{}))(t)
	for _, v := range left.Volumes {
		if v.Labels["kubette.pod.uid"] != "" && v.Labels["kubette"] == c.config.Name {
			t.Errorf("left: %s", v.Name)
		}
	}

	t.Run("a persistent directory outlives its pod", func(t *testing.T) {
		write("kept", runtime.Volume{Persistent: "claim-1"})
		again := c.pod("web")
		id := c.run(again, "web", "reader", []string{"cat", "/kept/file"}, func(config *runtime.ContainerConfig) {
			config.Mounts = []runtime.Mount{{Volume: "kept", Path: "/kept"}}
		})
		c.ended(id)
		if got := c.log(id); got != "stays" {
			t.Errorf("it has %q", got)
		}
	})
}
