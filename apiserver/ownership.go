package apiserver

import (
	"bytes"
	"fmt"
	"sort"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"kubette/apiserver/fieldset"
	"kubette/apiserver/kinds"
)

// record writes into a changed object who has set which of its fields: the changed ones become the writer's, and nobody
// else's. It is what apimachinery's field manager does for an update, for the usual case: all that is recorded so far is
// of the resource's version. It costs a tenth, because it compares only what differs, and neither decodes nor encodes
// what stays. It returns false, with nothing done, when the case is not the usual one.
func (m *fieldManagers) record(op *operation, old, object kinds.Object) (bool, error) {
	entries, usual := m.usualEntries(op, old, object)
	if !usual {
		return false, nil
	}
	if len(entries) == 0 && old != nil {
		object.SetManagedFields(nil) // the object was never tracked
		return true, nil
	}
	change, err := m.compare(op, old, object)
	if err != nil {
		return false, err
	}
	if !change.Same() {
		if entries, err = m.reassign(op, entries, change); err != nil {
			return false, err
		}
	}
	object.SetManagedFields(entries)
	return true, nil
}

// maxUpdateManagers is how many writers are kept apart; the library merges the oldest beyond it.
const maxUpdateManagers = 10

// usualEntries returns what is recorded of the old object, and whether it is as record needs it.
func (m *fieldManagers) usualEntries(op *operation, old, object kinds.Object) (entries []metav1.ManagedFieldsEntry, usual bool) {
	if m.res.custom() {
		return nil, false
	}
	if old != nil {
		entries = old.GetManagedFields()
	}
	// The writer may change the record itself, or wish it empty.
	if given := object.GetManagedFields(); op.Subresource == "" && given != nil && !sameEntries(given, entries) {
		return nil, false
	}
	version, updates := m.res.GroupVersionKind().GroupVersion().String(), 0
	for i := range entries {
		e := &entries[i]
		if e.APIVersion != version || e.FieldsType != "FieldsV1" || e.FieldsV1 == nil {
			return nil, false
		}
		if e.Operation == metav1.ManagedFieldsOperationUpdate {
			updates++
		}
	}
	return entries, updates < maxUpdateManagers
}

func sameEntries(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	for i := range a {
		if !sameOwner(&a[i], &b[i]) || a[i].FieldsType != b[i].FieldsType || !a[i].Time.Equal(b[i].Time) ||
			!bytes.Equal(rawFields(a[i].FieldsV1), rawFields(b[i].FieldsV1)) {
			return false
		}
	}
	return true
}

func sameOwner(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

// structures are the shapes of Kubernetes' types, worked out when first needed.
var structures fieldset.Types

// compare returns what a write changes, without what it cannot change at all.
func (m *fieldManagers) compare(op *operation, old, object kinds.Object) (*fieldset.Change, error) {
	if old == nil {
		old = m.res.New()
	}
	change, err := structures.Compare(old, object)
	if err != nil {
		return nil, err
	}
	if filter := m.res.resetFilter(op.Subresource); filter != nil {
		change.Added, change.Modified, change.Removed = filter.Filter(change.Added), filter.Filter(change.Modified), filter.Filter(change.Removed)
	}
	return change, nil
}

// identity are the fields that say which object it is. They belong to nobody.
var identity = fieldpath.NewSet(
	fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"),
	fieldpath.MakePathOrDie("metadata", "name"), fieldpath.MakePathOrDie("metadata", "namespace"),
	fieldpath.MakePathOrDie("metadata", "creationTimestamp"), fieldpath.MakePathOrDie("metadata", "selfLink"),
	fieldpath.MakePathOrDie("metadata", "uid"), fieldpath.MakePathOrDie("metadata", "clusterName"),
	fieldpath.MakePathOrDie("metadata", "generation"), fieldpath.MakePathOrDie("metadata", "managedFields"),
	fieldpath.MakePathOrDie("metadata", "resourceVersion"),
)

// reassign gives the changed fields to the writer.
func (m *fieldManagers) reassign(op *operation, entries []metav1.ManagedFieldsEntry, change *fieldset.Change) ([]metav1.ManagedFieldsEntry, error) {
	writer := metav1.ManagedFieldsEntry{Manager: op.manager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
		APIVersion: m.res.GroupVersionKind().GroupVersion().String(), Subresource: op.Subresource}
	if writer.Manager == "" {
		writer.Manager = "unknown"
	}
	set := change.Modified.Union(change.Added)
	own := set.Difference(identity)

	after := make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	found := false
	for _, e := range entries {
		before, err := m.sets.decode(e.FieldsV1)
		if err != nil {
			return nil, err
		}
		left := before.Difference(set).Difference(change.Removed)
		if sameOwner(&e, &writer) && !own.Empty() {
			found = true
			left, e.Time = left.Union(own), new(now())
		}
		if left.Empty() {
			continue
		}
		if !left.Equals(before) {
			if e.FieldsV1, err = m.sets.encode(left); err != nil {
				return nil, err
			}
		}
		after = append(after, e)
	}
	if !found && !own.Empty() {
		var err error
		if writer.FieldsV1, err = m.sets.encode(own); err != nil {
			return nil, err
		}
		writer.Time = new(now())
		after = append(after, writer)
	}
	sortEntries(after)
	return after, nil
}

// sortEntries puts entries into the order in which they are shown: who applies first, then by time.
func sortEntries(entries []metav1.ManagedFieldsEntry) {
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := &entries[i], &entries[j]
		switch {
		case a.Operation != b.Operation:
			return a.Operation < b.Operation
		case seconds(a.Time) != seconds(b.Time):
			return seconds(a.Time) < seconds(b.Time)
		case a.Manager != b.Manager:
			return a.Manager < b.Manager
		case a.APIVersion != b.APIVersion:
			return a.APIVersion < b.APIVersion
		}
		return a.Subresource < b.Subresource
	})
}

func seconds(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}

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

func (s *fieldSets) decode(fields *metav1.FieldsV1) (*fieldpath.Set, error) {
	raw := rawFields(fields)
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
