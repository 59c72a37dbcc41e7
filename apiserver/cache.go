package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// keptEvents is how many decoded events of each resource are at hand for watches. A watch that is further behind reads
// the store's log and decodes it again.
const keptEvents = 500

// cache holds the present objects, decoded, by following the store's log: in Kubernetes the watch cache. It follows on
// demand: whoever reads first brings it up to the store's revision, so that a read always sees every write acknowledged
// before it, and no goroutine has to be waited for.
type cache struct {
	store store.Store
	// row finds the stored form of the resource whose keys have a prefix.
	row func(prefix string) *resource

	revision atomic.Int64 // up to which the log was read
	mu       sync.RWMutex // guards the rest; writing is following the log
	log      store.Watcher
	shelves  map[string]*shelf
}

// countAhead bounds how many objects behind a page are counted (remainingItemCount), so that a long list is not gone
// through for each of its pages.
const countAhead = 20_000

// shelf holds the objects of one resource. It is loaded when the resource is first asked for.
type shelf struct {
	prefix string
	items  *btree.BTreeG[*item]
	events []event
	// dropped is the revision up to which events are not in the list.
	dropped int64
	change  chan struct{} // closed and replaced at every event
	changed int64         // the revision of the last event, or that at which the shelf was loaded
	gone    bool          // the resource is no longer served

	index string // the field by which objects are indexed; "" for none
	value func(kinds.Object) string
	lanes map[laneKey]*lane
}

// item is a stored object, and the revision of the store that it is from.
type item struct {
	key      string
	object   kinds.Object
	revision int64
}

// event is one change of one object.
type event struct {
	revision int64
	object   kinds.Object // nil for a deletion
	previous kinds.Object // nil for a creation
	// last is what a deletion shows: the previous object with the deletion's revision. It is made once for all watches.
	last kinds.Object
}

func newCache(s store.Store, row func(prefix string) *resource) (*cache, error) {
	c := &cache{store: s, row: row}
	return c, c.reset()
}

// reset starts anew at the store's revision, with every shelf still to be loaded.
func (c *cache) reset() error {
	revision := c.store.Revision()
	log, err := c.store.Watch("", revision)
	if err != nil {
		return fmt.Errorf("follow the store's log: %w", err)
	}
	for _, s := range c.shelves {
		s.end()
	}
	c.log, c.shelves = log, map[string]*shelf{}
	c.revision.Store(revision)
	return nil
}

// end wakes the watches of a shelf that is no longer kept; they end.
func (s *shelf) end() {
	s.gone = true
	s.wake()
	for _, l := range s.lanes {
		for c := range l.cursors {
			c.signal()
		}
	}
}

func (s *shelf) wake() {
	close(s.change)
	s.change = make(chan struct{})
}

// follow brings the cache up to the store's present revision.
func (c *cache) follow() error {
	if c.revision.Load() >= c.store.Revision() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.followLocked()
}

func (c *cache) followLocked() error {
	for c.revision.Load() < c.store.Revision() {
		events, err := c.log.Next(context.Background()) // does not wait: there is something to read
		if errors.Is(err, store.ErrCompacted) {
			slog.Warn("the API server's cache fell behind compaction and starts anew")
			if err := c.reset(); err != nil {
				return storeError(err)
			}
			continue
		}
		if err != nil {
			return storeError(err)
		}
		for i := range events {
			c.apply(&events[i])
		}
		if n := len(events); n > 0 {
			c.revision.Store(events[n-1].Revision)
		}
	}
	return nil
}

// apply puts one event of the log into its shelf. Events of shelves that nobody asked for yet are read when they load.
func (c *cache) apply(e *store.Event) {
	s := c.shelves[shelfOf(e.Key)]
	if s == nil {
		return
	}
	var now *item
	change := event{revision: e.Revision}
	if before, ok := s.items.Get(&item{key: e.Key}); ok {
		change.previous = before.object
	}
	if e.Deleted {
		s.items.Delete(&item{key: e.Key})
		if change.previous != nil {
			change.last = atRevision(change.previous, e.Revision)
		}
	} else {
		object, err := c.objectOf(s.prefix, e.Entry)
		if err != nil {
			slog.Error("an object in the store cannot be read and is left out", "key", e.Key, "error", err)
			return
		}
		change.object = object
		now = &item{key: e.Key, object: object, revision: e.Revision}
		s.items.ReplaceOrInsert(now)
	}
	if change.object == nil && change.previous == nil {
		return
	}
	s.changed = e.Revision
	before, after := s.indexed(change.previous), s.indexed(change.object)
	s.file(e.Key, before, after, now)
	s.deliver(change, before, after)
	s.remember(change)
	s.wake()
}

func (s *shelf) remember(e event) {
	if n := len(s.events); n >= 2*keptEvents {
		s.dropped = s.events[n-keptEvents-1].revision
		s.events = append(make([]event, 0, 2*keptEvents), s.events[n-keptEvents:]...)
	}
	s.events = append(s.events, e)
}

// objectOf is the decoded form of an entry: the one that its writer handed in, when it is still there.
func (c *cache) objectOf(prefix string, entry *store.Entry) (kinds.Object, error) {
	if object, ok := entry.Object.(kinds.Object); ok && object != nil {
		return object, nil
	}
	row := c.row(prefix)
	if row == nil {
		return nil, fmt.Errorf("no kind is served under %s", prefix)
	}
	return row.decode(entry.Key, entry.Value(), entry.Revision)
}

// shelf returns the shelf of a resource, loading it when needed. The caller holds no lock.
func (c *cache) shelf(res *resource) (*shelf, error) {
	if err := c.follow(); err != nil {
		return nil, err
	}
	c.mu.RLock()
	s := c.shelves[res.prefix]
	c.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(res)
}

// loaded says whether anybody has asked for a resource yet.
func (c *cache) loaded(res *resource) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.shelves[res.prefix] != nil
}

func (c *cache) load(res *resource) (*shelf, error) {
	if s := c.shelves[res.prefix]; s != nil {
		return s, nil
	}
	if err := c.followLocked(); err != nil {
		return nil, err
	}
	revision := c.revision.Load()
	page, err := c.store.List(context.Background(), res.prefix, store.ListOptions{Revision: revision})
	if err != nil {
		return nil, storeError(err)
	}
	s := &shelf{
		prefix: res.prefix, dropped: revision, changed: revision, change: make(chan struct{}),
		items: btree.NewG(32, func(a, b *item) bool { return a.key < b.key }), lanes: map[laneKey]*lane{},
	}
	if res.storage.Index != "" {
		s.index, s.value = res.storage.Index, res.storage.Indexed
	}
	for _, entry := range page.Entries {
		object, err := c.objectOf(res.prefix, entry)
		if err != nil {
			slog.Error("an object in the store cannot be read and is left out", "key", entry.Key, "error", err)
			continue
		}
		i := &item{key: entry.Key, object: object, revision: entry.Revision}
		s.items.ReplaceOrInsert(i)
		s.file(entry.Key, laneKey{}, s.indexed(object), i)
	}
	c.shelves[res.prefix] = s
	return s, nil
}

// forget drops the shelf of a resource that is no longer served, and ends its watches.
func (c *cache) forget(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.shelves[prefix]; s != nil {
		s.end()
		delete(c.shelves, prefix)
	}
}

// get returns an object as it is now; nil when there is none.
func (c *cache) get(res *resource, key string) (*item, error) {
	if res.SeldomRead && !c.loaded(res) {
		return c.single(res, key)
	}
	s, err := c.shelf(res)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, _ := s.items.Get(&item{key: key})
	return found, nil
}

// single reads one object from the store, so that the others of its resource need not be decoded for it.
func (c *cache) single(res *resource, key string) (*item, error) {
	entry, err := c.store.Get(context.Background(), key, 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	object, err := c.objectOf(res.prefix, entry)
	if err != nil {
		return nil, err
	}
	return &item{key: key, object: object, revision: entry.Revision}, nil
}

// changedAt returns a number that grows when an object of a resource changes.
func (c *cache) changedAt(res *resource) (int64, error) {
	s, err := c.shelf(res)
	if err != nil {
		return 0, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return s.changed, nil
}

// list returns the objects under a prefix in key order, and the revision at which they are so. With a limit other than 0
// it returns no more than those, and as many as are counted beyond them: countAhead.
func (c *cache) list(res *resource, prefix, after string, limit int64) ([]*item, int64, error) {
	s, err := c.shelf(res)
	if err != nil {
		return nil, 0, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var found []*item
	s.items.AscendGreaterOrEqual(&item{key: max(prefix, after)}, func(i *item) bool {
		if !strings.HasPrefix(i.key, prefix) {
			return false
		}
		if i.key != after {
			found = append(found, i)
		}
		return limit == 0 || int64(len(found)) <= limit+countAhead
	})
	return found, c.revision.Load(), nil
}

// cursor is a watch's place in the events of a shelf.
type cursor struct {
	cache *cache
	shelf *shelf
	after int64

	// A cursor in a lane is handed what concerns it.
	lane    laneKey
	waiting []event
	behind  bool          // it must look for itself, in the shelf's events or the log
	woken   chan struct{} // nil for a cursor in no lane
}

// next returns the events after the cursor, if any, or else what to wait for. It returns store.ErrCompacted when the
// events are gone, or the resource is.
func (c *cursor) next(ctx context.Context) ([]event, <-chan struct{}, error) {
	c.cache.mu.RLock()
	defer c.cache.mu.RUnlock()
	if c.shelf.gone {
		return nil, nil, store.ErrCompacted
	}
	if c.woken != nil && !c.behind {
		events, wait := c.nextInLane()
		return events, wait, nil
	}
	if c.after < c.shelf.dropped {
		events, err := c.fromLog(ctx)
		return events, closedChannel, err
	}
	all := c.shelf.events
	first := len(all)
	for first > 0 && all[first-1].revision > c.after {
		first--
	}
	if c.woken != nil {
		events, wait := c.ofLane(all[first:])
		return events, wait, nil
	}
	if first < len(all) {
		c.after = all[len(all)-1].revision
		return all[first:len(all):len(all)], closedChannel, nil
	}
	c.after = max(c.after, c.cache.revision.Load())
	return nil, c.shelf.change, nil
}

// closedChannel is for those who need not wait.
var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// fromLog reads a batch of older events from the store. They are decoded anew.
func (c *cursor) fromLog(ctx context.Context) ([]event, error) {
	log, err := c.cache.store.Watch("", c.after)
	if err != nil {
		return nil, err
	}
	batch, err := log.Next(ctx) // does not wait: dropped is after the cursor
	if err != nil {
		return nil, err
	}
	var events []event
	for i := range batch {
		c.after = batch[i].Revision
		if !strings.HasPrefix(batch[i].Key, c.shelf.prefix) {
			continue
		}
		e, err := c.cache.decodeEvent(c.shelf.prefix, &batch[i])
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func (c *cache) decodeEvent(prefix string, e *store.Event) (event, error) {
	row := c.row(prefix)
	if row == nil {
		return event{}, store.ErrCompacted
	}
	decoded := event{revision: e.Revision}
	var err error
	if e.Previous != nil {
		if decoded.previous, err = row.decode(e.Key, e.Previous.Value(), e.Previous.Revision); err != nil {
			return event{}, err
		}
	}
	switch {
	case e.Deleted && e.Previous == nil:
		return event{}, store.ErrCompacted // what was deleted is no longer known
	case !e.Deleted:
		decoded.object, err = row.decode(e.Key, e.Value(), e.Revision)
	}
	return decoded, err
}
