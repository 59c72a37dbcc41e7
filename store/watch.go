package store

import (
	"context"
	"fmt"
	"strings"
)

// batch bounds how many events one Next returns, so that a watcher far behind does not hold the lock for long.
const batch = 1000

// cursor reads the log from a position of its own. Nothing is queued for it: that is why a slow watcher costs nothing.
// Its position is guarded by the memory's lock.
type cursor struct {
	memory *Memory
	prefix string
	after  int64
	more   chan struct{} // holds a token when there is something to read
}

// Watch implements Store.
func (m *Memory) Watch(prefix string, after int64) (Watcher, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	if after < m.compacted {
		return nil, fmt.Errorf("watch after revision %d, compacted up to %d: %w", after, m.compacted, ErrCompacted)
	}
	return &cursor{memory: m, prefix: prefix, after: after, more: make(chan struct{}, 1)}, nil
}

// Next implements Watcher.
func (c *cursor) Next(ctx context.Context) ([]Event, error) {
	for {
		events, err := c.read()
		if err != nil || len(events) > 0 {
			return events, err
		}
		if !c.wait() {
			continue
		}
		select {
		case <-c.more:
		case <-ctx.Done():
			c.leave()
			return nil, ctx.Err()
		}
	}
}

// read returns what the log holds after the cursor, and moves it on.
func (c *cursor) read() ([]Event, error) {
	m := c.memory
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	if c.after < m.compacted {
		return nil, fmt.Errorf("watch after revision %d, compacted up to %d: %w", c.after, m.compacted, ErrCompacted)
	}
	var events []Event
	for _, entry := range m.log[m.position(c.after):] {
		if len(events) == batch {
			return events, nil
		}
		c.after = entry.Revision
		if strings.HasPrefix(entry.Key, c.prefix) {
			events = append(events, m.event(entry))
		}
	}
	c.after = max(c.after, m.revision)
	return events, nil
}

// wait enters the cursor among those to be told of the next write, unless there is something to read already.
func (c *cursor) wait() bool {
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || c.after < m.revision {
		return false
	}
	m.waiting[c] = struct{}{}
	return true
}

func (c *cursor) leave() {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	delete(c.memory.waiting, c)
	select { // it may have been told meanwhile; the next read finds the event anyway
	case <-c.more:
	default:
	}
}

// tell wakes the watchers that wait for what was written. The others are moved past it asleep: so a write costs nothing
// to those whom it does not concern, and a watcher of something that never changes is never found behind a compaction.
func (m *Memory) tell(entry *Entry) {
	for c := range m.waiting {
		// A cursor after a revision that is yet to come sleeps until then.
		if !strings.HasPrefix(entry.Key, c.prefix) || c.after >= entry.Revision {
			c.after = max(c.after, entry.Revision)
			continue
		}
		delete(m.waiting, c)
		c.more <- struct{}{}
	}
}

// tellAll wakes every waiting watcher: the store closes.
func (m *Memory) tellAll() {
	for c := range m.waiting {
		delete(m.waiting, c)
		c.more <- struct{}{}
	}
}

// event is an entry of the log with the live entry that it replaced, if any. Compaction never takes that away before the
// entry itself, because it is what its key holds at every revision in between.
func (m *Memory) event(entry *Entry) Event {
	event := Event{Entry: entry}
	if entry.Version == 1 && !entry.replaced {
		return event
	}
	history := m.byKey[entry.Key]
	if history == nil {
		return event
	}
	if entry.replaced {
		event.Entry = history.readable(history.upTo(entry.Revision) - 1)
	}
	if entry.Version > 1 {
		event.Previous = history.at(entry.Revision - 1)
	}
	return event
}
