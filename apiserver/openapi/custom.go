package openapi

import (
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Custom resources have no Go type: their definition brings the schema, and what all objects have is added to it.

// The words for what all objects have.
var (
	typeDocs = metav1.TypeMeta{}.SwaggerDoc()
	metaDoc  = metav1.PartialObjectMetadata{}.SwaggerDoc()["metadata"]
	listDocs = metav1.PartialObjectMetadataList{}.SwaggerDoc()
)

const itemsMore = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"

// custom makes the schema of a custom resource, or of a list of them, and returns the reference to it.
func (b *builder) custom(r Resource, kind schema.GroupVersionKind) string {
	n := customName(kind)
	if _, made := b.schemas[n]; made {
		return b.refs + n
	}
	b.schemas[n] = &spec.Schema{}
	if kind == r.Kind {
		b.schemas[n] = b.customObject(r)
	} else {
		b.schemas[n] = b.customList(r, kind)
	}
	b.kinds[n] = []schema.GroupVersionKind{kind}
	return b.refs + n
}

// customName is the name of a custom kind's schema: com.example.stable.v1.CronTab.
func customName(kind schema.GroupVersionKind) string {
	parts := strings.Split(kind.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, kind.Version, kind.Kind), ".")
}

func (b *builder) customObject(r Resource) *spec.Schema {
	s := new(spec.Schema).Typed("object", "")
	if r.Schema != nil {
		s = r.Schema(b.refs == refV2)
	} else {
		s.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	}
	if keeps, _ := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields"); keeps && b.refs == refV2 {
		// Nothing may be said of an object that may hold anything: older clients refuse whatever is not said.
		return new(spec.Schema).Typed("object", "")
	}
	b.addObjectFields(s)
	b.addEmbedded(s)
	return s
}

func (b *builder) customList(r Resource, kind schema.GroupVersionKind) *spec.Schema {
	s := new(spec.Schema).Typed("object", "").WithDescription(kind.Kind + " is a list of " + r.Kind.Kind).WithRequired("items")
	b.addTypeFields(s)
	s.SetProperty("metadata", b.described(b.ref(reflect.TypeFor[metav1.ListMeta]()), listDocs["metadata"]))
	items := spec.ArrayProperty(spec.RefSchema(b.custom(r, r.Kind)))
	s.SetProperty("items", *items.WithDescription("List of " + r.Resource.Resource + ". " + itemsMore))
	return s
}

// addObjectFields adds what every object has.
func (b *builder) addObjectFields(s *spec.Schema) {
	b.addTypeFields(s)
	s.SetProperty("metadata", b.described(b.ref(reflect.TypeFor[metav1.ObjectMeta]()), metaDoc))
}

func (b *builder) addTypeFields(s *spec.Schema) {
	for _, name := range []string{"apiVersion", "kind"} {
		s.SetProperty(name, *spec.StringProperty().WithDescription(typeDocs[name]))
	}
}

// described is a reference with words beside it, which version 3 does not allow but in an allOf.
func (b *builder) described(ref, doc string) spec.Schema {
	s := *spec.RefSchema(ref)
	if b.refs == refV3 {
		s = spec.Schema{SchemaProps: spec.SchemaProps{AllOf: []spec.Schema{s}}}
	}
	return *s.WithDescription(doc)
}

// addEmbedded adds to objects inside of the object what every object has.
func (b *builder) addEmbedded(s *spec.Schema) {
	for name, property := range s.Properties {
		b.addEmbedded(&property)
		s.Properties[name] = property
	}
	if s.Items != nil && s.Items.Schema != nil {
		b.addEmbedded(s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		b.addEmbedded(s.AdditionalProperties.Schema)
	}
	if embedded, _ := s.Extensions.GetBool("x-kubernetes-embedded-resource"); embedded {
		b.addObjectFields(s)
	}
}
