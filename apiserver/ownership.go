package apiserver

import (
	"bytes"
	"sort"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

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
	change, address, err := m.compare(op, entries, old, object)
	if err != nil {
		return false, err
	}
	if !change.same {
		if entries, err = m.reassign(op, entries, change, address); err != nil {
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
func (m *fieldManagers) reassign(op *operation, entries []metav1.ManagedFieldsEntry, change *change, address string) ([]metav1.ManagedFieldsEntry, error) {
	writer := metav1.ManagedFieldsEntry{Manager: op.manager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
		APIVersion: m.res.GroupVersionKind().GroupVersion().String(), Subresource: op.Subresource}
	if writer.Manager == "" {
		writer.Manager = "unknown"
	}
	after := make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	found := false
	for _, e := range entries {
		mine := sameOwner(&e, &writer) && !change.own.Empty()
		if mine {
			found, e.Time = true, new(now())
		}
		var err error
		if e.FieldsV1, err = m.left(e.FieldsV1, change, mine, address); err != nil {
			return nil, err
		}
		if e.FieldsV1 != nil {
			after = append(after, e)
		}
	}
	if !found && !change.own.Empty() {
		var err error
		if writer.FieldsV1, err = m.left(nil, change, true, address); err != nil {
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
