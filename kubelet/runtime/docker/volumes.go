package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"kubette/kubelet/runtime"
)

// In the cluster's volume, as the keeper sees it:
//
//	pods/UID/volumes/NAME/             a volume of a pod, or
//	pods/UID/volumes/NAME -> TARGET    where it is instead: /a/directory of the engine's machine, or memory:VOLUME
//	pods/UID/termination/NAME-ATTEMPT  a container's termination message
//	persistent/NAME/                   directories that outlive pods
//	trash/                             what is being removed
const (
	podsRoot       = keeperMount + "/pods/"
	persistentRoot = keeperMount + "/persistent/"
	trashRoot      = keeperMount + "/trash/"
	memoryTarget   = "memory:"
)

func volumePath(uid, name string) string { return podsRoot + uid + "/volumes/" + name }

func terminationPath(uid, container string, attempt uint32) string {
	return podsRoot + uid + "/termination/" + container + "-" + strconv.FormatUint(uint64(attempt), 10)
}

// onEngine is where something in the keeper's view is on the engine's machine.
func (e *Engine) onEngine(keeperPath string) string {
	return path.Join(e.keeper.directory, strings.TrimPrefix(keeperPath, keeperMount))
}

// prepareVolume makes the volume's first directories, and removes in the background what an earlier run left: what it was
// removing, and the files of pods that have no container any more.
func (e *Engine) prepareVolume(ctx context.Context) error {
	var calls []call
	for _, directory := range []string{podsRoot, persistentRoot, trashRoot} {
		calls = append(calls, makeDirectory(directory, 0o755))
	}
	if err := e.keep(ctx, calls...); err != nil {
		return fmt.Errorf("prepare the cluster's volume: %w", err)
	}
	there, err := e.list(ctx, labelCluster+"="+e.config.Name)
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for _, summary := range there {
		alive[summary.Labels[labelUID]] = true
	}
	pods, err := e.readDirectory(ctx, podsRoot)
	if err != nil {
		return err
	}
	for _, uid := range pods {
		if !alive[uid] {
			if err := e.discard(ctx, uid); err != nil {
				return err
			}
		}
	}
	e.emptyTrash()
	return nil
}

// WriteVolume implements runtime.Runtime.
func (n *Node) WriteVolume(ctx context.Context, podUID, name string, volume runtime.Volume) error {
	e := n.engine
	if strings.ContainsAny(podUID+name, "/\x00") || name == "" || podUID == "" {
		return fmt.Errorf("the volume %q of pod %q: a name may not contain a slash", name, podUID)
	}
	parents := []call{makeDirectory(podsRoot+podUID, 0o755), makeDirectory(podsRoot+podUID+"/volumes", 0o755)}
	if err := e.keep(ctx, parents...); err != nil {
		return fmt.Errorf("make the volume %s: %w", name, err)
	}
	var err error
	target := volumePath(podUID, name)
	switch {
	case volume.Files != nil:
		err = e.writeFiles(ctx, target, volume.Files, volume.Group)
	case volume.Persistent != "":
		err = e.linkPersistent(ctx, target, volume)
	case volume.Memory:
		err = e.memoryVolume(ctx, podUID, name, target, volume)
	default:
		err = e.keep(ctx, openDirectory(target, volume.Group)...)
	}
	if err != nil {
		return fmt.Errorf("make the volume %s: %w", name, err)
	}
	return nil
}

// openDirectory makes a directory that every user may write to, as emptyDir is.
func openDirectory(directory string, group *int64) []call {
	mode, owner := uint32(0o777), []call(nil)
	if group != nil {
		mode = 0o2777
		owner = []call{changeGroup(directory, *group)}
	}
	return append([]call{makeDirectory(directory, mode)}, append(owner, changeMode(directory, mode))...)
}

// linkPersistent notes where a persistent directory is: of the host when its name is absolute, else in the cluster's
// volume, which needs nothing from the host and is the better place.
func (e *Engine) linkPersistent(ctx context.Context, target string, volume runtime.Volume) error {
	name := volume.Persistent
	if !filepath.IsAbs(name) && !path.IsAbs(name) {
		directory := path.Join(persistentRoot, path.Join("/", name))
		if directory+"/" == persistentRoot {
			return fmt.Errorf("%q does not name a persistent directory", name)
		}
		calls := append(openDirectory(directory, volume.Group), linkTo(e.onEngine(directory), target))
		return e.keep(ctx, calls...)
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(name, 0o777), os.Chmod(name, 0o777)); err != nil { // for programs of any user
			return fmt.Errorf("make the persistent directory: %w", err)
		}
	}
	return e.keep(ctx, linkTo(name, target))
}

// memoryVolumes remembers the volumes in memory of pods that have no sandbox yet: the sandbox mounts them, so that they
// live as long as it does, over any restart of the containers.
type memoryVolumes struct {
	mu    sync.Mutex
	names map[string][]string // by pod
}

func memoryName(cluster, podUID, name string) string {
	return "kubette-" + cluster + "-" + podUID + "-" + name
}

func (e *Engine) memoryVolume(ctx context.Context, podUID, name, target string, config runtime.Volume) error {
	options := []string{"mode=1777"}
	if config.SizeLimit > 0 {
		options = append(options, "size="+strconv.FormatInt(config.SizeLimit, 10))
	}
	if config.Group != nil {
		options[0] = "mode=3777"
		options = append(options, "gid="+strconv.FormatInt(*config.Group, 10))
	}
	engineName := memoryName(e.config.Name, podUID, name)
	_, err := within(ctx, callTimeout, func(ctx context.Context) (volume.Volume, error) {
		return e.api.VolumeCreate(ctx, volume.CreateOptions{
			Name:       engineName,
			DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": strings.Join(options, ",")},
			Labels:     map[string]string{labelCluster: e.config.Name, labelRole: roleVolume, labelUID: podUID},
		})
	})
	if err != nil {
		return explain(ctx, err)
	}
	e.memory.mu.Lock()
	if e.memory.names == nil {
		e.memory.names = map[string][]string{}
	}
	if !slices.Contains(e.memory.names[podUID], engineName) {
		e.memory.names[podUID] = append(e.memory.names[podUID], engineName)
	}
	e.memory.mu.Unlock()
	return e.keep(ctx, linkTo(memoryTarget+engineName, target))
}

// mounts are what a pod's sandbox holds.
func (m *memoryVolumes) mounts(podUID string) []mount.Mount {
	m.mu.Lock()
	defer m.mu.Unlock()
	var mounts []mount.Mount
	for i, name := range m.names[podUID] {
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: name, Target: "/memory/" + strconv.Itoa(i), VolumeOptions: &mount.VolumeOptions{NoCopy: true}})
	}
	return mounts
}

// RemoveVolumes implements runtime.Runtime. Persistent directories stay. The files are gone from the pods at once, and
// removed in the background.
func (n *Node) RemoveVolumes(ctx context.Context, podUID string) error {
	if podUID == "" || strings.Contains(podUID, "/") {
		return fmt.Errorf("%q is not the UID of a pod", podUID)
	}
	if err := n.engine.discard(ctx, podUID); err != nil {
		return err
	}
	n.engine.emptyTrash()
	return nil
}

// discard moves a pod's files to the trash and removes its volumes in memory.
func (e *Engine) discard(ctx context.Context, podUID string) error {
	trash := trashRoot + podUID + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	moved := rename(podsRoot+podUID, trash)
	moved.ignore = errNoEntry
	if err := e.keep(ctx, moved); err != nil {
		return fmt.Errorf("remove the volumes of pod %s: %w", podUID, err)
	}
	e.memory.mu.Lock()
	delete(e.memory.names, podUID)
	e.memory.mu.Unlock()
	e.written.remove(podsRoot + podUID + "/")
	return e.removeVolumes(ctx, labelCluster+"="+e.config.Name, labelRole+"="+roleVolume, labelUID+"="+podUID)
}

// removeVolumes removes the engine's volumes with all these labels.
func (e *Engine) removeVolumes(ctx context.Context, labels ...string) error {
	there, err := within(ctx, callTimeout, func(ctx context.Context) (volume.ListResponse, error) {
		return e.api.VolumeList(ctx, volume.ListOptions{Filters: scope(labels...)})
	})
	if err != nil {
		return fmt.Errorf("list the volumes: %w", explain(ctx, err))
	}
	for _, left := range there.Volumes {
		err := e.call(ctx, callTimeout, func(ctx context.Context) error { return e.api.VolumeRemove(ctx, left.Name, true) })
		if err != nil && !isGone(err) {
			return fmt.Errorf("remove the volume %s: %w", left.Name, err)
		}
	}
	return nil
}

// emptyTrash removes what is in the trash, one sweep at a time.
func (e *Engine) emptyTrash() {
	e.start(func(ctx context.Context) {
		e.sweep.Lock()
		defer e.sweep.Unlock()
		names, err := e.readDirectory(ctx, trashRoot)
		for _, name := range names {
			if err == nil {
				err = e.removeTree(ctx, trashRoot+name)
			}
		}
		if err != nil && ctx.Err() == nil && !e.keeper.isClosed() {
			e.log.Warn("files of removed pods are left in the cluster's volume", "error", err)
		}
	})
}

// mounts turns a container's mounts into the engine's: binds make what is missing on the host, mounts do not.
func (n *Node) mounts(ctx context.Context, config *runtime.ContainerConfig) (binds []string, mounts []mount.Mount, err error) {
	for _, wanted := range config.Mounts {
		if wanted.Volume == "" {
			source := path.Join(wanted.HostPath, path.Join("/", wanted.SubPath))
			if strings.Contains(source+wanted.Path, ":") {
				mounts = append(mounts, bind(source, wanted.Path, wanted.ReadOnly))
				continue
			}
			mode := "rw"
			if wanted.ReadOnly {
				mode = "ro"
			}
			binds = append(binds, source+":"+wanted.Path+":"+mode)
			continue
		}
		mounted, err := n.mountVolume(ctx, config.PodUID, wanted)
		if err != nil {
			return nil, nil, err
		}
		mounts = append(mounts, mounted)
	}
	if config.TerminationLog != "" {
		file := terminationPath(config.PodUID, config.Name, config.Attempt)
		err := n.engine.keep(ctx, slices.Concat([]call{
			makeDirectory(podsRoot+config.PodUID, 0o755), makeDirectory(path.Dir(file), 0o755),
		}, writeFile(file, nil, 0o666, nil))...)
		if err != nil {
			return nil, nil, fmt.Errorf("make the termination message file: %w", err)
		}
		mounts = append(mounts, bind(n.engine.onEngine(file), config.TerminationLog, false))
	}
	return binds, mounts, nil
}

func bind(source, target string, readOnly bool) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: readOnly}
}

// mountVolume finds where a pod's volume is, and the part of it that is wanted.
func (n *Node) mountVolume(ctx context.Context, podUID string, wanted runtime.Mount) (mount.Mount, error) {
	e := n.engine
	at := volumePath(podUID, wanted.Volume)
	inside := strings.TrimPrefix(path.Join("/", wanted.SubPath), "/")
	answers, err := e.ask(ctx, readLink(at), readLink(at+"/..data"))
	if err != nil {
		return mount.Mount{}, err
	}
	target, err := linkTarget(answers[0], at)
	filesOnly := answers[1].value >= 0
	switch {
	case errors.Is(err, errInvalid): // a directory
	case errors.Is(err, errNoEntry):
		return mount.Mount{}, fmt.Errorf("the pod has no volume %q", wanted.Volume)
	case err != nil:
		return mount.Mount{}, err
	case strings.HasPrefix(target, memoryTarget):
		return e.mountMemory(ctx, strings.TrimPrefix(target, memoryTarget), inside, wanted)
	case strings.HasPrefix(target, e.keeper.directory+"/"):
		at, filesOnly = keeperMount+strings.TrimPrefix(target, e.keeper.directory), false
	default:
		return mountHost(target, inside, wanted)
	}
	if inside == "" || filesOnly { // of files, what is named is there, behind kubette's own links
		return bind(e.onEngine(path.Join(at, inside)), wanted.Path, wanted.ReadOnly || filesOnly), nil
	}
	if err := e.safePath(ctx, at, inside); err != nil {
		return mount.Mount{}, fmt.Errorf("subPath %q of the volume %q: %w", wanted.SubPath, wanted.Volume, err)
	}
	return bind(e.onEngine(path.Join(at, inside)), wanted.Path, wanted.ReadOnly), nil
}

// safePath makes a directory inside a volume that containers write to. None of its parts may be a symbolic link: a
// container could have laid one to a place outside.
func (e *Engine) safePath(ctx context.Context, root, inside string) error {
	var calls []call
	at := root
	for _, part := range strings.Split(inside, "/") {
		at += "/" + part
		made := makeDirectory(at, 0o777)
		made.optional = true // a file may be there
		calls = append(calls, made, readLink(at))
	}
	answers, err := e.ask(ctx, calls...)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		if i%2 == 1 && answer.value >= 0 {
			return errLoop
		}
		if i%2 == 1 && errno(-answer.value) != errInvalid {
			return errno(-answer.value)
		}
		if i%2 == 0 && answer.value == 0 {
			if err := e.keep(ctx, changeMode(root+"/"+strings.Join(strings.Split(inside, "/")[:i/2+1], "/"), 0o777)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountMemory mounts a volume in memory, or a part of it that is there.
func (e *Engine) mountMemory(ctx context.Context, name, inside string, wanted runtime.Mount) (mount.Mount, error) {
	if inside == "" {
		return mount.Mount{
			Type: mount.TypeVolume, Source: name, Target: wanted.Path, ReadOnly: wanted.ReadOnly,
			VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		}, nil
	}
	there, err := within(ctx, callTimeout, func(ctx context.Context) (volume.Volume, error) { return e.api.VolumeInspect(ctx, name) })
	if err != nil {
		return mount.Mount{}, explain(ctx, err)
	}
	return bind(path.Join(there.Mountpoint, inside), wanted.Path, wanted.ReadOnly), nil
}

// mountHost mounts a persistent directory of the host, or a part of it, which is made when this host has the directory.
func mountHost(directory, inside string, wanted runtime.Mount) (mount.Mount, error) {
	if inside != "" {
		root, err := os.OpenRoot(directory)
		if err != nil {
			return mount.Mount{}, err
		}
		defer root.Close()
		if _, err := root.Stat(inside); err != nil { // a link to outside is an error, too
			if err := root.MkdirAll(inside, 0o777); err != nil {
				return mount.Mount{}, fmt.Errorf("subPath %q: %w", inside, err)
			}
		}
	}
	return bind(path.Join(directory, inside), wanted.Path, wanted.ReadOnly), nil
}

// ReadFile implements runtime.Runtime.
func (n *Node) ReadFile(ctx context.Context, id, name string, limit int64) ([]byte, error) {
	details, err := n.engine.inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	labels := details.Config.Labels
	if name == labels[labelTermination] {
		file := terminationPath(labels[labelUID], labels[labelContainer], attemptOf(labels))
		return n.engine.readTail(ctx, file, limit)
	}
	return n.engine.readFromContainer(ctx, id, name, limit)
}

// tailWriter keeps the last bytes that were written to it.
type tailWriter struct {
	limit int64
	bytes.Buffer
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if over := int64(t.Len()) - t.limit; over > 0 {
		t.Next(int(over))
	}
	return len(p), nil
}
