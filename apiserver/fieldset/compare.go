package fieldset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Change is which fields differ between two objects.
type Change struct {
	Added, Modified, Removed *fieldpath.Set
}

// Same says that nothing differs.
func (c *Change) Same() bool { return c.Added.Empty() && c.Modified.Empty() && c.Removed.Empty() }

// Compare walks two objects of one Go type, given as pointers. It returns an error when the type's structure is not
// known, or when an item of a list lacks its keys. An address that Sum has returned is hidden (see there), unless it is "".
func (t *Types) Compare(before, after any, address string) (*Change, error) {
	w := walk{change: &Change{Added: fieldpath.NewSet(), Modified: fieldpath.NewSet(), Removed: fieldpath.NewSet()},
		hides: address != "", address: address}
	if err := t.walk(&w, before, after); err != nil {
		return nil, err
	}
	return w.change, nil
}

func (t *Types) walk(w *walk, before, after any) error {
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	if a.Type() != b.Type() {
		return fmt.Errorf("compare a %T with a %T", before, after)
	}
	s, err := t.of(a.Type())
	if err != nil {
		return err
	}
	return w.compare(s, a, b)
}

// walk goes through both objects. What differs is noted in the change or, where there is none, in the sum.
type walk struct {
	change *Change
	sum    *sum
	path   fieldpath.Path

	hides   bool   // an address in keys
	address string // that is hidden
}

// difference is how a field differs.
type difference byte

const (
	added difference = iota
	modified
	removed
)

func (w *walk) note(how difference, at fieldpath.Path) {
	switch {
	case w.change == nil:
		w.sum.add(how, at)
	case how == added:
		w.change.Added.Insert(at)
	case how == modified:
		w.change.Modified.Insert(at)
	case how == removed:
		w.change.Removed.Insert(at)
	}
}

// compare compares two values at the walk's path. An invalid Value is one that is not there: JSON would leave it out.
// What is added or removed is so with all its parts, and itself.
func (w *walk) compare(s *shape, a, b reflect.Value) error {
	a, b = pointee(a), pointee(b)
	if s.form == atom || s.empty(a) && s.empty(b) {
		w.whole(s, a, b)
		return nil
	}
	// Most lists stay as they are, and naming their items costs more than to see that.
	if (s.form == keyed || s.form == set) && a.IsValid() && b.IsValid() && equal(a, b) {
		return nil
	}
	if err := w.parts(s, a, b); err != nil {
		return err
	}
	switch {
	case !a.IsValid():
		w.note(added, w.path)
	case !b.IsValid():
		w.note(removed, w.path)
	}
	return nil
}

func (w *walk) whole(s *shape, a, b reflect.Value) {
	switch {
	case !a.IsValid() && !b.IsValid():
	case !a.IsValid():
		w.note(added, w.path)
	case !b.IsValid():
		w.note(removed, w.path)
	case s.flat && !equal(a, b), !s.flat && !same(a, b):
		w.note(modified, w.path)
	}
}

func (w *walk) parts(s *shape, a, b reflect.Value) error {
	switch s.form {
	case structure:
		return w.fields(s, a, b)
	case mapping:
		return w.entries(s, a, b)
	}
	return w.items(s, a, b)
}

// descend compares a part.
func (w *walk) descend(element fieldpath.PathElement, s *shape, a, b reflect.Value) error {
	if !a.IsValid() && !b.IsValid() {
		return nil
	}
	w.path = append(w.path, element)
	err := w.compare(s, a, b)
	w.path = w.path[:len(w.path)-1]
	return err
}

func (w *walk) fields(s *shape, a, b reflect.Value) error {
	before, after := memory(a), memory(b)
	for i := range s.fields {
		f := &s.fields[i]
		if before != nil && after != nil && bytes.Equal(before[f.offset:f.offset+f.size], after[f.offset:f.offset+f.size]) {
			continue
		}
		if err := w.descend(fieldpath.PathElement{FieldName: &f.name}, f.shape, f.of(a), f.of(b)); err != nil {
			return err
		}
	}
	return nil
}

// memory is what a structure's own memory holds, nil for what has no place. Where two hold the same bytes they are equal, as
// are the things that they both point to; a write leaves most of an object as it is, and this sees it at once. (Equal
// values may well have different bytes: the texts of two strings lie elsewhere.)
func memory(v reflect.Value) []byte {
	if !v.IsValid() || v.Kind() != reflect.Struct || !v.CanAddr() {
		return nil
	}
	return unsafe.Slice((*byte)(v.Addr().UnsafePointer()), v.Type().Size())
}

// of returns a structure's field, invalid when JSON leaves it out. A structure that is null has none.
func (f *field) of(v reflect.Value) reflect.Value {
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		return reflect.Value{}
	}
	for _, i := range f.index {
		v = v.Field(i)
	}
	if f.omitEmpty && isEmpty(v) || f.omitZero && v.IsZero() {
		return reflect.Value{}
	}
	return v
}

// isEmpty is what encoding/json takes for empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// empty says that a value has no parts: it is not there, null, or without any.
func (s *shape) empty(v reflect.Value) bool {
	switch {
	case !v.IsValid() || v.Kind() == reflect.Pointer:
		return true
	case s.form == structure:
		return !slices.ContainsFunc(s.fields, func(f field) bool { return f.of(v).IsValid() })
	}
	return v.Len() == 0
}

func (w *walk) entries(s *shape, a, b reflect.Value) error {
	visit := func(m, other reflect.Value, both bool) error {
		if s.empty(m) {
			return nil
		}
		for iter := m.MapRange(); iter.Next(); {
			name := iter.Key().String()
			var x reflect.Value
			if !s.empty(other) {
				x = other.MapIndex(iter.Key())
			}
			if x.IsValid() && !both {
				continue
			}
			left, right := iter.Value(), x
			if !both {
				left, right = x, iter.Value()
			}
			if err := w.descend(fieldpath.PathElement{FieldName: &name}, s.element, left, right); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit(a, b, true); err != nil {
		return err
	}
	return visit(b, a, false)
}

// items compares two lists item by item, in whatever order. An item that is there several times counts as one.
func (w *walk) items(s *shape, a, b reflect.Value) error {
	if pairs, ok := s.pairs(a, b); ok {
		return w.pairs(s, a, b, pairs)
	}
	var before, after fieldpath.PathElementMap
	var order []fieldpath.PathElement
	for side, list := range []reflect.Value{a, b} {
		if s.empty(list) {
			continue
		}
		of := &before
		if side == 1 {
			of = &after
		}
		*of = fieldpath.MakePathElementMap(list.Len())
		for i := range list.Len() {
			element, err := w.name(s, list.Index(i))
			if err != nil {
				return err
			}
			items, found := of.Get(element)
			if !found {
				if _, elsewhere := before.Get(element); side == 0 || !elsewhere {
					order = append(order, element)
				}
				of.Insert(element, []reflect.Value{list.Index(i)})
				continue
			}
			of.Insert(element, append(items.([]reflect.Value), list.Index(i)))
		}
	}
	for _, element := range order {
		if err := w.item(s, element, valuesOf(&before, element), valuesOf(&after, element)); err != nil {
			return err
		}
	}
	return nil
}

func valuesOf(m *fieldpath.PathElementMap, element fieldpath.PathElement) []reflect.Value {
	values, _ := m.Get(element)
	list, _ := values.([]reflect.Value)
	return list
}

// item compares what two lists have under one name. What is there several times is owned as a whole.
func (w *walk) item(s *shape, element fieldpath.PathElement, a, b []reflect.Value) error {
	at := append(slices.Clip(w.path), element)
	switch {
	case len(a) >= 2 && len(b) >= 2:
		if !slices.EqualFunc(a, b, same) {
			w.note(modified, at)
		}
		return nil
	case len(a) >= 2:
		w.note(removed, at)
		return w.descend(element, s.element, reflect.Value{}, first(b))
	case len(b) >= 2:
		w.note(added, at)
		return w.descend(element, s.element, first(a), reflect.Value{})
	}
	return w.descend(element, s.element, first(a), first(b))
}

func first(values []reflect.Value) reflect.Value {
	if len(values) == 0 {
		return reflect.Value{}
	}
	return values[0]
}

// name is the path element of an item of a list.
func (s *shape) name(list *shape, item reflect.Value) (fieldpath.PathElement, error) {
	if list.form == set {
		v := value.NewValueInterface(plain(pointee(item)))
		return fieldpath.PathElement{Value: &v}, nil
	}
	keys := make(value.FieldList, 0, len(list.keys))
	for _, k := range list.keys {
		v := s.field(k.name, pointee(item))
		switch {
		case v.IsValid():
			keys = append(keys, value.Field{Name: k.name, Value: value.NewValueInterface(plain(pointee(v)))})
		case k.fallback != nil:
			keys = append(keys, value.Field{Name: k.name, Value: value.NewValueInterface(k.fallback)})
		}
	}
	if len(keys) == 0 {
		return fieldpath.PathElement{}, fmt.Errorf("an item of a list lacks all its keys")
	}
	keys.Sort()
	return fieldpath.PathElement{Key: &keys}, nil
}

func (s *shape) field(name string, v reflect.Value) reflect.Value {
	if s.form == atom && s.element != nil {
		s = s.element
	}
	for i := range s.fields {
		if s.fields[i].name == name {
			return s.fields[i].of(v)
		}
	}
	return reflect.Value{}
}

// plain is a scalar as JSON has it.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint())
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Invalid, reflect.Pointer:
		return nil
	}
	var decoded any
	if data, err := json.Marshal(v.Interface()); err == nil {
		_ = json.Unmarshal(data, &decoded)
	}
	return decoded
}

// pointee follows a pointer. A nil pointer stays: it is null, which is not the same as not being there.
func pointee(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v
}

// same compares two values as JSON would show them.
func same(a, b reflect.Value) bool {
	a, b = pointee(a), pointee(b)
	switch a.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return b.Kind() == a.Kind() && a.Equal(b)
	}
	if equal(a, b) {
		return true
	}
	if x, ok := timeOf(a); ok {
		y, ok := timeOf(b)
		return ok && x.Unix() == y.Unix()
	}
	left, err := json.Marshal(a.Interface())
	if err != nil {
		return false
	}
	right, err := json.Marshal(b.Interface())
	return err == nil && bytes.Equal(left, right)
}

// timeOf reads a time where it lies.
func timeOf(v reflect.Value) (*metav1.Time, bool) {
	if !v.CanAddr() {
		return nil, false
	}
	t, ok := v.Addr().Interface().(*metav1.Time)
	return t, ok
}

// equal is reflect.DeepEqual; where it can, it looks at the values in their place and copies neither.
func equal(a, b reflect.Value) bool {
	if a.CanAddr() && b.CanAddr() {
		a, b = a.Addr(), b.Addr()
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
