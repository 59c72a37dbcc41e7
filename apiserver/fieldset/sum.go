package fieldset

import (
	"encoding/binary"
	"errors"
	"hash/maphash"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Sum tells changes apart: two pairs of objects of one Go type have the same sum when Compare returns the same for both.
// Thousands of objects that are made from one template change in the same way, and to see that costs a fraction of what it
// costs to name the fields. Sums are random, and of use in this process only; that two changes share one by chance is as
// likely as a wrong bit in memory.
//
// An address in the keys of lists does not tell changes apart if it may be hidden, and is the only one: Sum returns it, or "".
// known is the one that must be it, or "" for any.
func (t *Types) Sum(before, after any, known string, hide bool) (uint64, string, error) {
	w := walk{sum: &sum{}, hides: hide, address: known}
	w.sum.hash.SetSeed(t.seed())
	err := t.walk(&w, before, after)
	if errors.Is(err, errPlain) {
		return t.Sum(before, after, "", false)
	}
	return w.sum.total, w.address, err
}

// sum adds up the hashes of what differs, so that the order in which a map is walked does not matter.
type sum struct {
	hash  maphash.Hash
	total uint64
}

func (s *sum) add(how difference, at fieldpath.Path) {
	s.hash.Reset()
	_ = s.hash.WriteByte(byte(how)) // a hash takes everything
	for i := range at {
		s.element(&at[i])
	}
	s.total += s.hash.Sum64()
}

// element writes a part of a path, with the length of each text before it so that no two paths are written alike.
func (s *sum) element(e *fieldpath.PathElement) {
	switch {
	case e.FieldName != nil:
		s.text('f', *e.FieldName)
	case e.Key != nil:
		for i := range *e.Key {
			s.text('k', (*e.Key)[i].Name)
			s.value((*e.Key)[i].Value)
		}
	case e.Value != nil:
		s.value(*e.Value)
	}
}

func (s *sum) value(v value.Value) {
	if v.IsString() {
		s.text('s', v.AsString())
		return
	}
	s.text('v', value.ToString(v))
}

func (s *sum) text(kind byte, text string) {
	var head [9]byte
	head[0] = kind
	binary.LittleEndian.PutUint64(head[1:], uint64(len(text)))
	_, _ = s.hash.Write(head[:])
	_, _ = s.hash.WriteString(text)
}
