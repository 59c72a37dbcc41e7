package fieldset

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

var update = flag.Bool("update", false, "write facts.txt anew")

const header = `# How the fields of Kubernetes' types are owned, where that is not what the Go type suggests (structures field by field,
# maps key by key, lists as a whole). Made from the schema of k8s.io/client-go by the test of this package; run it with
# -update after a new version.
#
# TYPE FIELD list KEY…   items told apart by their keys, KEY=DEFAULT where leaving it out means something
# TYPE FIELD set         items told apart by their values
# TYPE FIELD atomic      owned as a whole; TYPE * atomic wherever the type is used,
# TYPE FIELD granular    but for this field
# TYPE * unknown         of any structure

`

// The facts are those of client-go's schema.
func TestFacts(t *testing.T) {
	g := &generator{lines: map[string]bool{}, seen: map[reflect.Type]bool{}}
	extensions := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(extensions); err != nil {
		t.Fatal(err)
	}
	g.collect(scheme.Scheme, applyconfigurations.NewTypeConverter(scheme.Scheme))
	g.collect(extensions, apiextensions.NewTypeConverter(extensions))
	got := header + strings.Join(slices.Sorted(maps.Keys(g.lines)), "\n") + "\n"
	if *update {
		if err := os.WriteFile("facts.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, facts); diff != "" {
		t.Errorf("facts.txt is not as the schema has it, run the test with -update: %s", diff)
	}
}

// collect takes the facts of all types of a scheme.
func (g *generator) collect(scheme *runtime.Scheme, converter managedfields.TypeConverter) {
	for gvk := range scheme.AllKnownTypes() {
		object, err := scheme.New(gvk)
		if err != nil || gvk.Version == runtime.APIVersionInternal {
			continue
		}
		object.GetObjectKind().SetGroupVersionKind(gvk)
		value, err := known(func() (*typed.TypedValue, error) { return converter.ObjectToTyped(object, typed.AllowDuplicates) })
		if err != nil || value == nil {
			continue // lists, options and reviews are not in the schema
		}
		g.schema = value.Schema()
		g.walk(reflect.TypeOf(object).Elem(), value.TypeRef())
	}
}

func known(f func() (*typed.TypedValue, error)) (v *typed.TypedValue, err error) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	return f()
}

type generator struct {
	schema *schema.Schema
	lines  map[string]bool
	seen   map[reflect.Type]bool
}

func (g *generator) walk(t reflect.Type, ref schema.TypeRef) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	ref.ElementRelationship = nil // what a type is by itself counts
	a, ok := g.schema.Resolve(ref)
	if !ok {
		return
	}
	switch {
	case t.Kind() == reflect.Struct && a.Map != nil:
		g.walkStruct(t, a.Map)
	case t.Kind() == reflect.Map && a.Map != nil:
		g.walk(t.Elem(), a.Map.ElementType)
	case t.Kind() == reflect.Slice && a.List != nil:
		g.walk(t.Elem(), a.List.ElementType)
	}
}

func (g *generator) walkStruct(t reflect.Type, m *schema.Map) {
	if g.seen[t] || reflect.PointerTo(t).Implements(marshaler) && len(m.Fields) > 0 {
		return
	}
	g.seen[t] = true
	name := path.Base(path.Dir(t.PkgPath())) + "/" + path.Base(t.PkgPath()) + "." + t.Name()
	if m.ElementRelationship == schema.Atomic {
		g.lines[name+" * atomic"] = true
		return
	}
	if len(m.Fields) == 0 && t.NumField() > 0 {
		g.lines[name+" * unknown"] = true
		return
	}
	g.walkFields(t, name, m)
}

func (g *generator) walkFields(t reflect.Type, name string, m *schema.Map) {
	for i := range t.NumField() {
		f := t.Field(i)
		jsonName, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.Contains(options, "inline") || f.Anonymous && jsonName == "" {
			inlined := path.Base(path.Dir(f.Type.PkgPath())) + "/" + path.Base(f.Type.PkgPath()) + "." + f.Type.Name()
			g.walkFields(f.Type, inlined, m)
			continue
		}
		sf, ok := m.FindField(jsonName)
		if !ok {
			continue
		}
		if fact := g.fact(f.Type, sf.Type); fact != "" {
			g.lines[name+" "+jsonName+" "+fact] = true
		}
		g.walk(f.Type, sf.Type)
	}
}

// fact is what the schema says of a field beyond its Go type.
func (g *generator) fact(t reflect.Type, ref schema.TypeRef) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	a, ok := g.schema.Resolve(ref)
	switch {
	case !ok:
		return ""
	case t.Kind() == reflect.Slice && a.List != nil && a.List.ElementRelationship == schema.Associative:
		if a.List.ElementType.ElementRelationship != nil {
			panic("an item of a list that is not owned as its type says: " + t.String())
		}
		if len(a.List.Keys) == 0 {
			return "set"
		}
		return "list " + strings.Join(g.keys(a.List), " ")
	case t.Kind() == reflect.Map && a.Map != nil && a.Map.ElementRelationship == schema.Atomic,
		t.Kind() == reflect.Struct && a.Map != nil && ref.ElementRelationship != nil && *ref.ElementRelationship == schema.Atomic:
		return "atomic"
	case t.Kind() == reflect.Struct && a.Map != nil && ref.ElementRelationship != nil:
		return "granular"
	case t.Kind() == reflect.Struct && a.Map == nil && !reflect.PointerTo(t).Implements(marshaler):
		return "atomic"
	}
	return ""
}

func (g *generator) keys(list *schema.List) []string {
	element, _ := g.schema.Resolve(list.ElementType)
	var keys []string
	for _, name := range list.Keys {
		if f, ok := element.Map.FindField(name); ok && f.Default != nil {
			fallback, _ := json.Marshal(f.Default)
			name += "=" + string(fallback)
		}
		keys = append(keys, name)
	}
	return keys
}
