package docker

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"kubette/kubelet/runtime"
)

// written remembers what was last written into volumes of files, so that only changes are written.
type written struct {
	mu    sync.Mutex
	files map[string]map[string]runtime.File
}

func (w *written) same(at string, files map[string]runtime.File) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.files[at]
	return ok && maps.Equal(last, files)
}

func (w *written) set(at string, files map[string]runtime.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.files == nil {
		w.files = map[string]map[string]runtime.File{}
	}
	w.files[at] = maps.Clone(files)
}

func (w *written) remove(prefix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.files, func(at string, _ map[string]runtime.File) bool { return strings.HasPrefix(at, prefix) })
}

// writeFiles brings a volume of files up to date, as Kubernetes' atomic writer does: the files are written into a new
// directory, and the link ..data is moved to it by a rename. A file's visible name is a link through ..data, so a
// reader sees all the old files or all the new ones.
func (e *Engine) writeFiles(ctx context.Context, at string, files map[string]runtime.File, group *int64) error {
	if e.written.same(at, files) {
		return nil
	}
	for name := range files {
		if clean := path.Clean("/" + name)[1:]; clean != name || strings.HasPrefix(name, "..") {
			return fmt.Errorf("%q is not a name for a file of a volume", name)
		}
	}
	answers, err := e.ask(ctx, makeDirectory(at, 0o755), changeMode(at, 0o755))
	if err != nil {
		return err
	}
	var there []string
	if answers[0].value != 0 { // it is not new
		if there, err = e.readDirectory(ctx, at); err != nil {
			return err
		}
	}
	fresh := time.Now().UTC().Format("..2006_01_02_15_04_05.000000000")
	calls := append(writeTree(at+"/"+fresh, files, group),
		unlink(at+"/..data_tmp", 0), linkTo(fresh, at+"/..data_tmp"), rename(at+"/..data_tmp", at+"/..data"))
	answers, err = e.ask(ctx, calls...)
	if err == nil {
		err = completelyWritten(calls, answers)
	}
	if err != nil {
		e.removeTree(ctx, at+"/"+fresh) // the first error counts
		return err
	}
	if err := e.updateLinks(ctx, at, there, files); err != nil {
		return err
	}
	if len(there) > 0 {
		e.removeLater(at, there)
	}
	e.written.set(at, files)
	return nil
}

// removeLater removes the directories of earlier updates, a moment after the link left them: a program may have followed
// the link and not opened its file yet.
func (e *Engine) removeLater(at string, there []string) {
	e.start(func(ctx context.Context) {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return // the next update removes them
		}
		for _, name := range there {
			if !strings.HasPrefix(name, "..2") {
				continue
			}
			if err := e.removeTree(ctx, at+"/"+name); err != nil && ctx.Err() == nil && !e.keeper.isClosed() {
				e.log.Warn("the files of a volume before its last update are left", "error", err)
			}
		}
	})
}

// writeTree writes files and the directories that their names ask for.
func writeTree(root string, files map[string]runtime.File, group *int64) []call {
	calls := []call{makeDirectory(root, 0o755)}
	made := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		parts := strings.Split(name, "/")
		for i := 1; i < len(parts); i++ {
			if directory := root + "/" + strings.Join(parts[:i], "/"); !made[directory] {
				made[directory] = true
				calls = append(calls, makeDirectory(directory, 0o755))
			}
		}
		mode := files[name].Mode & 0o7777
		if group != nil {
			mode |= 0o440
		}
		calls = append(calls, writeFile(root+"/"+name, []byte(files[name].Data), mode, group)...)
	}
	return calls
}

// completelyWritten looks for writes that were cut short, which is how a disk becomes full.
func completelyWritten(calls []call, answers []answer) error {
	for i, call := range calls {
		if call.number == sysWrite && answers[i].value != int64(len(call.data)) {
			return fmt.Errorf("%s: %w", call.what, errNoSpace)
		}
	}
	return nil
}

// updateLinks makes the visible names, and removes those that are no longer wanted.
func (e *Engine) updateLinks(ctx context.Context, at string, there []string, files map[string]runtime.File) error {
	visible := map[string]bool{}
	var calls []call
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		if !visible[first] {
			visible[first] = true
			calls = append(calls, linkTo("..data/"+first, at+"/"+first))
		}
	}
	for _, name := range there {
		if !visible[name] && !strings.HasPrefix(name, "..") {
			calls = append(calls, unlink(at+"/"+name, 0))
		}
	}
	return e.keep(ctx, calls...)
}
