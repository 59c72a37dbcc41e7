package toolbox

import (
	"errors"
	"io/fs"
	"os"
)

// osFiles is the file system of a real process.
type osFiles struct{}

func (osFiles) OpenFile(name string, flag int, mode fs.FileMode) (File, error) {
	return os.OpenFile(name, flag, mode)
}
func (osFiles) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (osFiles) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }
func (osFiles) MkdirAll(name string, mode fs.FileMode) error { return os.MkdirAll(name, mode) }
func (osFiles) Rename(from, to string) error                 { return os.Rename(from, to) }

func (osFiles) RemoveAll(name string) error {
	if _, err := os.Lstat(name); err != nil {
		return err
	}
	return os.RemoveAll(name)
}

// noFiles is an empty, read-only file system, for a process that is given none.
type noFiles struct{}

func (noFiles) OpenFile(name string, _ int, _ fs.FileMode) (File, error) {
	return nil, missing("open", name)
}
func (noFiles) Stat(name string) (fs.FileInfo, error)      { return nil, missing("stat", name) }
func (noFiles) ReadDir(name string) ([]fs.DirEntry, error) { return nil, missing("open", name) }
func (noFiles) MkdirAll(name string, _ fs.FileMode) error  { return missing("mkdir", name) }
func (noFiles) RemoveAll(name string) error                { return missing("remove", name) }
func (noFiles) Rename(from, _ string) error                { return missing("rename", from) }

func missing(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

func (p *Process) files() Files {
	if p.Files == nil {
		return noFiles{}
	}
	return p.Files
}

func (p *Process) open(name string) (File, error) {
	return p.files().OpenFile(p.path(name), os.O_RDONLY, 0)
}

func (p *Process) create(name string) (File, error) {
	return p.files().OpenFile(p.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
}

// reason is an error as the tools say it: without the path, which stands before it already.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	case errors.Is(err, fs.ErrExist):
		return "File exists"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}
