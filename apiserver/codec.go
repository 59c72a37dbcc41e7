package apiserver

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"kubette/apiserver/kinds"
)

// protobufObject is what all types of k8s.io/api implement.
type protobufObject interface {
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
}

// encode returns the stored form of an object: protobuf for Kubernetes' own types, as in etcd, and JSON for custom
// resources. The resourceVersion is left out: it is the revision of the write, which is not known yet.
func (res *resource) encode(object kinds.Object) ([]byte, error) {
	object.SetResourceVersion("")
	var data []byte
	var err error
	if typed, ok := object.(protobufObject); ok {
		data, err = typed.Marshal()
	} else {
		data, err = json.Marshal(object)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", res.Plural, object.GetName(), err)
	}
	return data, nil
}

// decode reads the stored form of an object back.
func (res *resource) decode(key string, data []byte, revision int64) (kinds.Object, error) {
	object := res.New()
	var err error
	if typed, ok := object.(protobufObject); ok {
		err = typed.Unmarshal(data)
	} else {
		err = json.Unmarshal(data, object)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", key, err)
	}
	object.SetResourceVersion(formatRevision(revision))
	return object, nil
}

func formatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }

// shallow copies an object one level deep: enough to change its metadata's plain fields or its apiVersion and kind
// without touching the shared original.
func shallow[T runtime.Object](object T) T {
	if u, ok := any(object).(*unstructured.Unstructured); ok {
		outer := make(map[string]any, len(u.Object))
		for key, value := range u.Object {
			outer[key] = value
		}
		if metadata, ok := outer["metadata"].(map[string]any); ok {
			inner := make(map[string]any, len(metadata))
			for key, value := range metadata {
				inner[key] = value
			}
			outer["metadata"] = inner
		}
		return any(&unstructured.Unstructured{Object: outer}).(T)
	}
	original := reflect.ValueOf(object).Elem()
	copied := reflect.New(original.Type())
	copied.Elem().Set(original)
	return copied.Interface().(T)
}

// atRevision returns a copy of an object with another resourceVersion, as the event of a deletion carries it.
func atRevision(object kinds.Object, revision int64) kinds.Object {
	copied := shallow(object)
	copied.SetResourceVersion(formatRevision(revision))
	return copied
}

// withKind returns a copy of an object that names its own apiVersion and kind, which typed objects in Go do not.
func (res *resource) withKind(object runtime.Object) runtime.Object {
	if _, ok := object.(*unstructured.Unstructured); ok {
		return object
	}
	copied := shallow(object)
	copied.GetObjectKind().SetGroupVersionKind(res.GroupVersionKind())
	return copied
}

// withoutKind clears apiVersion and kind of a typed object, the form in which objects are kept.
func withoutKind(object runtime.Object) {
	if _, ok := object.(*unstructured.Unstructured); !ok {
		object.GetObjectKind().SetGroupVersionKind(noKind)
	}
}
