package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// How the copy of an etcd is filled and kept up: from the state at the oldest revision that etcd still reads, and from
// every event after it.

// header is the line before a value in etcd.
type header struct {
	Meta
	Write string `json:"write,omitempty"` // which write it is, for the process that made it
}

func newWriter() string { return strings.ToLower(rand.Text()[:12]) }

// before puts the header before a value.
func (h header) before(value []byte) string {
	line, _ := json.Marshal(h) // always encodable
	return string(append(append(line, '\n'), value...))
}

// cutHeader takes the header off a value. What another program has put there has none.
func cutHeader(data []byte) (header, []byte) {
	var h header
	line, value, found := bytes.Cut(data, []byte{'\n'})
	if !found || json.Unmarshal(line, &h) != nil {
		return header{}, data
	}
	return h, value
}

// compactedError: etcd has no events from a revision on any more, but from another.
type compactedError struct{ upTo int64 }

func (c compactedError) Error() string {
	return fmt.Sprintf("etcd is compacted up to revision %d", c.upTo)
}

// reload replaces what the copy holds by what etcd keeps. Readers who want what is lost are told that it is compacted.
func (e *Etcd) reload(ctx context.Context) error {
	fresh, err := e.load(ctx)
	if err != nil {
		return err
	}
	m := e.memory
	m.mu.Lock()
	m.keys, m.byKey, m.log, m.revision, m.compacted = fresh.keys, fresh.byKey, fresh.log, fresh.revision, fresh.compacted
	m.tellAll()
	m.mu.Unlock()
	e.advance()
	return nil
}

// advance wakes who waits for the copy.
func (e *Etcd) advance() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.advanced)
	e.advanced = make(chan struct{})
}

// load reads all that etcd keeps under the prefix.
func (e *Etcd) load(ctx context.Context) (*Memory, error) {
	asking, cancel := context.WithTimeout(ctx, etcdTime)
	newest, all, err := e.newest(asking)
	cancel()
	if err != nil {
		return nil, err
	}
	m := NewMemory()
	if newest == 0 {
		m.revision, m.compacted = all, all
		return m, nil
	}
	// Nothing is older than the first revision. If that is compacted, etcd says what the oldest is.
	for oldest := int64(1); ; {
		m := NewMemory()
		m.revision, m.compacted = oldest, oldest
		err := e.loadFrom(ctx, m, newest)
		if errors.Is(err, rpctypes.ErrCompacted) { // just now
			oldest = 1
			continue
		}
		if compacted := (compactedError{}); errors.As(err, &compacted) && compacted.upTo > oldest {
			oldest = compacted.upTo
			continue
		}
		return m, err
	}
}

// loadFrom fills a copy with the state at its compacted revision, and all that was written since.
func (e *Etcd) loadFrom(ctx context.Context, m *Memory, newest int64) error {
	if m.compacted > 1 {
		if err := e.loadState(ctx, m); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if m.revision >= newest {
		return nil
	}
	return e.stream(ctx, m, func() bool { return m.revision < newest })
}

// pageSize is how many keys are read from etcd at once.
const pageSize = 1000

func (e *Etcd) loadState(ctx context.Context, m *Memory) error {
	from, end := e.keys(), clientv3.GetPrefixRangeEnd(e.keys())
	for {
		asking, cancel := context.WithTimeout(ctx, etcdTime)
		page, err := e.client.Get(asking, from, clientv3.WithRange(end), clientv3.WithRev(m.compacted), clientv3.WithLimit(pageSize))
		cancel()
		if err != nil {
			return e.explain("read etcd", err)
		}
		for _, kv := range page.Kvs {
			entry, _ := e.entry(kv)
			history := m.begin(entry.Key)
			history.entries = []*Entry{entry}
			m.pack(history, 0)
			from = string(kv.GetKey()) + "\x00"
		}
		if !page.More {
			return nil
		}
	}
}

// entry is a key of etcd as an entry, and which write it is.
func (e *Etcd) entry(kv *mvccpb.KeyValue) (*Entry, string) {
	h, value := cutHeader(kv.GetValue())
	return &Entry{
		Key: strings.TrimPrefix(string(kv.GetKey()), e.keys()), value: value, Meta: h.Meta,
		CreateRevision: kv.GetCreateRevision(), Revision: kv.GetModRevision(), Version: kv.GetVersion(),
	}, h.Write
}

// stream applies etcd's events to a copy, from its revision on, as long as more says so.
func (e *Etcd) stream(ctx context.Context, m *Memory, more func() bool) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// It begins with what the copy has: were that compacted, a deletion right after it might be lost.
	from := m.Revision()
	for answer := range e.client.Watch(ctx, e.prefix+"/", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if answer.CompactRevision > 0 {
			return compactedError{answer.CompactRevision}
		}
		if err := answer.Err(); err != nil {
			return e.explain("watch etcd", err)
		}
		e.apply(m, from, answer.Events)
		if !more() {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.New("etcd ended the watch")
}

// apply adds the events after a revision to a copy. Those of one transaction come together, the head's first.
func (e *Etcd) apply(m *Memory, after int64, events []*clientv3.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var said header // by the head
	var saidAt int64
	for _, event := range events {
		kv := event.Kv
		if kv.GetModRevision() <= after {
			continue
		}
		if string(kv.GetKey()) == e.head() {
			said, _ = cutHeader(kv.GetValue())
			saidAt = kv.GetModRevision()
			continue
		}
		if !strings.HasPrefix(string(kv.GetKey()), e.keys()) {
			continue
		}
		entry, name := e.entry(kv)
		if event.Type == clientv3.EventTypeDelete {
			entry.Deleted, entry.value = true, nil
			if current := m.current(entry.Key); current != nil {
				entry.CreateRevision, entry.Version = current.CreateRevision, current.Version+1
			}
			if saidAt == entry.Revision {
				entry.Meta, name = said.Meta, said.Write
			}
		}
		e.meet(name, entry)
		m.apply(entry)
	}
}

// meet gives an entry the object of its writer, if that is in this process.
func (e *Etcd) meet(name string, entry *Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if mine := e.pending[name]; mine != nil {
		if mine.stamp != nil {
			mine.stamp(entry.Revision)
		}
		entry.Object = mine.object
		mine.entry = entry
	}
}

// retryAfter is how long to wait before etcd is asked again after it failed.
const retryAfter = 200 * time.Millisecond

// follow keeps the copy up until the store is closed.
func (e *Etcd) follow() {
	failing := false
	for e.alive.Err() == nil {
		err := e.stream(e.alive, e.memory, func() bool {
			if failing {
				failing = false
				slog.Info("etcd is followed again")
			}
			e.advance()
			return true
		})
		if errors.As(err, new(compactedError)) {
			slog.Warn("etcd was compacted further than this server had read; it reads all anew", "error", err)
			err = e.reload(e.alive)
		}
		if err != nil && e.alive.Err() == nil {
			if !failing {
				failing = true
				slog.Error("etcd cannot be followed; trying on", "error", err)
			}
			select {
			case <-time.After(retryAfter):
			case <-e.alive.Done():
			}
		}
	}
}
