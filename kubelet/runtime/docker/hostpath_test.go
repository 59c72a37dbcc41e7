package docker_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
)

// TestFilesOfTheMachine: a hostPath's type is looked up on the engine's machine, which must be this one here.
func TestFilesOfTheMachine(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	node := c.node.(*docker.Node)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o640)
	os.Symlink(dir, filepath.Join(dir, "link"))
	listener := must(net.Listen("unix", filepath.Join(dir, "socket")))(t)
	defer listener.Close()
	for name, want := range map[string]fs.FileMode{
		dir: fs.ModeDir, dir + "/file": 0, dir + "/link": fs.ModeDir, dir + "/socket": fs.ModeSocket, "/dev/null": fs.ModeDevice | fs.ModeCharDevice,
	} {
		if mode := must(node.StatHost(t.Context(), name))(t); mode.Type() != want {
			t.Errorf("%s is %v, wanted %v", name, mode, want)
		}
	}
	if _, err := node.StatHost(t.Context(), dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for name, directory := range map[string]bool{dir + "/a/b": true, dir + "/made": false} {
		if err := node.MakeHost(t.Context(), name, directory); err != nil {
			t.Errorf("make %s: %v", name, err)
		}
		if info, err := os.Stat(name); err != nil || info.IsDir() != directory {
			t.Errorf("%s was not made: %v", name, err)
		}
	}
}

// TestADebugContainerSeesItsTarget: the processes of one container, and not the other's.
func TestADebugContainerSeesItsTarget(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sandbox := c.pod("pod")
	target := c.run(sandbox, "pod", "app", []string{"sleep"})
	debug := c.run(sandbox, "pod", "debugger", []string{"ids", "cat", "/proc/1/cmdline"}, func(config *runtime.ContainerConfig) { config.Target = target })
	c.ended(debug)
	if log := c.log(debug); strings.HasSuffix(strings.TrimSpace(strings.Split(log, "\n")[0]), " 1") || !strings.Contains(log, "/program\x00sleep") {
		t.Errorf("the debug container sees as its processes %q", log)
	}
}
