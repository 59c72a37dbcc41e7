package docker_test

import (
	"testing"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
)

// TestWhatTheMachineHasLeft: memory, disk and processes are the machine's, and a pod's files are counted.
func TestWhatTheMachineHasLeft(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	node := c.node.(*docker.Node)
	rooms := must(node.Rooms(t.Context()))(t)
	info := must(node.Info(t.Context()))(t)
	if whole := rooms.Memory.Capacity; whole < info.MemoryBytes*9/10 || whole > info.MemoryBytes*11/10 {
		t.Errorf("the machine has %d bytes of memory by its own word, %d by the engine's", whole, info.MemoryBytes)
	}
	for name, room := range map[string]runtime.Room{"memory": rooms.Memory, "disk": rooms.Disk, "pids": rooms.PIDs} {
		if room.Available <= 0 || room.Available >= room.Capacity {
			t.Errorf("%s: %d of %d are left", name, room.Available, room.Capacity)
		}
	}
	sandbox := c.pod("pod")
	if err := node.WriteVolume(t.Context(), "uid-pod", "data", runtime.Volume{}); err != nil {
		t.Fatal(err)
	}
	c.ended(c.run(sandbox, "pod", "app", []string{"fill", "/data/file", "3000000", "fill", "/tmp/own", "1000000"}, func(config *runtime.ContainerConfig) {
		config.Mounts = []runtime.Mount{{Volume: "data", SubPath: "deep", Path: "/data"}}
	}))
	volumes, containers, err := node.DiskUse(t.Context(), "uid-pod", []string{"data"})
	if err != nil {
		t.Fatal(err)
	}
	if used := volumes["data"]; used < 3_000_000 || used > 3_100_000 {
		t.Errorf("a volume with a file of 3,000,000 bytes holds %d", used)
	}
	if used := containers["app"]; used < 1_000_000 || used > 1_100_000 {
		t.Errorf("a container that wrote 1,000,000 bytes holds %d", used)
	}
}
