package fieldset

import (
	"bytes"
	"reflect"
	"slices"
)

// fewItems is how long lists may be that are compared each with each.
const fewItems = 16

// pairs says for each item of the second list which of the first has the same name, -1 for none. It knows only what most lists
// are: short, their items told apart by one text, and each there once.
func (s *shape) pairs(a, b reflect.Value) ([]int, bool) {
	if s.form != keyed || len(s.keys) != 1 || s.keys[0].fallback != nil {
		return nil, false
	}
	before, ok := s.names(a)
	if !ok {
		return nil, false
	}
	after, ok := s.names(b)
	if !ok {
		return nil, false
	}
	pairs := make([]int, len(after))
	for i, name := range after {
		if slices.Contains(after[:i], name) {
			return nil, false
		}
		pairs[i] = slices.Index(before, name)
	}
	for i, name := range before {
		if slices.Contains(before[:i], name) {
			return nil, false
		}
	}
	return pairs, true
}

// names are the texts that tell the items of a list apart.
func (s *shape) names(list reflect.Value) ([]string, bool) {
	if s.empty(list) {
		return nil, true
	}
	if list.Len() > fewItems {
		return nil, false
	}
	names := make([]string, list.Len())
	for i := range names {
		key := s.element.field(s.keys[0].name, list.Index(i))
		if key.Kind() != reflect.String {
			return nil, false
		}
		names[i] = key.String()
	}
	return names, true
}

// pairs compares the items of two lists that belong together, and notes those that only one has.
func (w *walk) pairs(s *shape, a, b reflect.Value, pairs []int) error {
	one := func(x, y reflect.Value) error {
		named := y
		if !y.IsValid() {
			named = x
		}
		element, err := w.name(s, named)
		if err != nil {
			return err
		}
		return w.descend(element, s.element, x, y)
	}
	for i, at := range pairs {
		var before reflect.Value
		if at >= 0 {
			before = a.Index(at)
			if held := memory(before); held != nil && bytes.Equal(held, memory(b.Index(i))) {
				continue
			}
		}
		if err := one(before, b.Index(i)); err != nil {
			return err
		}
	}
	if s.empty(a) {
		return nil
	}
	for at := range a.Len() {
		if !slices.Contains(pairs, at) {
			if err := one(a.Index(at), reflect.Value{}); err != nil {
				return err
			}
		}
	}
	return nil
}
