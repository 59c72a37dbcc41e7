package fieldset

import (
	_ "embed"
	"encoding"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"path"
	"reflect"
	"strings"
	"sync"
)

//go:embed facts.txt
var facts string

// form is how the parts of a value are owned.
type form int

const (
	atom      form = iota // as a whole
	structure             // field by field
	mapping               // key by key
	set                   // value by value
	keyed                 // item by item, told apart by some of its fields
)

// shape is the form of a type, or of a type where a certain field uses it.
type shape struct {
	form    form
	fields  []field // of a structure
	element *shape  // of mapping, set and keyed; of an atom that is a structure, its fields
	keys    []key   // of keyed
	flat    bool    // an atom of scalars only, such as a reference to an object: if two differ, so does their JSON
}

// field is a field of a structure, by its JSON name.
type field struct {
	name      string
	index     []int
	offset    uintptr // of its memory in the structure's
	size      uintptr
	omitEmpty bool
	omitZero  bool
	shape     *shape
}

// key is a field that tells items apart, with the value that counts when it is left out.
type key struct {
	name     string
	fallback any
}

// shapes are worked out once for each type.
type shapes struct {
	mu    sync.Mutex
	facts map[string]string // by type and field
	known map[reflect.Type]*shape
}

// Types knows the shapes of Kubernetes' types. The zero value is ready to use.
type Types struct {
	once   sync.Once
	shapes shapes
	roots  sync.Map // of *shape by reflect.Type: what was asked for before
	sums   maphash.Seed
}

// begin readies the zero value.
func (t *Types) begin() {
	t.once.Do(func() {
		t.shapes = shapes{facts: readFacts(facts), known: map[reflect.Type]*shape{}}
		t.sums = maphash.MakeSeed()
	})
}

func (t *Types) seed() maphash.Seed {
	t.begin()
	return t.sums
}

// of returns the shape of a type, or an error when the facts say nothing of it.
func (t *Types) of(typ reflect.Type) (*shape, error) {
	if known, ok := t.roots.Load(typ); ok {
		return known.(*shape), nil
	}
	t.begin()
	t.shapes.mu.Lock()
	defer t.shapes.mu.Unlock()
	s, err := t.shapes.of(typ, "")
	if err == nil {
		t.roots.Store(typ, s)
	}
	return s, err
}

// readFacts reads lines like "core/v1.PodSpec containers list name".
func readFacts(text string) map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		typ, rest, _ := strings.Cut(line, " ")
		name, fact, _ := strings.Cut(rest, " ")
		known[typ+" "+name] = fact
	}
	return known
}

// typeName is how facts name a Go type: the last two parts of its package's path.
func typeName(t reflect.Type) string {
	dir := t.PkgPath()
	return path.Base(path.Dir(dir)) + "/" + path.Base(dir) + "." + t.Name()
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// of returns the shape of a type; fact is what is known of the field that uses it.
func (s *shapes) of(t reflect.Type, fact string) (*shape, error) {
	if t.Kind() == reflect.Pointer {
		return s.of(t.Elem(), fact)
	}
	if whole := s.facts[typeName(t)+" *"]; whole != "" && fact != "granular" {
		fact = whole
	}
	switch {
	case fact == "unknown":
		return nil, fmt.Errorf("%s has no fixed structure", t)
	case fact == "atomic" && t.Kind() == reflect.Struct:
		parts, err := s.structure(t)
		return &shape{form: atom, element: parts, flat: err == nil && parts.scalars(t)}, err
	case fact == "atomic", reflect.PointerTo(t).Implements(marshaler), reflect.PointerTo(t).Implements(textMarshaler):
		return &shape{form: atom}, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.structure(t)
	case reflect.Map:
		element, err := s.of(t.Elem(), "")
		return &shape{form: mapping, element: element}, err
	case reflect.Slice:
		return s.list(t, fact)
	}
	return &shape{form: atom}, nil
}

func (s *shapes) list(t reflect.Type, fact string) (*shape, error) {
	kind, rest, _ := strings.Cut(fact, " ")
	if kind != "set" && kind != "list" {
		return &shape{form: atom}, nil
	}
	if kind == "set" {
		element, err := s.of(t.Elem(), "")
		return &shape{form: set, element: element}, err
	}
	element, err := s.of(t.Elem(), "")
	if err != nil {
		return nil, err
	}
	list := &shape{form: keyed, element: element}
	for _, word := range strings.Fields(rest) {
		name, fallback, has := strings.Cut(word, "=")
		k := key{name: name}
		if has {
			if err := json.Unmarshal([]byte(fallback), &k.fallback); err != nil {
				return nil, fmt.Errorf("key %s of %s: %w", name, t, err)
			}
		}
		list.keys = append(list.keys, k)
	}
	return list, nil
}

func (s *shapes) structure(t reflect.Type) (*shape, error) {
	if known := s.known[t]; known != nil {
		return known, nil
	}
	made := &shape{form: structure}
	s.known[t] = made // before the fields: types may contain themselves
	if err := s.addFields(made, t, nil, 0); err != nil {
		delete(s.known, t)
		return nil, err
	}
	return made, nil
}

// scalars says that all of a structure's fields are texts, numbers and truth values, and shown.
func (s *shape) scalars(t reflect.Type) bool {
	if len(s.fields) != t.NumField() {
		return false
	}
	for i := range t.NumField() {
		switch t.Field(i).Type.Kind() {
		case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		default:
			return false
		}
	}
	return true
}

// addFields adds the fields that JSON shows, those of inlined structures included.
func (s *shapes) addFields(made *shape, t reflect.Type, index []int, offset uintptr) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(append([]int(nil), index...), i)
		switch {
		case name == "-":
			continue
		case strings.Contains(options, "inline") || f.Anonymous && name == "":
			if f.Type.Kind() == reflect.Struct {
				if err := s.addFields(made, f.Type, at, offset+f.Offset); err != nil {
					return err
				}
			}
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		sub, err := s.of(f.Type, s.facts[typeName(t)+" "+name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		made.fields = append(made.fields, field{name: name, index: at, offset: offset + f.Offset, size: f.Type.Size(), shape: sub,
			omitEmpty: strings.Contains(options, "omitempty"), omitZero: strings.Contains(options, "omitzero")})
	}
	return nil
}
