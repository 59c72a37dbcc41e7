package sim

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// treeLimit bounds what one tree holds when it has no limit of its own, so that a program that writes without end meets
// a full disk and not the end of the process' memory.
const treeLimit = 64 << 20

// tree is a file system in memory: a container's root, a volume, a disk.
type tree struct {
	mu    sync.Mutex
	root  *node       // nil until somebody looks
	given []givenFile // what is to be in it then: nobody ever looks into most volumes of most pods
	used  int64
	limit int64
}

// givenFile is a file of a volume that the kubelet writes.
type givenFile struct {
	name    string
	content runtime.File
	at      time.Time
}

// node is a file or a directory, guarded by its tree's lock.
type node struct {
	children map[string]*node // nil for a file
	data     string
	mode     fs.FileMode
	modified time.Time
}

func newDir() *node {
	return &node{children: map[string]*node{}, mode: fs.ModeDir | 0o755, modified: time.Now()}
}

func newTree(limit int64) *tree {
	if limit <= 0 {
		limit = treeLimit
	}
	return &tree{limit: limit}
}

// give replaces all that is in the tree; the lock is held.
func (t *tree) give(files map[string]runtime.File) {
	t.root, t.used, t.given = nil, 0, make([]givenFile, 0, len(files))
	now := time.Now()
	for name, content := range files {
		t.given = append(t.given, givenFile{name, content, now})
		t.used += int64(len(content.Data))
	}
}

// top is the root directory; the lock is held.
func (t *tree) top() *node {
	if t.root == nil {
		t.root, t.used = newDir(), 0
		for _, file := range t.given {
			if n := t.put(file.name, file.content.Data, fs.FileMode(file.content.Mode)); n != nil {
				n.modified = file.at
			}
		}
		t.given = nil
	}
	return t.root
}

func (t *tree) size() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// walk finds a node; the lock is held.
func (t *tree) walk(name string) (*node, error) {
	at := t.top()
	for _, part := range split(name) {
		if at.children == nil {
			return nil, syscall.ENOTDIR
		}
		next, ok := at.children[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		at = next
	}
	return at, nil
}

// mkdirs makes a directory and its parents; the lock is held.
func (t *tree) mkdirs(name string, mode fs.FileMode) (*node, error) {
	at := t.top()
	for _, part := range split(name) {
		if at.children == nil {
			return nil, syscall.ENOTDIR
		}
		next, ok := at.children[part]
		if !ok {
			next = newDir()
			next.mode = fs.ModeDir | mode.Perm()
			at.children[part] = next
		}
		at = next
	}
	if at.children == nil {
		return nil, syscall.ENOTDIR
	}
	return at, nil
}

// put writes a whole file and makes its directories, and returns the file, or nil when one of them is a file; the lock is
// held or the tree not yet shared.
func (t *tree) put(name, data string, mode fs.FileMode) *node {
	dir, err := t.mkdirs(path.Dir(name), 0o755)
	if err != nil {
		return nil
	}
	n := &node{data: data, mode: mode.Perm(), modified: time.Now()}
	dir.children[path.Base(name)] = n
	t.used += int64(len(data))
	return n
}

func split(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// files is what a container sees: its root, and what is mounted over it. It implements toolbox.Files.
type files struct {
	root     *tree
	readOnly bool      // the root, but for what is mounted over it
	writable string    // the one path that is writable all the same: the termination message
	mounts   []mounted // longest path first
}

type mounted struct {
	path     string // inside the container
	tree     *tree
	sub      string // the part of the tree
	readOnly bool
}

// resolve finds the tree and the name in it for a path of the container.
func (f *files) resolve(name string) (t *tree, inner string, readOnly bool) {
	name = path.Clean("/" + name)
	for _, m := range f.mounts {
		if name == m.path {
			return m.tree, m.sub, m.readOnly
		}
		if rest, ok := strings.CutPrefix(name, m.path+"/"); ok {
			return m.tree, path.Join(m.sub, rest), m.readOnly
		}
	}
	return f.root, name, f.readOnly && name != f.writable
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (f *files) OpenFile(name string, flag int, mode fs.FileMode) (toolbox.File, error) {
	if path.Clean(name) == "/dev/null" {
		return nullFile{}, nil
	}
	t, inner, readOnly := f.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	writes := flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND) != 0
	if writes && readOnly {
		return nil, failed("open", name, syscall.EROFS)
	}
	n, err := t.walk(inner)
	if errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
		dir, dirErr := t.walk(path.Dir(inner))
		if dirErr != nil || dir.children == nil {
			return nil, failed("open", name, fs.ErrNotExist)
		}
		n, err = &node{mode: mode.Perm(), modified: time.Now()}, nil
		dir.children[path.Base(inner)] = n
	} else if err == nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL {
		return nil, failed("open", name, fs.ErrExist)
	}
	switch {
	case err != nil:
		return nil, failed("open", name, err)
	case n.children != nil && writes:
		return nil, failed("open", name, syscall.EISDIR)
	}
	if flag&os.O_TRUNC != 0 {
		t.used -= int64(len(n.data))
		n.data = ""
	}
	return &openFile{tree: t, node: n, name: name, flag: flag}, nil
}

func (f *files) Stat(name string) (fs.FileInfo, error) {
	t, inner, _ := f.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.walk(inner)
	if err != nil {
		return nil, failed("stat", name, err)
	}
	return n.info(path.Base(path.Clean("/" + name))), nil
}

func (f *files) ReadDir(name string) ([]fs.DirEntry, error) {
	t, inner, _ := f.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.walk(inner)
	if err == nil && n.children == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, failed("open", name, err)
	}
	entries := make([]fs.DirEntry, 0, len(n.children))
	for each, child := range n.children {
		entries = append(entries, fs.FileInfoToDirEntry(child.info(each)))
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, nil
}

func (f *files) MkdirAll(name string, mode fs.FileMode) error {
	t, inner, readOnly := f.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, err := t.walk(inner); err == nil && n.children != nil {
		return nil
	}
	if readOnly {
		return failed("mkdir", name, syscall.EROFS)
	}
	if _, err := t.mkdirs(inner, mode); err != nil {
		return failed("mkdir", name, err)
	}
	return nil
}

func (f *files) RemoveAll(name string) error {
	t, inner, readOnly := f.resolve(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if readOnly {
		return failed("unlinkat", name, syscall.EROFS)
	}
	n, err := t.walk(inner)
	if err != nil {
		return failed("unlinkat", name, err)
	}
	if n == t.root || f.isMount(name) {
		return failed("unlinkat", name, syscall.EBUSY)
	}
	dir, err := t.walk(path.Dir(inner))
	if err != nil {
		return failed("unlinkat", name, err)
	}
	delete(dir.children, path.Base(inner))
	t.used -= n.weigh()
	return nil
}

func (f *files) Rename(from, to string) error {
	fail := func(err error) error { return &os.LinkError{Op: "rename", Old: from, New: to, Err: err} }
	t, source, readOnly := f.resolve(from)
	other, target, otherReadOnly := f.resolve(to)
	switch {
	case readOnly || otherReadOnly:
		return fail(syscall.EROFS)
	case t != other:
		return fail(syscall.EXDEV)
	case f.isMount(from) || f.isMount(to):
		return fail(syscall.EBUSY)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.walk(source)
	if err != nil {
		return fail(err)
	}
	oldDir, err := t.walk(path.Dir(source))
	if err != nil {
		return fail(err)
	}
	newDir, err := t.walk(path.Dir(target))
	if err != nil {
		return fail(err)
	}
	if newDir.children == nil {
		return fail(syscall.ENOTDIR)
	}
	if replaced := newDir.children[path.Base(target)]; replaced != nil && replaced != n {
		if replaced.children != nil && len(replaced.children) > 0 {
			return fail(syscall.ENOTEMPTY)
		}
		t.used -= replaced.weigh()
	}
	delete(oldDir.children, path.Base(source))
	newDir.children[path.Base(target)] = n
	return nil
}

func (f *files) isMount(name string) bool {
	name = path.Clean("/" + name)
	for _, m := range f.mounts {
		if m.path == name {
			return true
		}
	}
	return false
}

func (n *node) weigh() int64 {
	weight := int64(len(n.data))
	for _, child := range n.children {
		weight += child.weigh()
	}
	return weight
}

// openFile is an open file; it goes on seeing its node when the name is replaced, as on Unix.
type openFile struct {
	tree   *tree
	node   *node
	name   string
	flag   int
	offset int
}

func (o *openFile) Read(b []byte) (int, error) {
	o.tree.mu.Lock()
	defer o.tree.mu.Unlock()
	switch {
	case o.node.children != nil:
		return 0, failed("read", o.name, syscall.EISDIR)
	case o.flag&os.O_WRONLY != 0:
		return 0, failed("read", o.name, syscall.EBADF)
	case o.offset >= len(o.node.data):
		return 0, io.EOF
	}
	n := copy(b, o.node.data[o.offset:])
	o.offset += n
	return n, nil
}

func (o *openFile) Write(b []byte) (int, error) {
	o.tree.mu.Lock()
	defer o.tree.mu.Unlock()
	if o.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return 0, failed("write", o.name, syscall.EBADF)
	}
	if o.flag&os.O_APPEND != 0 {
		o.offset = len(o.node.data)
	}
	end := o.offset + len(b)
	if grows := int64(end - len(o.node.data)); grows > 0 {
		if o.tree.used+grows > o.tree.limit {
			return 0, failed("write", o.name, syscall.ENOSPC)
		}
		o.tree.used += grows
	}
	before, after := o.node.data, ""
	if end < len(before) {
		after = before[end:]
	}
	if hole := o.offset - len(before); hole > 0 {
		before += strings.Repeat("\x00", hole)
	}
	o.node.data, o.offset, o.node.modified = before[:o.offset]+string(b)+after, end, time.Now()
	return len(b), nil
}

func (o *openFile) Close() error { return nil }

type nullFile struct{}

func (nullFile) Read([]byte) (int, error)    { return 0, io.EOF }
func (nullFile) Write(b []byte) (int, error) { return len(b), nil }
func (nullFile) Close() error                { return nil }

// fileInfo implements fs.FileInfo.
type fileInfo struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
}

func (n *node) info(name string) fileInfo {
	return fileInfo{name: name, size: int64(len(n.data)), mode: n.mode, modified: n.modified}
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.modified }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
