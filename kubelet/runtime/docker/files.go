package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"kubette/kubelet/runtime"
)

// Numbers of Linux for files.
const (
	openCreate      = 0x241 // write only, create, truncate
	removeDirectory = 0x200
	seekEnd         = 2

	errInvalid errno = 22
)

// keep has the keeper do calls.
func (e *Engine) keep(ctx context.Context, calls ...call) error {
	_, err := e.ask(ctx, calls...)
	return err
}

// ask has the keeper do calls and returns their answers. When the keeper turns out to be gone, it is started anew, and the
// calls, which are all such as may be done twice, are done again.
func (e *Engine) ask(ctx context.Context, calls ...call) ([]answer, error) {
	for attempt := 0; ; attempt++ {
		worker, err := e.keeperWorker(ctx)
		if err != nil {
			return nil, err
		}
		answers, err := worker.do(ctx, calls...)
		if err == nil || !worker.isBroken() {
			return answers, err
		}
		worker.close()
		if _, err := e.keeperWorker(ctx); errors.Is(err, errClosed) {
			return nil, err
		}
		if attempt > 0 || ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", runtime.ErrUnavailable, err)
		}
	}
}

func at(number_ callNumber, what, name string, more ...argument) call {
	return call{what: what + " " + name, number: number_, args: append([]argument{number(atFdCwd), pointer(0)}, more...), data: text(name)}
}

// makeDirectory makes one directory; one that is there is no error.
func makeDirectory(name string, mode uint32) call {
	c := at(sysMkdirat, "make the directory", strings.TrimSuffix(name, "/"), number(mode))
	c.ignore = errExists
	return c
}

func changeMode(name string, mode uint32) call {
	return at(sysFchmodat, "set the mode of", name, number(mode))
}

func changeGroup(name string, group int64) call {
	return at(sysFchownat, "set the group of", name, number(^uint64(0)), number(group), number(0x100)) // a link itself
}

func rename(from, to string) call {
	return call{
		what: "rename " + from, number: sysRenameat,
		args: []argument{number(atFdCwd), pointer(0), number(atFdCwd), pointer(len(from) + 1)}, data: append(text(from), text(to)...),
	}
}

// linkTo makes a symbolic link; one that is there stays.
func linkTo(target, name string) call {
	return call{
		what: "link " + name, number: sysSymlinkat, ignore: errExists,
		args: []argument{pointer(0), number(atFdCwd), pointer(len(target) + 1)}, data: append(text(target), text(name)...),
	}
}

func readLink(name string) call {
	c := at(sysReadlinkat, "read the link", name, pointer(len(name)+1), number(maxData-len(name)-1))
	c.optional = true
	return c
}

func unlink(name string, flags int) call {
	c := at(sysUnlinkat, "remove", name, number(flags))
	c.ignore = errNoEntry
	return c
}

func closeFile() call {
	return call{what: "close", number: sysClose, args: []argument{number(3)}, optional: true}
}

// writeFile makes a file with a content, whatever was there.
func writeFile(name string, data []byte, mode uint32, group *int64) []call {
	calls := []call{at(sysOpenat, "create", name, number(openCreate), number(0o600))}
	for chunk := range slices.Chunk(data, maxData) {
		calls = append(calls, call{what: "write " + name, number: sysWrite, args: []argument{number(3), pointer(0), number(len(chunk))}, data: chunk})
	}
	calls = append(calls, closeFile())
	if group != nil {
		calls = append(calls, changeGroup(name, *group))
	}
	return append(calls, changeMode(name, mode))
}

// linkTarget is where a symbolic link points, from the answer to readLink; errInvalid for what is no link.
func linkTarget(link answer, name string) (string, error) {
	if link.value < 0 {
		return "", errno(-link.value)
	}
	start := len(name) + 1
	return string(link.data[start : start+int(link.value)]), nil
}

// readDirectory returns the names in a directory; none when there is no such directory.
func (e *Engine) readDirectory(ctx context.Context, name string) ([]string, error) {
	worker, err := e.keeperWorker(ctx)
	if err != nil {
		return nil, err
	}
	worker.mu.Lock()
	defer worker.mu.Unlock()
	open := at(sysOpenat, "open", name, number(0), number(0))
	open.optional = true
	answers, err := worker.locked(ctx, []call{open})
	if err != nil {
		return nil, err
	}
	if answers[0].value < 0 {
		if failed := errno(-answers[0].value); failed != errNoEntry {
			return nil, fmt.Errorf("open %s: %w", name, failed)
		}
		return nil, nil
	}
	defer worker.locked(ctx, []call{closeFile()})
	var names []string
	for {
		answers, err := worker.locked(ctx, []call{{
			what: "list " + name, number: sysGetdents, args: []argument{number(3), pointer(0), number(maxData)},
		}})
		if err != nil || answers[0].value == 0 {
			return names, err
		}
		for entries := answers[0].data[:answers[0].value]; len(entries) > 0; {
			length := binary.LittleEndian.Uint16(entries[16:])
			entry, _, _ := bytes.Cut(entries[19:length], []byte{0})
			if name := string(entry); name != "." && name != ".." {
				names = append(names, name)
			}
			entries = entries[length:]
		}
	}
}

// removeTree removes a file, or a directory and all below it.
func (e *Engine) removeTree(ctx context.Context, name string) error {
	file := unlink(name, 0)
	file.optional = true
	answers, err := e.ask(ctx, file)
	if err != nil {
		return err
	}
	switch failed := errno(-answers[0].value); failed {
	case 0, errNoEntry:
		return nil
	case errIsDir, errPermission: // a directory
	default:
		return fmt.Errorf("remove %s: %w", name, failed)
	}
	for {
		names, err := e.readDirectory(ctx, name)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return e.keep(ctx, unlink(name, removeDirectory))
		}
		for _, batch := range slices.Collect(slices.Chunk(names, 64)) {
			if err := e.removeAll(ctx, name, batch); err != nil {
				return err
			}
		}
	}
}

// removeAll removes many entries of a directory: files in one go, directories each on its own.
func (e *Engine) removeAll(ctx context.Context, directory string, names []string) error {
	calls := make([]call, len(names))
	for i, name := range names {
		calls[i] = unlink(directory+"/"+name, 0)
		calls[i].optional = true
	}
	answers, err := e.ask(ctx, calls...)
	if err != nil {
		return err
	}
	for i, name := range names {
		if answers[i].value < 0 {
			if err := e.removeTree(ctx, directory+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTail reads the end of a file in the cluster's volume.
func (e *Engine) readTail(ctx context.Context, name string, limit int64) ([]byte, error) {
	worker, err := e.keeperWorker(ctx)
	if err != nil {
		return nil, err
	}
	worker.mu.Lock()
	defer worker.mu.Unlock()
	answers, err := worker.locked(ctx, []call{
		at(sysOpenat, "open", name, number(0), number(0)),
		{what: "seek in " + name, number: sysLseek, args: []argument{number(3), number(-limit), number(seekEnd)}, optional: true},
	})
	if errors.Is(err, errNoEntry) {
		return nil, fmt.Errorf("%s: %w", path.Base(name), runtime.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer worker.locked(ctx, []call{closeFile()})
	var data []byte
	for int64(len(data)) < limit {
		answers, err = worker.locked(ctx, []call{{
			what: "read " + name, number: sysRead, args: []argument{number(3), pointer(0), number(min(limit-int64(len(data)), maxData))},
		}})
		if err != nil || answers[0].value == 0 {
			return data, err
		}
		data = append(data, answers[0].data[:answers[0].value]...)
	}
	return data, nil
}

// readFromContainer reads the end of a file in a container's own file system, running or not.
func (e *Engine) readFromContainer(ctx context.Context, id, name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	archive, _, err := e.api.CopyFromContainer(ctx, id, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, explain(ctx, err))
	}
	defer archive.Close()
	files := tar.NewReader(archive)
	header, err := files.Next()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if header.Typeflag == tar.TypeSymlink {
		target := header.Linkname
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		return e.readFromContainer(ctx, id, target, limit)
	}
	if header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("read %s: it is not a file", name)
	}
	tail := &tailWriter{limit: limit}
	if _, err := io.Copy(tail, files); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return tail.Bytes(), nil
}
