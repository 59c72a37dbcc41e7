package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"kubette/kubelet/runtime/docker"
)

// ErrForeign: somebody else runs a cluster of that name on the same Docker engine.
var ErrForeign = errors.New("somebody else runs a cluster of that name on this Docker engine")

// owner says whose a cluster on an engine is: it names the machine, and the folder there that the cluster's state is in.
// Several people, or machines, may use one engine; a name is taken there for one of them.
func (s *State) owner() string {
	host, _ := os.Hostname()
	return host + ":" + s.Dir
}

// claim makes sure that what an engine has under the cluster's name may be taken over, or removed: it is ours, or nobody
// runs it any more. Otherwise it returns ErrForeign.
func (s *State) claim(ctx context.Context, engine *docker.Engine) error {
	owner, err := engine.Owner(ctx, s.Name)
	if err != nil || owner == "" || owner == s.owner() {
		return err
	}
	host, dir, _ := strings.Cut(owner, ":")
	if here, _ := os.Hostname(); host == here && !held(dir) {
		return engine.Cleanup(ctx, s.Name, docker.CleanupOptions{KeepVolumes: true})
	}
	return fmt.Errorf("cluster %s: %w, from the folder %s on %s; choose another --name, or stop that one there with `kubette down --name %s`",
		s.Name, ErrForeign, dir, host, s.Name)
}

// held says whether a process has the lock in a cluster's folder. A folder that cannot be looked into may be in use.
func held(dir string) bool {
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	lock := flock.New(path)
	locked, err := lock.TryLock()
	if locked {
		_ = lock.Close()
	}
	return err != nil || !locked
}
