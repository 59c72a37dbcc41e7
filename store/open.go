package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"go.etcd.io/bbolt"
)

// OpenBolt opens the store in a file, and makes the file when there is none. It brings back every kept entry, without
// its decoded object. A file that does not hold what was written to it is refused with ErrDamaged and left as it is.
func OpenBolt(path string, options BoltOptions) (*Bolt, error) {
	if options.Timeout == 0 {
		options.Timeout = time.Second
	}
	b, err := open(path, options)
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open store %s: it is in use by another kubette; stop that one, or choose another --data-dir", path)
	case errors.Is(err, ErrDamaged):
		return nil, fmt.Errorf("open store %s: %w; it was left as it is: restore a snapshot (kubette snapshot restore FILE), "+
			"or move the file away to begin with an empty cluster", path, err)
	}
	return nil, fmt.Errorf("open store %s: %w", path, err)
}

func open(path string, options BoltOptions) (*Bolt, error) {
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := create(path, options); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, errors.New("it is a directory")
	}
	if err := inspect(path, options); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, boltOptions(options, false))
	if err != nil {
		return nil, err
	}
	b := &Bolt{db: db, memory: NewMemory()}
	leftover, err := b.load()
	if err == nil {
		err = b.remove(leftover)
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return b, nil
}

func boltOptions(options BoltOptions, readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout:  options.Timeout,
		ReadOnly: readOnly,
		// The list of free pages is found by walking the tree when the file is opened, instead of written each time.
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: 16 << 20, // the file's size changes in steps of this, and each change costs a sync
		NoStatistics:    true,
	}
}

// create makes an empty store under another name and then gives it its own: nobody ever sees half of it.
func create(path string, options BoltOptions) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_ = temporary.Close()
	defer func() { _ = os.Remove(temporary.Name()) }()
	db, err := bbolt.Open(temporary.Name(), 0o600, boltOptions(options, false))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(logBucket); err != nil {
			return err
		}
		bucket, err := tx.CreateBucket(storeBucket)
		if err != nil {
			return err
		}
		if err := bucket.Put(formatKey, binary.AppendUvarint(nil, format)); err != nil {
			return err
		}
		return new(state).save(tx)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Two may make the file at once: a link is made by one of them only.
	if err := os.Link(temporary.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		if err := os.Rename(temporary.Name(), path); err != nil { // a file system without links
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable. Windows has no such call: its file systems keep a journal of names.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load fills the working copy from the file, and returns the revisions that a compaction had no time to remove.
func (b *Bolt) load() (leftover []int64, err error) {
	m := b.memory
	err = b.db.View(func(tx *bbolt.Tx) error {
		if b.state, err = loadState(tx); err != nil {
			return err
		}
		bucket := tx.Bucket(logBucket)
		if bucket == nil {
			return fmt.Errorf("the log is missing: %w", ErrDamaged)
		}
		m.revision, m.compacted = b.state.compacted, b.state.compacted
		var count int64
		names := map[string]string{}
		err := bucket.ForEach(func(key, data []byte) error {
			count++
			return m.restore(key, data, names)
		})
		if err != nil {
			return err
		}
		if count != b.state.count || m.revision != b.state.revision {
			return fmt.Errorf("the log ends with revision %d and has %d entries, where %d and %d were written: %w",
				m.revision, count, b.state.revision, b.state.count, ErrDamaged)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []*versions
	m.keys.Ascend(func(history *versions) bool { all = append(all, history); return true })
	for _, history := range all {
		leftover = append(leftover, m.forget(history, m.compacted)...)
		if n := len(history.entries); n > 0 && !history.entries[n-1].Deleted {
			m.pack(history, n-1) // what was read is likely to stay
		}
	}
	return leftover, nil
}

// restore adds an entry of the file to the working copy. Those after the compacted revision come without gaps.
func (m *Memory) restore(key, data []byte, names map[string]string) error {
	if len(key) != 8 {
		return fmt.Errorf("an entry has no revision: %w", ErrDamaged)
	}
	revision := int64(binary.BigEndian.Uint64(key))
	data, err := unseal(data, key)
	if err != nil {
		return fmt.Errorf("revision %d: %w", revision, err)
	}
	entry, err := decodeEntry(revision, data, names)
	if err != nil {
		return fmt.Errorf("revision %d: %w", revision, err)
	}
	history := m.byKey[entry.Key]
	if history == nil {
		history = m.begin(entry.Key)
	}
	m.replace(history, entry)
	history.entries = append(history.entries, entry)
	if revision <= m.compacted {
		return nil
	}
	if revision != m.revision+1 {
		return fmt.Errorf("revision %d follows revision %d: %w", revision, m.revision, ErrDamaged)
	}
	m.log = append(m.log, entry)
	m.revision = revision
	return nil
}
