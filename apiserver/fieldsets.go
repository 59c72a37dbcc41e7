package apiserver

import (
	"bytes"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"kubette/apiserver/fieldset"
	"kubette/apiserver/kinds"
)

// Objects that are made from one template, and what components report of them, change in the same few ways. What is
// worked out for the first of them holds for all.

// structures are the shapes of Kubernetes' types, worked out when first needed.
var structures fieldset.Types

// change is which fields a write changes, without those that it cannot change at all. It is shared, and never changed.
type change struct {
	same         bool
	set, removed *fieldpath.Set // what is added or modified; and removed
	own          *fieldpath.Set // of set, what becomes the writer's
}

// memory remembers what was worked out. It is bounded: when it is full, everything is forgotten.
type memory[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]V
}

func (m *memory[K, V]) get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.known[key]
	return value, ok
}

func (m *memory[K, V]) put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= rememberedSets {
		m.known = map[K]V{}
	}
	m.known[key] = value
}

type changeKey struct {
	subresource string
	sum         uint64
}

// claim is what an owner had when a change came, and whether the change is its own.
type claim struct {
	before *fieldpath.Set
	change *change
	mine   bool
}

// compare returns what a write changes, and the address that is hidden in that (see fieldset.Types.Sum) and is to be hidden in what
// the owners of the fields have, "" for none; old is nil for a new object.
func (m *fieldManagers) compare(op *operation, owners []metav1.ManagedFieldsEntry, old, object kinds.Object) (*change, string, error) {
	if old == nil {
		old = m.res.blank
	}
	owned, only := "", true
	for i := 0; i < len(owners) && only; i++ {
		owned, only = fieldset.AddressIn(rawFields(owners[i].FieldsV1), owned)
	}
	if !only {
		owned = ""
	}
	sum, address, err := structures.Sum(old, object, owned, only)
	if err != nil {
		return nil, "", err
	}
	key := changeKey{op.Subresource, sum}
	if known, ok := m.changes.get(key); ok {
		return known, address, nil
	}
	fields, err := structures.Compare(old, object, address)
	if err != nil {
		return nil, "", err
	}
	if filter := m.res.resetFilter(op.Subresource); filter != nil {
		fields.Added, fields.Modified, fields.Removed = filter.Filter(fields.Added), filter.Filter(fields.Modified), filter.Filter(fields.Removed)
	}
	set := fields.Modified.Union(fields.Added)
	made := &change{same: fields.Same(), set: set, removed: fields.Removed, own: set.Difference(identity)}
	m.changes.put(key, made)
	return made, address, nil
}

// remainder is what an owner has after a change; fields is nil when nothing is left.
type remainder struct {
	same   bool // as it was
	fields *metav1.FieldsV1
}

// left returns what an owner has after a change: what it had, nil for nothing, without what was changed, and with it when
// the change is its own. The result is nil when nothing is left; it is shared.
func (m *fieldManagers) left(fields *metav1.FieldsV1, by *change, mine bool, address string) (*metav1.FieldsV1, error) {
	before := &noFields
	if fields != nil {
		var err error
		if before, err = m.sets.decode(rawFields(fields), address); err != nil {
			return nil, err
		}
	}
	key := claim{before, by, mine}
	rest, known := m.rests.get(key)
	if !known {
		left := before.Difference(by.set).Difference(by.removed)
		if mine {
			left = left.Union(by.own)
		}
		switch {
		case left.Empty():
		case left.Equals(before):
			rest.same = true
		default:
			var err error
			if rest.fields, err = m.sets.encode(left); err != nil {
				return nil, err
			}
		}
		m.rests.put(key, rest)
	}
	if rest.same {
		return fields, nil
	}
	return shown(rest.fields, address), nil
}

// shown are fields with the address that was hidden in them; those without are shared.
func shown(fields *metav1.FieldsV1, address string) *metav1.FieldsV1 {
	if fields == nil || address == "" {
		return fields
	}
	hidden := rawFields(fields)
	raw := fieldset.Show(hidden, address)
	if &raw[0] == &hidden[0] {
		return fields
	}
	own := &metav1.FieldsV1{}
	own.SetRawBytes(raw)
	return own
}

// noFields is what somebody has who has set nothing yet.
var noFields fieldpath.Set

// fieldSets remembers the decoded form of sets of fields. Objects of one kind have few different ones.
type fieldSets struct {
	mu      sync.Mutex
	decoded map[string]*fieldpath.Set
	// encoded are some of the latest, by turns: most objects of a kind are made by few writers, who set the same fields.
	encoded [8]struct {
		set    *fieldpath.Set
		fields *metav1.FieldsV1 // shared
	}
	next int
}

// rememberedSets bounds what is remembered of a resource; when it is reached, everything is forgotten.
const rememberedSets = 512

// decode returns a set in which an address is hidden, unless it is "".
func (s *fieldSets) decode(raw []byte, address string) (*fieldpath.Set, error) {
	raw = fieldset.Hide(raw, address)
	s.mu.Lock()
	set := s.decoded[string(raw)]
	s.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set = &fieldpath.Set{}
	if err := set.FromJSON(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("managed fields: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember(string(raw), set)
	return set, nil
}

// encode returns the stored form of a set; it is shared, and never changed.
func (s *fieldSets) encode(set *fieldpath.Set) (*metav1.FieldsV1, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.encoded {
		if known.set != nil && known.set.Equals(set) {
			return known.fields, nil
		}
	}
	raw, err := set.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("managed fields: %w", err)
	}
	s.remember(string(raw), set)
	fields := &metav1.FieldsV1{}
	fields.SetRawBytes(raw)
	s.encoded[s.next].set, s.encoded[s.next].fields = set, fields
	s.next = (s.next + 1) % len(s.encoded)
	return fields, nil
}

// remember keeps a decoded set; the lock is held.
func (s *fieldSets) remember(raw string, set *fieldpath.Set) {
	if s.decoded == nil || len(s.decoded) >= rememberedSets {
		s.decoded = map[string]*fieldpath.Set{}
	}
	s.decoded[raw] = set
}
