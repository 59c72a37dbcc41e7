package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// A running cluster takes a snapshot's objects by beginning anew with them, in the same process and at the same addresses:
// all that anybody remembers of the objects before, in caches and in containers, must go.

// Again says, after Run has returned, that the cluster is to be run again: it was stopped to take a snapshot's objects.
func (c *Cluster) Again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

// askedRestore is what another process asks for.
type askedRestore struct {
	File string `json:"file"`
}

// restore checks a snapshot, and stops the cluster to take it.
func (c *Cluster) restore(w http.ResponseWriter, r *http.Request) {
	var asked askedRestore
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !filepath.IsAbs(asked.File) {
		http.Error(w, "name the file by its whole path", http.StatusBadRequest)
		return
	}
	if _, durable := c.store.(snapshotter); !durable {
		http.Error(w, fmt.Sprintf("objects of this cluster are not in a file, so that none can take its place: %s", c.storeName()), http.StatusConflict)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again {
		http.Error(w, "the cluster is about to take another snapshot", http.StatusConflict)
		return
	}
	revision, err := stage(asked.File, c.config.DataDir)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	c.again = true
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Restored{Revision: revision, Old: filepath.Join(c.config.DataDir, storeFile) + beforeRestore})
	c.Stop()
}

// takeSnapshot puts a checked snapshot in place, when the store is closed.
func (c *Cluster) takeSnapshot() error {
	if !c.Again() {
		return nil
	}
	_, err := takeStaged(c.config.DataDir)
	return err
}

// storeName says where objects are that are not in a file.
func (c *Cluster) storeName() string {
	if c.shared() {
		return "they are in etcd"
	}
	return "they are in memory only"
}

// restoreTime bounds how long a cluster may take to begin anew.
const restoreTime = 2 * time.Minute

// RestoreRunning has a running cluster take the objects of a snapshot, and returns when it is ready with them.
func (s *State) RestoreRunning(ctx context.Context, snapshot string) (*Restored, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	path, err := filepath.Abs(snapshot)
	if err != nil {
		return nil, err
	}
	control, err := s.Connect()
	if err != nil {
		return nil, err
	}
	restored := &Restored{}
	if err := control.doWithin(ctx, restoreTime, http.MethodPost, "restore", askedRestore{File: path}, restored); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			now, err := ReadState(s.Name)
			if err == nil && now.Running != nil && !now.Running.Began.Equal(s.Running.Began) {
				return restored, nil
			}
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("cluster %s was stopped to take the snapshot and is not ready again; see its log", s.Name), ctx.Err())
		}
	}
}
