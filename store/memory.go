package store

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/google/btree"
)

// Memory is a Store that lives as long as the process. Bolt keeps its working copy in one, too.
type Memory struct {
	mu        sync.RWMutex
	keys      *btree.BTreeG[*versions] // in order; byKey finds one of them
	byKey     map[string]*versions
	log       []*Entry // every write after the compacted revision, in order
	revision  int64
	compacted int64
	closed    bool
	waiting   map[*cursor]struct{} // watchers that have seen everything and wait for more
	families  map[string]*family   // by what their keys begin with
}

// versions are the kept entries of one key, oldest first.
type versions struct {
	key     string
	entries []*Entry
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{
		keys:    btree.NewG(32, func(a, b *versions) bool { return a.key < b.key }),
		byKey:   map[string]*versions{},
		waiting: map[*cursor]struct{}{}, families: map[string]*family{},
	}
}

// Revision implements Store.
func (m *Memory) Revision() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.revision
}

// CompactedRevision implements Store.
func (m *Memory) CompactedRevision() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.compacted
}

// Sync implements Store: all that was acknowledged is here.
func (m *Memory) Sync(context.Context) error { return nil }

// Write implements Store.
func (m *Memory) Write(_ context.Context, write Write) (*Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, err := m.next(write, m.current(write.Key), m.revision+1)
	if err != nil {
		return nil, err
	}
	m.apply(entry)
	return entry, nil
}

// next makes the entry that a write would add, without adding it.
func (m *Memory) next(write Write, current *Entry, revision int64) (*Entry, error) {
	if m.closed {
		return nil, ErrClosed
	}
	var at int64
	if current != nil && !current.Deleted {
		at = current.Revision
	}
	if at != write.Expected {
		return nil, fmt.Errorf("%s is at revision %d, expected %d: %w", write.Key, at, write.Expected, ErrConflict)
	}
	if write.Delete && at == 0 {
		return nil, fmt.Errorf("%s: %w", write.Key, ErrNotFound)
	}
	entry := &Entry{
		Key: write.Key, value: write.Value, Deleted: write.Delete, Revision: revision,
		CreateRevision: revision, Version: 1, Meta: write.Meta, Object: write.Object,
	}
	if at != 0 {
		entry.CreateRevision, entry.Version = current.CreateRevision, current.Version+1
	}
	if write.Delete {
		entry.value = nil
	}
	if write.Stamp != nil {
		write.Stamp(revision)
	}
	return entry, nil
}

// apply adds an entry whose revision is the next one, and wakes the watchers.
func (m *Memory) apply(entry *Entry) {
	history := m.byKey[entry.Key]
	if history == nil {
		history = m.begin(entry.Key)
	}
	entry.Key = history.key // one string for all of a key's entries
	m.replace(history, entry)
	history.entries = append(history.entries, entry)
	m.log = append(m.log, entry)
	m.revision = entry.Revision
	m.settle()
	m.tell(entry)
}

// wholeEvery is how far apart the replaced values are that are kept whole, so that reading one never takes more steps.
const wholeEvery = 16

// replace makes the newest entry of a key smaller, before another one follows it: its decoded form, which takes several
// times the memory, goes, and its value becomes a difference from the one that follows.
func (m *Memory) replace(history *versions, next *Entry) {
	n := len(history.entries)
	if n == 0 {
		return
	}
	old := *history.entries[n-1]
	old.Object = nil
	if old.Version%wholeEvery != 0 {
		if diff := difference(next.Value(), old.Value()); diff != nil {
			old.value, old.base, old.replaced = diff, nil, true
		}
	}
	m.exchange(history, n-1, &old)
}

// settle makes an entry smaller that has not been replaced for a while.
func (m *Memory) settle() {
	if len(m.log) < unsettled {
		return
	}
	entry := m.log[len(m.log)-unsettled]
	if entry.Deleted || entry.replaced || entry.base != nil {
		return
	}
	history := m.byKey[entry.Key]
	m.pack(history, history.upTo(entry.Revision)-1)
}

// pack makes an entry of a key, whose value is whole, a difference from what it has in common with its family.
func (m *Memory) pack(history *versions, place int) {
	entry := history.entries[place]
	name := familyOf(entry.Key)
	f := m.families[name]
	if f == nil {
		f = &family{}
		m.families[strings.Clone(name)] = f
	}
	small := *entry
	if small.value, small.base = f.pack(entry.value); small.base == nil {
		return
	}
	m.exchange(history, place, &small)
}

// exchange puts an entry of a key in the place of another of the same revision. Readers may have that: it does not change.
func (m *Memory) exchange(history *versions, place int, entry *Entry) {
	history.entries[place] = entry
	if i := m.position(entry.Revision); i > 0 && m.log[i-1].Revision == entry.Revision {
		m.log[i-1] = entry
	}
}

// readable is the entry at a place in a key's history as readers get it.
func (v *versions) readable(i int) *Entry {
	if !v.entries[i].replaced {
		return v.entries[i]
	}
	entry := *v.entries[i]
	entry.base = v.readable(i + 1)
	return &entry
}

// position is how many entries of the log are at or before a revision. Revisions come without gaps, unless the store is
// an etcd that others write to as well.
func (m *Memory) position(revision int64) int {
	if i := revision - m.compacted; i >= 0 && i <= int64(len(m.log)) && (i == 0 || m.log[i-1].Revision == revision) {
		return int(i)
	}
	return sort.Search(len(m.log), func(i int) bool { return m.log[i].Revision > revision })
}

// begin starts the history of a key.
func (m *Memory) begin(key string) *versions {
	history := &versions{key: key}
	m.keys.ReplaceOrInsert(history)
	m.byKey[key] = history
	return history
}

// current is the newest entry of a key, tombstones included, or nil.
func (m *Memory) current(key string) *Entry {
	history := m.byKey[key]
	if history == nil {
		return nil
	}
	return history.entries[len(history.entries)-1]
}

// at is the entry of a key as of a revision, or nil; tombstones count as nil.
func (v *versions) at(revision int64) *Entry {
	if newest := v.entries[len(v.entries)-1]; newest.Revision <= revision { // what nearly every reader asks for
		if newest.Deleted {
			return nil
		}
		return newest
	}
	i := v.upTo(revision)
	if i == 0 || v.entries[i-1].Deleted {
		return nil
	}
	return v.readable(i - 1)
}

// upTo is how many entries of a key are at or before a revision.
func (v *versions) upTo(revision int64) int {
	return sort.Search(len(v.entries), func(i int) bool { return v.entries[i].Revision > revision })
}

// readable returns the revision to read, given the one asked for (0 is now), or why it cannot be read.
func (m *Memory) readable(revision int64) (int64, error) {
	switch {
	case m.closed:
		return 0, ErrClosed
	case revision == 0:
		return m.revision, nil
	case revision > m.revision:
		return 0, fmt.Errorf("revision %d, the newest is %d: %w", revision, m.revision, ErrFutureRevision)
	case revision < m.compacted:
		return 0, fmt.Errorf("revision %d, compacted up to %d: %w", revision, m.compacted, ErrCompacted)
	}
	return revision, nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, key string, revision int64) (*Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	revision, err := m.readable(revision)
	if err != nil {
		return nil, err
	}
	if history := m.byKey[key]; history != nil {
		if entry := history.at(revision); entry != nil {
			return entry, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
}

// countAhead bounds how many entries List counts after a page, so that reading a long list page by page stays linear.
const countAhead = 20_000

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix string, options ListOptions) (*Page, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	revision, err := m.readable(options.Revision)
	if err != nil {
		return nil, err
	}
	page := &Page{Revision: revision}
	m.keys.AscendGreaterOrEqual(&versions{key: max(prefix, options.After)}, func(history *versions) bool {
		if !strings.HasPrefix(history.key, prefix) {
			return false
		}
		entry := history.at(revision)
		if entry == nil || history.key == options.After {
			return true
		}
		if options.Limit > 0 && len(page.Entries) == options.Limit {
			page.More = true
			page.Remaining++
			if page.Remaining > countAhead {
				page.Remaining = 0
				return false
			}
			return true
		}
		page.Entries = append(page.Entries, entry)
		return true
	})
	return page, ctx.Err()
}

// History implements Store.
func (m *Memory) History(_ context.Context, key string) ([]*Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	history := m.byKey[key]
	if history == nil {
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	entries := make([]*Entry, len(history.entries))
	for i := range entries {
		entries[i] = history.readable(i)
	}
	return entries, nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.tellAll()
	}
	return nil
}
