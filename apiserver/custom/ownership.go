package custom

import (
	"sync"

	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Server-side apply must know which lists are sets, which are maps by a key, and which belong to one owner as a whole. The
// schema says so, but for metadata, which all objects have alike.

const (
	objectName   = "object"
	metadataName = "metadata"
)

// structure returns how the fields of the version's objects are owned. It is worked out when it is first needed, because
// most kinds are never applied.
func (v *version) structure() func() managedfields.TypeConverter {
	return sync.OnceValue(func() managedfields.TypeConverter {
		object := v.structural.ToKubeOpenAPI()
		object.SetProperty("metadata", *spec.RefSchema("#/definitions/" + metadataName))
		addEmbedded(object)
		object.SetProperty("apiVersion", *spec.StringProperty())
		object.SetProperty("kind", *spec.StringProperty())
		object.AddExtension("x-kubernetes-group-version-kind", []any{
			map[string]any{"group": v.group, "version": v.name, "kind": v.names.Kind},
		})
		definitions := map[string]*spec.Schema{objectName: object, metadataName: metadataSchema()}
		converter, err := managedfields.NewTypeConverter(definitions, v.keepUnknown)
		if err != nil { // a schema that can be checked against, but not owned in parts
			return managedfields.NewDeducedTypeConverter()
		}
		return converter
	})
}

// addEmbedded says that the objects inside of an object have what every object has.
func addEmbedded(s *spec.Schema) {
	if s == nil {
		return
	}
	for name, property := range s.Properties {
		addEmbedded(&property)
		s.Properties[name] = property
	}
	if s.Items != nil {
		addEmbedded(s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		addEmbedded(s.AdditionalProperties.Schema)
	}
	if embedded, ok := s.Extensions.GetBool("x-kubernetes-embedded-resource"); ok && embedded {
		s.SetProperty("apiVersion", *spec.StringProperty())
		s.SetProperty("kind", *spec.StringProperty())
		s.SetProperty("metadata", *spec.RefSchema("#/definitions/" + metadataName))
	}
}

// metadataSchema is metav1.ObjectMeta.
func metadataSchema() *spec.Schema {
	object := func(properties map[string]*spec.Schema) *spec.Schema {
		s := new(spec.Schema).Typed("object", "")
		for name, property := range properties {
			s.SetProperty(name, *property)
		}
		return s
	}
	text, number, truth := spec.StringProperty, spec.Int64Property, spec.BooleanProperty
	texts := spec.MapProperty(text())
	finalizers := spec.ArrayProperty(text())
	finalizers.AddExtension("x-kubernetes-list-type", "set")
	owner := object(map[string]*spec.Schema{
		"apiVersion": text(), "kind": text(), "name": text(), "uid": text(), "controller": truth(), "blockOwnerDeletion": truth(),
	})
	owner.AddExtension("x-kubernetes-map-type", "atomic")
	owners := spec.ArrayProperty(owner)
	owners.AddExtension("x-kubernetes-list-type", "map")
	owners.AddExtension("x-kubernetes-list-map-keys", []any{"uid"})
	managers := spec.ArrayProperty(object(map[string]*spec.Schema{
		"manager": text(), "operation": text(), "apiVersion": text(), "time": text(), "fieldsType": text(),
		"fieldsV1": object(nil), "subresource": text(),
	}))
	managers.AddExtension("x-kubernetes-list-type", "atomic")
	return object(map[string]*spec.Schema{
		"name": text(), "generateName": text(), "namespace": text(), "selfLink": text(), "uid": text(), "resourceVersion": text(),
		"generation": number(), "creationTimestamp": text(), "deletionTimestamp": text(), "deletionGracePeriodSeconds": number(),
		"labels": texts, "annotations": texts, "ownerReferences": owners, "finalizers": finalizers, "managedFields": managers,
	})
}
