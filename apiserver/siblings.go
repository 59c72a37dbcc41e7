package apiserver

import (
	"bytes"
	"maps"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"kubette/apiserver/kinds"
)

// siblings lets the objects that one controller makes share in memory what is alike in them: the pods of a ReplicaSet have
// the same labels, containers and volumes, which are more than half of a pod. Stored objects never change, so nobody can
// tell. In Kubernetes each has its own.
type siblings struct {
	mu   sync.Mutex
	last map[types.UID]kinds.Object // the newest object of each controller
}

// families is how many controllers are remembered.
const families = 500

// share puts the parts of the newest sibling in the place of equal parts of an object that is about to be stored.
func (s *siblings) share(object kinds.Object) {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil {
		return
	}
	s.mu.Lock()
	sibling := s.last[owner.UID]
	s.mu.Unlock()
	if sibling != nil && reflect.TypeOf(sibling) == reflect.TypeOf(object) {
		shareParts(reflect.ValueOf(object).Elem(), reflect.ValueOf(sibling).Elem())
	}
}

// remember makes an object that was stored the newest sibling of those that its controller makes from now on.
func (s *siblings) remember(object kinds.Object) {
	owner := metav1.GetControllerOfNoCopy(object)
	if _, custom := object.(*unstructured.Unstructured); custom || owner == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || len(s.last) > families {
		s.last = map[types.UID]kinds.Object{}
	}
	s.last[owner.UID] = object
}

// shareParts replaces what a value points to by what the other one points to, where these are equal.
func shareParts(value, other reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				shareParts(value.Field(i), other.Field(i))
			}
		}
	case reflect.Slice, reflect.Map, reflect.Pointer:
		if !value.IsNil() && !other.IsNil() && reflect.DeepEqual(value.Interface(), other.Interface()) {
			value.Set(other)
		}
	}
}

// shareMetadata lets a new version of an object share with the old one what a writer seldom changes, so that what siblings
// share stays shared.
func shareMetadata(object, old kinds.Object) {
	if labels := old.GetLabels(); maps.Equal(labels, object.GetLabels()) {
		object.SetLabels(labels)
	}
	if annotations := old.GetAnnotations(); maps.Equal(annotations, object.GetAnnotations()) {
		object.SetAnnotations(annotations)
	}
	if owners := old.GetOwnerReferences(); reflect.DeepEqual(owners, object.GetOwnerReferences()) {
		object.SetOwnerReferences(owners)
	}
	before, now := old.GetManagedFields(), object.GetManagedFields()
	if len(before) == 0 || len(now) == 0 || &before[0] == &now[0] {
		return // nothing was changed, and the list is the old object's, which others read
	}
	for i := range now {
		for j := range before {
			if fields := before[j].FieldsV1; fields != nil && now[i].FieldsV1 != nil && bytes.Equal(rawFields(fields), rawFields(now[i].FieldsV1)) {
				now[i].FieldsV1 = fields
			}
		}
	}
}
