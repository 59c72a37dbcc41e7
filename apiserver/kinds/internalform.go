package kinds

import (
	"encoding/json"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// internalForm shows a value the way Kubernetes does in its error messages where it prints a part of an object: with the
// names that the fields have in Go and every empty field, since kube-apiserver validates its own internal types, which
// have no JSON names.
func internalForm(value any) json.Marshaler { return internalValue{reflect.ValueOf(value)} }

type internalValue struct{ v reflect.Value }

func (i internalValue) MarshalJSON() ([]byte, error) { return appendInternal(nil, i.v) }

var marshaler = reflect.TypeFor[json.Marshaler]()

func appendInternal(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Invalid:
		return append(b, "null"...), nil
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return appendInternal(b, v.Elem())
	case reflect.Struct:
		if hasInternalForm(v.Type()) {
			b, _, err := appendFields(append(b, '{'), v, true)
			return append(b, '}'), err
		}
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendInternal(b, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	encoded, err := json.Marshal(v.Interface())
	return append(b, encoded...), err
}

// hasInternalForm says whether kube-apiserver keeps a type of its own for this one. It does for the API's types; the
// machinery's (times, quantities, label selectors, metadata) have one form only.
func hasInternalForm(t reflect.Type) bool {
	return strings.HasPrefix(t.PkgPath(), "k8s.io/api/") && !t.Implements(marshaler) && !reflect.PointerTo(t).Implements(marshaler)
}

// appendEmbedded writes the fields of an embedded struct, which belong to the one around it. Internal objects do not say
// their kind, and metadata looks as it does outside.
func appendEmbedded(b []byte, v reflect.Value, first bool) ([]byte, bool, error) {
	switch embedded := v.Interface().(type) {
	case metav1.TypeMeta:
		return b, first, nil
	case metav1.ObjectMeta:
		encoded, err := json.Marshal(embedded)
		if inner := encoded[1 : len(encoded)-1]; err == nil && len(inner) > 0 {
			if !first {
				b = append(b, ',')
			}
			return append(b, inner...), false, nil
		}
		return b, first, err
	}
	return appendFields(b, v, first)
}

// appendFields writes the fields of a struct.
func appendFields(b []byte, v reflect.Value, first bool) ([]byte, bool, error) {
	var err error
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if b, first, err = appendEmbedded(b, v.Field(i), first); err != nil {
				return nil, false, err
			}
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(append(b, '"'), f.Name...), `":`...)
		if b, err = appendInternal(b, v.Field(i)); err != nil {
			return nil, false, err
		}
	}
	return b, first, nil
}
