package kinds

import (
	"encoding/json"
	"reflect"
	"strings"
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

// appendFields writes the fields of a struct; those of an embedded one belong to it.
func appendFields(b []byte, v reflect.Value, first bool) ([]byte, bool, error) {
	var err error
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && strings.HasPrefix(f.Type.PkgPath(), "k8s.io/api/") {
			if b, first, err = appendFields(b, v.Field(i), first); err != nil {
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
