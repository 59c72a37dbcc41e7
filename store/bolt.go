package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// BoltOptions of a durable store; the zero value is good.
type BoltOptions struct {
	// Timeout is how long to wait for another process to let go of the file; 0 means one second.
	Timeout time.Duration
}

// Bolt is a Store in one file. Reads and watches are those of its working copy in memory; a write is answered when it
// has been synced to disk. Close it; a file that was not closed is as good, only its lock is gone with its process.
//
// Writers who come while a sync is under way share the next one (group commit): a disk that can sync a thousand times a
// second so takes many thousand writes from many writers, and a single writer waits for nobody.
type Bolt struct {
	memory *Memory
	db     *bbolt.DB

	mu      sync.Mutex
	waiting []*proposal // in the order in which they came
	leading bool        // somebody commits
	closed  bool

	// What follows belongs to the leader.
	state  state
	broken error // why the file takes no more writes
}

// proposal is a write, or other work on the file, that waits for its turn.
type proposal struct {
	write Write
	work  func() error // instead of a write; it has the file for itself

	turn  chan bool // true: lead; false: done, and entry and err are set
	entry *Entry
	err   error
}

// atOnce bounds how many writes share a transaction, so that the first of them does not wait for too many others.
const atOnce = 1000

// Write implements Store. It returns when the write is on disk. An error of the disk means that nothing was written.
func (b *Bolt) Write(ctx context.Context, write Write) (*Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &proposal{write: write}
	b.propose(p, false)
	return p.entry, p.err
}

// propose queues a proposal and returns when it is settled. The first one in an idle store commits at once; those who
// come meanwhile wait, and the first of them then commits for all of them. The last proposal closes the store.
func (b *Bolt) propose(p *proposal, last bool) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		p.err = ErrClosed
		return
	}
	b.closed = last
	b.waiting = append(b.waiting, p)
	if b.leading {
		p.turn = make(chan bool, 1)
		b.mu.Unlock()
		if lead := <-p.turn; !lead {
			return
		}
		b.mu.Lock()
	}
	b.leading = true
	group := b.group()
	b.mu.Unlock()

	b.commit(group)

	b.mu.Lock()
	b.leading = len(b.waiting) > 0
	if b.leading {
		b.waiting[0].turn <- true
	}
	b.mu.Unlock()
	for _, other := range group[1:] {
		other.turn <- false
	}
}

// group takes the proposals that are committed together: the leader's own, which is the first, and those behind it. Work
// on the file goes alone.
func (b *Bolt) group() []*proposal {
	n := 1
	if b.waiting[0].work == nil {
		for n < len(b.waiting) && n < atOnce && b.waiting[n].work == nil {
			n++
		}
	}
	group := b.waiting[:n:n]
	b.waiting = append([]*proposal(nil), b.waiting[n:]...)
	return group
}

// commit writes a group of proposals in one transaction, and shows them to readers when it is on disk.
func (b *Bolt) commit(group []*proposal) {
	if work := group[0].work; work != nil {
		group[0].err = work()
		return
	}
	entries := b.judge(group)
	if len(entries) == 0 {
		return
	}
	err := b.transact(func(tx *bbolt.Tx, s *state) error { return s.put(tx, entries) })
	if err != nil {
		for _, p := range group {
			p.entry, p.err = nil, err
		}
		return
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	for _, entry := range entries {
		b.memory.apply(entry)
	}
}

// judge decides each write of a group as if those before it were done already, and returns the entries to write.
func (b *Bolt) judge(group []*proposal) []*Entry {
	b.memory.mu.RLock()
	defer b.memory.mu.RUnlock()
	var entries []*Entry
	newer := map[string]*Entry{}
	for _, p := range group {
		current, ok := newer[p.write.Key]
		if !ok {
			current = b.memory.current(p.write.Key)
		}
		p.entry, p.err = b.memory.next(p.write, current, b.state.revision+int64(len(entries))+1)
		if p.err == nil {
			entries = append(entries, p.entry)
			newer[p.write.Key] = p.entry
		}
	}
	return entries
}

// transact changes the file and the state that goes with it, both or neither.
func (b *Bolt) transact(work func(tx *bbolt.Tx, s *state) error) error {
	if b.broken != nil {
		return b.broken
	}
	after := b.state
	err := b.db.Update(func(tx *bbolt.Tx) error {
		if err := work(tx, &after); err != nil {
			return err
		}
		return after.save(tx)
	})
	if err == nil {
		b.state = after
		return nil
	}
	// The transaction was rolled back; but when the very last sync failed, the file may hold it all the same, and what
	// a crash would leave of it nobody knows. Then only opening the file anew tells what is true.
	var there state
	look := b.db.View(func(tx *bbolt.Tx) (err error) { there, err = loadState(tx); return err })
	if look != nil || there != b.state {
		b.broken = fmt.Errorf("write to %s failed halfway (%w): the store takes no more writes; stop kubette and start it again", b.db.Path(), err)
		return b.broken
	}
	hint := "check the disk"
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if strings.Contains(err.Error(), full.Error()) { // bbolt does not always wrap what it passes on
			hint = "the disk is full: make room on it and try again"
		}
	}
	return fmt.Errorf("write to %s: %w (nothing was changed; %s)", b.db.Path(), err, hint)
}

// forgetAtOnce bounds how many entries one transaction of a compaction removes, so that writers need not wait long.
const forgetAtOnce = 2000

// Compact implements Store. What is forgotten is removed from disk, too; the file does not shrink, but its space is used
// again.
func (b *Bolt) Compact(_ context.Context, revision int64) error {
	var forgotten []int64
	p := &proposal{work: func() error {
		m := b.memory
		m.mu.RLock()
		err := m.compactable(revision)
		m.mu.RUnlock()
		if err != nil {
			return err
		}
		// The mark comes first: were the process killed now, opening the file again would remove the rest.
		err = b.transact(func(_ *bbolt.Tx, s *state) error { s.compacted = revision; return nil })
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		forgotten = m.compact(revision)
		return nil
	}}
	if b.propose(p, false); p.err != nil {
		return p.err
	}
	return b.remove(forgotten)
}

// remove deletes entries from disk, some at a time, and lets writers in between.
func (b *Bolt) remove(revisions []int64) error {
	for len(revisions) > 0 {
		some := revisions[:min(len(revisions), forgetAtOnce)]
		p := &proposal{work: func() error {
			return b.transact(func(tx *bbolt.Tx, s *state) error { return s.drop(tx, some) })
		}}
		if b.propose(p, false); p.err != nil {
			return p.err
		}
		revisions = revisions[len(some):]
	}
	return nil
}

// Snapshot writes a copy of the store's file as it is now, while reads and writes go on. It can be opened as a store.
func (b *Bolt) Snapshot(w io.Writer) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Close implements Store.
func (b *Bolt) Close() error {
	p := &proposal{work: func() error {
		_ = b.memory.Close()
		return b.db.Close()
	}}
	b.propose(p, true)
	if errors.Is(p.err, ErrClosed) {
		return nil // closed before
	}
	return p.err
}

// What only reads, reads the working copy.

// Revision implements Store.
func (b *Bolt) Revision() int64 { return b.memory.Revision() }

// Sync implements Store: nobody else writes to the file.
func (b *Bolt) Sync(context.Context) error { return nil }

// CompactedRevision implements Store.
func (b *Bolt) CompactedRevision() int64 { return b.memory.CompactedRevision() }

// Get implements Store.
func (b *Bolt) Get(ctx context.Context, key string, revision int64) (*Entry, error) {
	return b.memory.Get(ctx, key, revision)
}

// List implements Store.
func (b *Bolt) List(ctx context.Context, prefix string, options ListOptions) (*Page, error) {
	return b.memory.List(ctx, prefix, options)
}

// Watch implements Store.
func (b *Bolt) Watch(prefix string, after int64) (Watcher, error) {
	return b.memory.Watch(prefix, after)
}

// History implements Store.
func (b *Bolt) History(ctx context.Context, key string) ([]*Entry, error) {
	return b.memory.History(ctx, key)
}
