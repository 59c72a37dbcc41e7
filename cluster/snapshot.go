package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"kubette/store"
)

// snapshotter is a store that can be copied while it runs.
type snapshotter interface{ Snapshot(w io.Writer) error }

// snapshot sends the store as it is now: a file that is a store itself.
func (c *Cluster) snapshot(w http.ResponseWriter, _ *http.Request) {
	durable, ok := c.store.(snapshotter)
	if c.shared() {
		http.Error(w, "the cluster keeps its objects in etcd: save them with `etcdctl snapshot save`, from "+strings.Join(c.state.Etcd, ", "), http.StatusConflict)
		return
	}
	if !ok {
		http.Error(w, "the cluster keeps its objects in memory only (--ephemeral): there is no file to copy", http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := durable.Snapshot(w); err != nil {
		// The answer has begun: only cutting it off tells the client.
		slog.Error("a snapshot was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
}

// SaveSnapshot writes a copy of the running cluster's store into a file, which is only there when it is whole.
func (c *Control) SaveSnapshot(ctx context.Context, path string) (err error) {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary))
		}
	}()
	err = errors.Join(c.download(ctx, "snapshot", file), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if _, err := checkStore(temporary); err != nil {
		return fmt.Errorf("the snapshot is not whole: %w", err)
	}
	return os.Rename(temporary, path)
}

// checkStore opens a store's file, and returns its newest revision.
func checkStore(path string) (int64, error) {
	opened, err := store.OpenBolt(path, store.BoltOptions{})
	if err != nil {
		return 0, err
	}
	revision := opened.Revision()
	return revision, opened.Close()
}

// beforeRestore is added to the name of a store's file that a snapshot replaces.
const beforeRestore = ".before-restore"

// Restored says what a snapshot brought.
type Restored struct {
	Revision int64  `json:"revision"`
	Old      string `json:"old,omitempty"` // where the objects are that were there before
}

// Restore puts a snapshot in the place of the store of a cluster that does not run. The old file is kept beside it.
func (s *State) Restore(snapshot string) (*Restored, error) {
	if len(s.Etcd) > 0 {
		return nil, fmt.Errorf("cluster %s keeps its objects in etcd: bring them back with `etcdctl snapshot restore`", s.Name)
	}
	dir := cmp.Or(s.DataDir, s.Dir)
	revision, err := stage(snapshot, dir)
	if err != nil {
		return nil, err
	}
	old, err := takeStaged(dir)
	if err != nil {
		return nil, err
	}
	restored := &Restored{Revision: revision, Old: old}
	if s.DataDir == "" {
		s.DataDir = dir
		return restored, s.write()
	}
	return restored, nil
}

// staged is the file of a data directory that takes the place of the store's.
const staged = storeFile + ".new"

// stage copies a snapshot into a data directory, and returns its revision when it is whole.
func stage(snapshot, dir string) (int64, error) {
	path := filepath.Join(dir, staged)
	if err := copyFile(snapshot, path); err != nil {
		return 0, fmt.Errorf("restore %s: %w", snapshot, err)
	}
	revision, err := checkStore(path)
	if err == nil {
		return revision, nil
	}
	_ = os.Remove(path)
	if errors.Is(err, store.ErrDamaged) {
		return 0, fmt.Errorf("restore %s: %w, or no snapshot at all; the cluster keeps what it has: try an older snapshot", snapshot, store.ErrDamaged)
	}
	return 0, fmt.Errorf("restore %s: %w", snapshot, err)
}

// takeStaged puts the staged file in the place of the store's, which is kept beside it.
func takeStaged(dir string) (old string, err error) {
	path := filepath.Join(dir, storeFile)
	if _, err := os.Stat(path); err == nil {
		old = path + beforeRestore
		if err := os.Rename(path, old); err != nil {
			return "", fmt.Errorf("keep the old store: %w", err)
		}
	}
	if err := os.Rename(filepath.Join(dir, staged), path); err != nil {
		return "", fmt.Errorf("take the snapshot: %w", err)
	}
	return old, nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}
