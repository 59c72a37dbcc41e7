package openapi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// The prefixes of references between schemas, in the two versions of OpenAPI.
const (
	refV2 = "#/definitions/"
	refV3 = "#/components/schemas/"
)

// builder makes the schemas of Go types. A type's schema is made once; what it refers to is made along with it.
type builder struct {
	refs    string // refV2 or refV3
	markers map[string]typeMarkers
	schemas map[string]*spec.Schema
	kinds   map[string][]schema.GroupVersionKind // by the name of the schema
}

func newBuilder(refs string) (*builder, error) {
	known, err := markers()
	if err != nil {
		return nil, err
	}
	return &builder{refs: refs, markers: known, schemas: map[string]*spec.Schema{}, kinds: map[string][]schema.GroupVersionKind{}}, nil
}

// name is the name of a type's schema: k8s.io/api/core/v1.Pod is io.k8s.api.core.v1.Pod.
func name(t reflect.Type) string {
	if named, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	return typeName(t)
}

// typeName is the name by which markers.json knows a type.
func typeName(t reflect.Type) string {
	domain, rest, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(domain, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "." + strings.ReplaceAll(rest, "/", ".") + "." + t.Name()
}

// ref returns a reference to the schema of a struct, which is made if it is not there yet.
func (b *builder) ref(t reflect.Type) string {
	n := name(t)
	if _, made := b.schemas[n]; !made {
		b.schemas[n] = &spec.Schema{} // so that a type may refer to itself
		b.schemas[n] = b.structure(t)
	}
	return b.refs + n
}

// structure describes a struct or another named type that describes itself.
func (b *builder) structure(t reflect.Type) *spec.Schema {
	s := &spec.Schema{}
	s.Description = docOf(t)[""]
	known := b.markers[typeName(t)]
	if s.Description == "" {
		s.Description = known.Doc
	}
	if b.own(t, s) {
		return s
	}
	s.Type = spec.StringOrArray{"object"}
	if t.Kind() != reflect.Struct || opaque(t) {
		return s
	}
	s.Properties = map[string]spec.Schema{}
	b.fields(t, s)
	if len(s.Properties) == 0 {
		s.Properties = nil
	}
	slices.Sort(s.Required)
	if known.Map != "" {
		s.AddExtension("x-kubernetes-map-type", known.Map)
	}
	return s
}

// own fills in the schema of a type that says itself what it is in JSON, such as a time or a quantity.
func (b *builder) own(t reflect.Type, s *spec.Schema) bool {
	value := reflect.Zero(t).Interface()
	typed, ok := value.(interface {
		OpenAPISchemaType() []string
		OpenAPISchemaFormat() string
	})
	if !ok {
		return false
	}
	s.Format = typed.OpenAPISchemaFormat()
	if several, ok := value.(interface{ OpenAPIV3OneOfTypes() []string }); ok && b.refs == refV3 {
		for _, one := range several.OpenAPIV3OneOfTypes() {
			s.OneOf = append(s.OneOf, spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{one}}})
		}
		return true
	}
	s.Type = typed.OpenAPISchemaType()
	return true
}

// opaque types are objects whose fields are nobody's business: any JSON.
func opaque(t reflect.Type) bool {
	return slices.Contains([]string{"RawExtension", "FieldsV1", "Unknown"}, t.Name())
}

// docOf returns the descriptions that a type carries: of itself under "", of its fields by their JSON names.
func docOf(t reflect.Type) map[string]string {
	if documented, ok := reflect.Zero(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return documented.SwaggerDoc()
	}
	return nil
}

// fields describes the fields of a struct, those of its embedded structs as its own.
func (b *builder) fields(t reflect.Type, into *spec.Schema) {
	docs, known := docOf(t), b.markers[typeName(t)]
	for i := range t.NumField() {
		f := t.Field(i)
		jsonName, flags, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case jsonName == "-" || !f.IsExported():
			continue
		case jsonName == "" && (f.Anonymous || strings.Contains(flags, "inline")):
			b.fields(dereferenced(f.Type), into)
			continue
		case jsonName == "":
			continue
		}
		marks := known.Fields[jsonName]
		property := b.property(f, docs[jsonName], marks, strings.Contains(flags, "omitempty"))
		into.Properties[jsonName] = property
		if !strings.Contains(flags, "omitempty") && !marks.Optional {
			into.Required = append(into.Required, jsonName)
		}
	}
}

func dereferenced(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// property describes a field: its type's schema, its own words and its markers.
func (b *builder) property(f reflect.StructField, doc string, marks fieldMarkers, omitEmpty bool) spec.Schema {
	s := b.schemaOf(f.Type)
	if s.Description != "" && doc != "" { // an enumeration's values
		doc += "\n\n" + s.Description
	}
	if doc != "" {
		s.Description = doc
	}
	switch {
	case marks.Default != nil:
		s.Default = marks.Default
	case f.Type.Kind() == reflect.Struct && !isOwn(f.Type):
		s.Default = map[string]any{}
	case !omitEmpty && !marks.Optional && s.Ref.String() == "":
		s.Default = zeroDefault(f.Type)
	}
	if b.refs == refV3 && s.Ref.String() != "" && (s.Description != "" || s.Default != nil) {
		// A reference may have nothing beside it in version 3.
		s.AllOf = []spec.Schema{{SchemaProps: spec.SchemaProps{Ref: s.Ref}}}
		s.Ref = spec.Ref{}
	}
	for extension, value := range map[string]string{
		"x-kubernetes-list-type": marks.List, "x-kubernetes-map-type": marks.Map,
		"x-kubernetes-patch-strategy": f.Tag.Get("patchStrategy"), "x-kubernetes-patch-merge-key": f.Tag.Get("patchMergeKey"),
	} {
		if value != "" {
			s.AddExtension(extension, value)
		}
	}
	if len(marks.Keys) > 0 {
		keys := make([]any, len(marks.Keys))
		for i, k := range marks.Keys {
			keys[i] = k
		}
		s.AddExtension("x-kubernetes-list-map-keys", keys)
	}
	return s
}

func isOwn(t reflect.Type) bool {
	_, ok := reflect.Zero(t).Interface().(interface{ OpenAPISchemaType() []string })
	return ok
}

func zeroDefault(t reflect.Type) any {
	switch t.Kind() {
	case reflect.String:
		return ""
	case reflect.Bool:
		return false
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return 0
	}
	return nil
}

// numbers are the JSON forms of Go's.
var numbers = map[reflect.Kind][2]string{
	reflect.Bool: {"boolean", ""}, reflect.Int: {"integer", "int32"}, reflect.Int8: {"integer", "byte"}, reflect.Int16: {"integer", "int32"},
	reflect.Int32: {"integer", "int32"}, reflect.Int64: {"integer", "int64"}, reflect.Uint: {"integer", "int32"},
	reflect.Uint8: {"integer", "byte"}, reflect.Uint16: {"integer", "int32"}, reflect.Uint32: {"integer", "int64"},
	reflect.Uint64: {"integer", "int64"}, reflect.Float32: {"number", "float"}, reflect.Float64: {"number", "double"},
}

// schemaOf describes what a field of a type holds.
func (b *builder) schemaOf(t reflect.Type) spec.Schema {
	var s spec.Schema
	switch t.Kind() {
	case reflect.Pointer:
		return b.schemaOf(t.Elem())
	case reflect.Struct:
		s.Ref = spec.MustCreateRef(b.ref(t))
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return *spec.StrFmtProperty("byte")
		}
		items := b.element(t.Elem())
		s.Type, s.Items = spec.StringOrArray{"array"}, &spec.SchemaOrArray{Schema: &items}
	case reflect.Map:
		values := b.element(t.Elem())
		s.Type, s.AdditionalProperties = spec.StringOrArray{"object"}, &spec.SchemaOrBool{Allows: true, Schema: &values}
	case reflect.Interface:
		s.Type = spec.StringOrArray{"object"}
	case reflect.String:
		s.Type = spec.StringOrArray{"string"}
		if values := b.markers[typeName(t)].Enum; t.PkgPath() != "" && len(values) > 0 {
			s.Description = possibleValues(values)
			for _, v := range values {
				s.Enum = append(s.Enum, v.Value)
			}
		}
	default:
		form := numbers[t.Kind()]
		s.Type, s.Format = spec.StringOrArray{form[0]}, form[1]
	}
	return s
}

// element describes the items of a list or the values of a map, which have defaults of their own.
func (b *builder) element(t reflect.Type) spec.Schema {
	s := b.schemaOf(t)
	s.Description = ""
	switch {
	case t.Kind() == reflect.Struct && s.Ref.String() != "" && !isOwn(t):
		s.Default = map[string]any{}
	case t.Kind() != reflect.Pointer:
		s.Default = zeroDefault(t)
	}
	if b.refs == refV3 && s.Ref.String() != "" && s.Default != nil {
		s.AllOf = []spec.Schema{{SchemaProps: spec.SchemaProps{Ref: s.Ref}}}
		s.Ref = spec.Ref{}
	}
	return s
}

// kind makes the schema of a kind, and marks it as such.
func (b *builder) kind(object any, kind schema.GroupVersionKind) (string, error) {
	t := reflect.TypeOf(object)
	if t == nil || dereferenced(t).Kind() != reflect.Struct {
		return "", fmt.Errorf("%s is a %T, which has no fields to describe", kind, object)
	}
	t = dereferenced(t)
	ref := b.ref(t)
	n := name(t)
	if !slices.Contains(b.kinds[n], kind) {
		b.kinds[n] = append(b.kinds[n], kind)
	}
	return ref, nil
}

// finish writes the kinds into their schemas.
func (b *builder) finish() {
	for n, kinds := range b.kinds {
		marks := make([]any, len(kinds))
		for i, k := range kinds {
			marks[i] = gvkExtension(k)
		}
		b.schemas[n].AddExtension("x-kubernetes-group-version-kind", marks)
	}
}

func gvkExtension(k schema.GroupVersionKind) map[string]any {
	return map[string]any{"group": k.Group, "version": k.Version, "kind": k.Kind}
}
