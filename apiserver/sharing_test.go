package apiserver

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A write that changes nobody's fields keeps the list of the stored object. Others read it at the same time, so it must stay
// as it is, also where two writers have set the same fields.
func TestSharedManagedFieldsAreNotWritten(t *testing.T) {
	entry := func(manager string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: metav1.NewFieldsV1(`{"f:data":{}}`)}
	}
	old := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{entry("one"), entry("other")}}}
	before := slices.Clone(old.ManagedFields)
	object := old.DeepCopy()
	object.ManagedFields = old.ManagedFields
	shareMetadata(object, old)
	for i := range before {
		if old.ManagedFields[i].FieldsV1 != before[i].FieldsV1 {
			t.Errorf("the fields of %s were replaced in the stored object", before[i].Manager)
		}
	}
	fresh := old.DeepCopy()
	shareMetadata(fresh, old)
	if fresh.ManagedFields[0].FieldsV1 == nil || !slices.ContainsFunc(before, func(e metav1.ManagedFieldsEntry) bool { return e.FieldsV1 == fresh.ManagedFields[0].FieldsV1 }) {
		t.Error("a new version has fields of its own that are the old one's")
	}
}
