package store

import (
	"context"
	"errors"
	"time"
)

// Errors that callers decide on.
var (
	// ErrNotFound: the key has no value at the revision asked for.
	ErrNotFound = errors.New("key not found")
	// ErrConflict: the key is not at the revision that the writer expected.
	ErrConflict = errors.New("revision conflict")
	// ErrCompacted: the revision asked for is no longer kept.
	ErrCompacted = errors.New("revision compacted")
	// ErrFutureRevision: the revision asked for has not been written yet.
	ErrFutureRevision = errors.New("revision is in the future")
	// ErrDamaged: the store's file does not hold what was written to it.
	ErrDamaged = errors.New("damaged")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store closed")
)

// Store is a key-value log with one revision counter: a miniature etcd. Every write gets the next revision, and is kept
// with its author and its cause until it is compacted. A Store is safe for concurrent use.
//
// Entries that a Store hands out are shared with everybody: never change one.
type Store interface {
	// Revision is that of the newest acknowledged write, 0 for an empty store (in etcd, 1). It never goes back, and every
	// write acknowledged by this process before the call is at or below it.
	Revision() int64

	// Sync returns when Revision covers every write that anybody had acknowledged before the call, also through another
	// process: a read after it is never behind. Only a store that several share has anything to wait for.
	Sync(ctx context.Context) error

	// Get returns the entry of a key as it was at a revision; 0 means now.
	// It returns ErrNotFound, ErrCompacted or ErrFutureRevision.
	Get(ctx context.Context, key string, revision int64) (*Entry, error)

	// List returns the live entries under a prefix, in key order, at one revision.
	List(ctx context.Context, prefix string, options ListOptions) (*Page, error)

	// Write creates, replaces or deletes one key if it is at the expected revision, and returns the entry as written
	// (for a deletion, a tombstone) once it is as durable as the store promises. It returns ErrConflict otherwise.
	Write(ctx context.Context, write Write) (*Entry, error)

	// Watch returns a cursor over the events after a revision under a prefix. A slow reader costs the others nothing:
	// events are not queued for it, it reads the log at its own pace, and gets ErrCompacted if that is gone.
	Watch(prefix string, after int64) (Watcher, error)

	// History returns every kept entry of a key, tombstones included, oldest first.
	History(ctx context.Context, key string) ([]*Entry, error)

	// Compact forgets what was replaced or deleted at or before a revision. Current values are never lost.
	Compact(ctx context.Context, revision int64) error

	// CompactedRevision is the highest revision that was compacted, 0 for none: reads must be at or above it.
	CompactedRevision() int64

	// Close waits for writes under way and releases the store's files. Watchers end with ErrClosed.
	Close() error
}

// Watcher is a cursor over a store's events.
type Watcher interface {
	// Next waits for the next events, and returns them in revision order, without gaps or repeats. It returns the
	// context's error, ErrCompacted (list again) or ErrClosed.
	Next(ctx context.Context) ([]Event, error)
}

// Entry is one key at one revision; its value is what Value returns.
type Entry struct {
	Key string

	CreateRevision int64 // the revision that created the key, this life
	Revision       int64 // the revision that wrote this entry
	Version        int64 // how many writes this life of the key has seen, 1 for the creating one
	Deleted        bool  // a tombstone

	Meta Meta

	// Object is the decoded form that the writer handed in, for readers in the same process; nil when the entry was
	// read from disk. It is shared: never change it.
	Object any

	value []byte
	// base is what value is a difference from; nil when value is the value itself.
	base base
	// replaced says that value is a difference from the key's next entry. Entries that are handed out know that one as base.
	replaced bool
}

// base is what a difference is from: another entry, or what a value has in common with its siblings.
type base interface{ Value() []byte }

// Value is what was written; nil for a tombstone. It may have to be put together, and may be shared: never change it.
func (e *Entry) Value() []byte {
	if e.base == nil {
		return e.value
	}
	return patched(e.base.Value(), e.value)
}

// Meta says who wrote an entry and why.
type Meta struct {
	Time  time.Time `json:"time"`
	Actor string    `json:"actor,omitempty"` // the authenticated user, for example system:kube-scheduler
	Verb  string    `json:"verb,omitempty"`  // the API verb, with the subresource: update, patch/status, create/binding
	Cause string    `json:"cause,omitempty"` // what led to the write; see WithCause
}

// Event is one write as a watcher sees it.
type Event struct {
	*Entry
	// Previous is the entry that this write replaced; nil for a creation. A deletion's last value is here.
	Previous *Entry
}

// Write is one change of one key.
type Write struct {
	Key    string
	Value  []byte
	Delete bool
	// Expected is the revision that the key must be at; 0 means that it must not exist.
	Expected int64
	Meta     Meta
	Object   any // optional, see Entry.Object
	// Stamp, if not nil, is told the revision that the write gets, before anybody can see the entry: the last moment at which
	// the writer may still change Object. It must not call the store. The write may fail after it.
	Stamp func(revision int64)
}

// ListOptions narrows and pages a List.
type ListOptions struct {
	Revision int64  // read as of this revision; 0 means now
	After    string // start after this key
	Limit    int    // at most so many entries; 0 means all
}

// Page is a part of a list.
type Page struct {
	Entries   []*Entry
	Revision  int64 // the revision that was read
	More      bool  // there are entries after the last one
	Remaining int64 // how many entries follow, when More; 0 when there are more than are worth counting
}
