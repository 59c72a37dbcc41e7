package apiserver

import (
	"slices"
	"strings"

	"kubette/apiserver/kinds"
)

// Who watches a resource mostly wants all of it; but every kubelet watches only the pods of its own node, and its own
// node. Were each of them woken for each change, to find that it is not concerned, a cluster with a hundred nodes would do
// little else. So a shelf has lanes: one for each value of the field by which its kind is often selected, and one for each
// name that somebody watches. A change is handed to the lanes that it concerns, and to nobody else.

const nameField = "metadata.name"

// laneKey names a lane: the objects of which a field has a value.
type laneKey struct{ field, value string }

// lane is what a shelf keeps of one value: its objects, where the kind has them indexed by the field, and who watches.
type lane struct {
	items   map[string]*item // by key
	cursors map[*cursor]bool
}

// lane returns the lane in which all that is selected lies, if there is one.
func (s *selection) lane() (laneKey, bool) {
	if s.fields == nil || s.res.storage != s.res {
		return laneKey{}, false
	}
	for _, field := range []string{nameField, s.res.Index} {
		if field == "" {
			continue
		}
		if value, exact := s.fields.RequiresExactMatch(field); exact {
			return laneKey{field, value}, true
		}
	}
	return laneKey{}, false
}

// indexed is the lane of an object by its indexed field; none when the kind has none, or there is no object.
func (s *shelf) indexed(object kinds.Object) laneKey {
	if object == nil || s.index == "" {
		return laneKey{}
	}
	return laneKey{s.index, s.value(object)}
}

func (s *shelf) lane(key laneKey) *lane {
	l := s.lanes[key]
	if l == nil {
		l = &lane{items: map[string]*item{}, cursors: map[*cursor]bool{}}
		s.lanes[key] = l
	}
	return l
}

func (s *shelf) dropEmpty(key laneKey) {
	if l := s.lanes[key]; l != nil && len(l.items) == 0 && len(l.cursors) == 0 {
		delete(s.lanes, key)
	}
}

// file moves an object from one lane to another; an object that is nil is not there any more.
func (s *shelf) file(key string, before, after laneKey, object *item) {
	if before != after && before != (laneKey{}) {
		delete(s.lane(before).items, key)
		s.dropEmpty(before)
	}
	if after != (laneKey{}) {
		s.lane(after).items[key] = object
	}
}

// deliver hands a change to those who watch a lane that it concerns: the object may have left one lane for another.
func (s *shelf) deliver(e event, before, after laneKey) {
	if before == after {
		before = laneKey{}
	}
	for _, key := range []laneKey{{nameField, e.any().GetName()}, before, after} {
		if l := s.lanes[key]; l != nil {
			for c := range l.cursors {
				c.take(e)
			}
		}
	}
}

// take keeps a change for a cursor to read. A cursor that does not read for long goes on from the shelf's events, or from
// the log, as every other one does.
func (c *cursor) take(e event) {
	switch {
	case c.behind || e.revision <= c.after:
		return
	case len(c.waiting) >= keptEvents:
		c.waiting, c.behind = nil, true
	default:
		c.waiting = append(c.waiting, e)
	}
	c.signal()
}

func (c *cursor) signal() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// join lets a cursor be woken only by what is in a lane. It leaves when it is no longer used.
func (c *cursor) join(key laneKey) {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	c.lane, c.behind, c.woken = key, true, make(chan struct{}, 1)
	c.shelf.lane(key).cursors[c] = true
}

func (c *cursor) leave() {
	if c.woken == nil {
		return
	}
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	delete(c.shelf.lane(c.lane).cursors, c)
	c.shelf.dropEmpty(c.lane)
}

// nextInLane is next for a cursor in a lane that is not behind.
func (c *cursor) nextInLane() ([]event, <-chan struct{}) {
	if events := c.waiting; len(events) > 0 {
		c.waiting, c.after = nil, events[len(events)-1].revision
		return events, closedChannel
	}
	c.after = max(c.after, c.cache.revision.Load())
	return nil, c.woken
}

// ofLane are the events that concern a cursor's lane. It has caught up with the shelf when it has read them.
func (c *cursor) ofLane(all []event) ([]event, <-chan struct{}) {
	var mine []event
	for _, e := range all {
		if c.lane == (laneKey{nameField, e.any().GetName()}) || c.lane == c.shelf.indexed(e.previous) || c.lane == c.shelf.indexed(e.object) {
			mine = append(mine, e)
		}
	}
	c.behind, c.after = false, max(c.after, c.cache.revision.Load())
	if len(mine) == 0 {
		return nil, c.woken
	}
	return mine, closedChannel
}

// listOf returns the objects under a prefix among which all selected ones are, in key order, and the revision at which they
// are so.
func (c *cache) listOf(of *selection, prefix, after string, limit int64) ([]*item, int64, error) {
	key, ok := of.lane()
	if !ok {
		if !of.everything() {
			limit = 0 // who knows how many of them are selected
		}
		return c.list(of.res, prefix, after, limit)
	}
	s, err := c.shelf(of.res)
	if err != nil {
		return nil, 0, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var found []*item
	switch l := s.lanes[key]; {
	case key.field == nameField && (prefix != s.prefix || !of.res.Namespaced):
		if i, there := s.items.Get(&item{key: prefix + key.value}); there && i.key > after {
			found = append(found, i)
		}
	case key.field == nameField:
		s.items.Ascend(func(i *item) bool {
			if i.key > after && strings.HasSuffix(i.key, "/"+key.value) {
				found = append(found, i)
			}
			return true
		})
	case l != nil:
		for k, i := range l.items {
			if k > after && strings.HasPrefix(k, prefix) {
				found = append(found, i)
			}
		}
		slices.SortFunc(found, func(a, b *item) int { return strings.Compare(a.key, b.key) })
	}
	return found, c.revision.Load(), nil
}

// ListIndexed implements kinds.Indexed.
func (c clusterView) ListIndexed(group, plural, namespace, value string) []kinds.Object {
	var objects []kinds.Object
	c.AnyIndexed(group, plural, namespace, value, func(object kinds.Object) bool {
		objects = append(objects, object)
		return false
	})
	return objects
}

// AnyIndexed implements kinds.Indexed.
func (c clusterView) AnyIndexed(group, plural, namespace, value string, match func(kinds.Object) bool) bool {
	res := c.server.storedResource(group, plural)
	if res == nil || res.Index == "" {
		return false
	}
	s, err := c.server.cache.shelf(res)
	if err != nil {
		return false
	}
	c.server.cache.mu.RLock()
	defer c.server.cache.mu.RUnlock()
	l := s.lanes[laneKey{res.Index, value}]
	if l == nil {
		return false
	}
	prefix := res.keysUnder(namespace)
	for key, i := range l.items {
		if strings.HasPrefix(key, prefix) && match(i.object) {
			return true
		}
	}
	return false
}
