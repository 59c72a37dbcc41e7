package sim

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"sort"
	"strings"
	"sync"

	"kubette/kubelet/runtime"
)

// Disks hold persistent volumes by their directory's name; the runtimes of a cluster share one. The zero value works.
type Disks struct {
	mu    sync.Mutex
	trees map[string]*tree
}

func (d *Disks) open(name string, limit int64) *tree {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trees == nil {
		d.trees = map[string]*tree{}
	}
	if d.trees[name] == nil {
		d.trees[name] = newTree(limit)
	}
	return d.trees[name]
}

// Remove forgets a persistent volume's files, when its claim is gone and its policy says so.
func (d *Disks) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.trees, name)
}

// WriteVolume implements runtime.Runtime.
func (r *Runtime) WriteVolume(_ context.Context, podUID, name string, volume runtime.Volume) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return err
	}
	key := volumeKey{podUID, name}
	t := r.volumes[key]
	switch {
	case volume.Persistent != "":
		t = r.config.Disks.open(volume.Persistent, volume.SizeLimit)
	case t == nil && volume.Memory:
		t = newTree(volume.SizeLimit)
	case t == nil: // a volume on disk may grow beyond its limit, until the kubelet sees it
		t = newTree(0)
	}
	r.volumes[key] = t
	if volume.Files != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.give(volume.Files)
	}
	return nil
}

// RemoveVolumes implements runtime.Runtime.
func (r *Runtime) RemoveVolumes(_ context.Context, podUID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return err
	}
	r.removeVolumes(podUID)
	return nil
}

// volumeKey names a volume of a pod.
type volumeKey struct{ podUID, name string }

// removeVolumes forgets a pod's volumes; the lock is held.
func (r *Runtime) removeVolumes(podUID string) {
	maps.DeleteFunc(r.volumes, func(key volumeKey, _ *tree) bool { return key.podUID == podUID })
}

// ReadFile implements runtime.Runtime.
func (r *Runtime) ReadFile(_ context.Context, id, name string, limit int64) ([]byte, error) {
	r.mu.Lock()
	c, err := r.find(id)
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	view := c.files
	r.mu.Unlock()
	if view == nil {
		return nil, failed("open", name, fs.ErrNotExist) // nobody ever wrote one
	}
	t, inner, _ := view.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.walk(inner)
	switch {
	case err != nil:
		return nil, failed("open", name, err)
	case n.children != nil:
		return nil, failed("read", name, fmt.Errorf("is a directory"))
	}
	data := n.data
	if limit > 0 && int64(len(data)) > limit {
		data = data[int64(len(data))-limit:]
	}
	return []byte(data), nil
}

// filesOf makes a container's view when it is first needed; the runtime's lock is held.
func (r *Runtime) filesOf(c *container) *files {
	if c.files != nil {
		return c.files
	}
	s, root := c.sandbox, newTree(0)
	for _, dir := range []string{"/bin", "/dev", "/etc", "/home", "/opt", "/proc", "/root", "/run", "/srv", "/sys", "/usr/bin", "/usr/local/bin", "/var/log", "/var/run"} {
		_, _ = root.mkdirs(dir, 0o755)
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		_, _ = root.mkdirs(dir, 0o777)
	}
	root.put("/etc/hostname", s.config.Hostname+"\n", 0o644)
	root.put("/etc/hosts", s.hosts(), 0o644)
	root.put("/etc/resolv.conf", s.resolver(), 0o644)
	if c.config.TerminationLog != "" {
		root.put(c.config.TerminationLog, "", 0o666)
	}
	view := &files{root: root, readOnly: c.config.Security.ReadOnlyRoot, writable: path.Clean("/" + c.config.TerminationLog)}
	for _, m := range c.config.Mounts {
		over := mounted{path: path.Clean("/" + m.Path), sub: "/" + m.SubPath, readOnly: m.ReadOnly}
		if m.Volume != "" {
			over.tree = r.volumes[volumeKey{c.config.PodUID, m.Volume}]
		} else {
			over.tree, over.sub = r.hostTree(), path.Join("/", m.HostPath, m.SubPath)
		}
		if over.tree == nil {
			continue
		}
		over.tree.mu.Lock()
		if _, err := over.tree.walk(over.sub); err != nil {
			_, _ = over.tree.mkdirs(over.sub, 0o755)
		}
		over.tree.mu.Unlock()
		_, _ = root.mkdirs(over.path, 0o755)
		view.mounts = append(view.mounts, over)
	}
	sort.SliceStable(view.mounts, func(i, j int) bool { return len(view.mounts[i].path) > len(view.mounts[j].path) })
	c.files = view
	return view
}

// DiskUse says how many bytes the files of a pod's volumes take, and what its containers have written beside them.
func (r *Runtime) DiskUse(_ context.Context, podUID string, volumes []string) (inVolumes, inContainers map[string]int64, err error) {
	inVolumes, inContainers = map[string]int64{}, map[string]int64{}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return nil, nil, err
	}
	for _, name := range volumes {
		if t := r.volumes[volumeKey{podUID, name}]; t != nil {
			inVolumes[name] = t.size()
		}
	}
	for _, c := range r.pods[podUID] {
		if c.files != nil && c.state.State == runtime.Running {
			inContainers[c.state.Name] += c.files.root.size()
		}
	}
	return inVolumes, inContainers, nil
}

// hostTree is the simulated machine's own files; the runtime's lock is held.
func (r *Runtime) hostTree() *tree {
	if r.host == nil {
		r.host = newTree(0)
	}
	return r.host
}

// StatHost says what a path of the simulated machine is; the error of one that is not there is fs.ErrNotExist.
func (r *Runtime) StatHost(_ context.Context, name string) (fs.FileMode, error) {
	r.mu.Lock()
	t := r.hostTree()
	r.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.walk(path.Join("/", name))
	if err != nil {
		return 0, failed("stat", name, err)
	}
	return n.mode, nil
}

// MakeHost makes a directory with its parents, or an empty file.
func (r *Runtime) MakeHost(_ context.Context, name string, directory bool) error {
	r.mu.Lock()
	t := r.hostTree()
	r.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !directory {
		t.put(path.Join("/", name), "", 0o644)
		return nil
	}
	_, err := t.mkdirs(path.Join("/", name), 0o755)
	return err
}

// hosts is the pod's /etc/hosts, with the words that the kubelet writes.
func (s *sandbox) hosts() string {
	var b strings.Builder
	b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if s.config.Domain != "" {
		fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", s.address, s.config.Hostname, s.config.Domain, s.config.Hostname)
	} else {
		fmt.Fprintf(&b, "%s\t%s\n", s.address, s.config.Hostname)
	}
	if len(s.config.Hosts) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, entry := range s.config.Hosts {
		fmt.Fprintf(&b, "%s\t%s\n", entry.Address, strings.Join(entry.Names, "\t"))
	}
	return b.String()
}

// resolver is the pod's /etc/resolv.conf.
func (s *sandbox) resolver() string {
	var b strings.Builder
	if len(s.config.DNS.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(s.config.DNS.Searches, " "))
	}
	for _, server := range s.config.DNS.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(s.config.DNS.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(s.config.DNS.Options, " "))
	}
	return b.String()
}
