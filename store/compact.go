package store

import (
	"context"
	"fmt"
)

// Compact implements Store.
func (m *Memory) Compact(_ context.Context, revision int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.compactable(revision); err != nil {
		return err
	}
	m.compact(revision)
	return nil
}

func (m *Memory) compactable(revision int64) error {
	switch {
	case m.closed:
		return ErrClosed
	case revision > m.revision:
		return fmt.Errorf("compact at revision %d, the newest is %d: %w", revision, m.revision, ErrFutureRevision)
	case revision <= m.compacted:
		return fmt.Errorf("compact at revision %d, compacted up to %d: %w", revision, m.compacted, ErrCompacted)
	}
	return nil
}

// compact forgets, and returns the revisions that it forgot: what was replaced at or before the revision, and tombstones.
// The value that a key had at the revision stays, so that reads at the revision itself still work.
func (m *Memory) compact(revision int64) (forgotten []int64) {
	touched := map[string]bool{}
	at := m.position(revision)
	for _, entry := range m.log[:at] {
		touched[entry.Key] = true
	}
	for key := range touched {
		forgotten = append(forgotten, m.forget(m.byKey[key], revision)...)
	}
	m.log = append([]*Entry(nil), m.log[at:]...)
	m.compacted = revision
	return forgotten
}

// forget drops what a key need not keep after a compaction at a revision, and returns the revisions dropped.
func (m *Memory) forget(history *versions, revision int64) (forgotten []int64) {
	// keep is the first entry to keep: the newest one at or before the revision, unless that is a tombstone.
	keep := history.upTo(revision)
	if keep > 0 && !history.entries[keep-1].Deleted {
		keep--
	}
	if keep == 0 {
		return nil
	}
	for _, entry := range history.entries[:keep] {
		forgotten = append(forgotten, entry.Revision)
	}
	if keep == len(history.entries) {
		m.keys.Delete(history)
		delete(m.byKey, history.key)
	} else {
		history.entries = append([]*Entry(nil), history.entries[keep:]...)
	}
	return forgotten
}
