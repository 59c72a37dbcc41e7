package store

import (
	"context"
	"fmt"
	"strings"
)

// batch bounds how many events one Next returns, so that a watcher far behind does not hold the lock for long.
const batch = 1000

// cursor reads the log from a position of its own. Nothing is queued for it: that is why a slow watcher costs nothing.
type cursor struct {
	memory *Memory
	prefix string
	after  int64
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
	return &cursor{memory: m, prefix: prefix, after: after}, nil
}

// Next implements Watcher.
func (c *cursor) Next(ctx context.Context) ([]Event, error) {
	for {
		events, change, err := c.read()
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read returns what the log holds after the cursor, and what to wait for when that is nothing.
func (c *cursor) read() ([]Event, <-chan struct{}, error) {
	m := c.memory
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, nil, ErrClosed
	}
	if c.after < m.compacted {
		return nil, nil, fmt.Errorf("watch after revision %d, compacted up to %d: %w", c.after, m.compacted, ErrCompacted)
	}
	var events []Event
	for c.after < m.revision && len(events) < batch {
		entry := m.log[c.after-m.compacted]
		c.after = entry.Revision
		if strings.HasPrefix(entry.Key, c.prefix) {
			events = append(events, Event{Entry: entry, Previous: m.previous(entry)})
		}
	}
	return events, m.change, nil
}

// previous is the live entry that an entry replaced, or nil. It may have been compacted away, and is nil then, too.
func (m *Memory) previous(entry *Entry) *Entry {
	if entry.Version == 1 {
		return nil
	}
	history := m.history(entry.Key)
	if history == nil {
		return nil
	}
	return history.at(entry.Revision - 1)
}
