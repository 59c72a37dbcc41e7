package custom

import (
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubette/apiserver/kinds"
)

// content is what an object says.
func content(object kinds.Object) map[string]any { return object.(*unstructured.Unstructured).Object }

// prune drops what the schema does not know. What is implied for every object (apiVersion, kind, metadata) a schema need
// not mention. It fails when the metadata does not have its types.
func (v *version) prune(object kinds.Object) (unknown []string, err error) {
	u := object.(*unstructured.Unstructured)
	apiVersion, kind := u.GetAPIVersion(), u.GetKind()
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(u.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, err
	}
	if !v.keepUnknown {
		unknown = append(unknown, pruning.PruneWithOptions(u.Object, v.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
		defaulting.PruneNonNullableNullsWithoutDefaults(u.Object, v.structural)
	}
	embedded, paths := objectmeta.CoerceWithOptions(nil, u.Object, v.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if embedded != nil {
		return nil, embedded
	}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	if found {
		if err := objectmeta.SetObjectMeta(u.Object, meta); err != nil {
			return nil, fmt.Errorf("write metadata: %w", err)
		}
	}
	return append(unknown, paths...), nil
}

// fillIn gives an object the schema's defaults. It prunes first, so that nothing unknown is stored whoever asks.
func (v *version) fillIn(object kinds.Object) {
	if _, err := v.prune(object); err != nil {
		return // what cannot be read as metadata, the checks will name
	}
	defaulting.Default(content(object), v.structural)
}

func (v *version) prepareForCreate(object kinds.Object) {
	if v.hasStatus {
		delete(content(object), "status")
	}
	object.SetGeneration(1)
}

// prepareForUpdate: every change outside metadata counts as a new generation, for a kind whose schema names no spec.
func (v *version) prepareForUpdate(object, old kinds.Object) {
	now, before := content(object), content(old)
	if v.hasStatus {
		setOrDelete(now, "status", before)
	}
	if !equality.Semantic.DeepEqual(withoutMetadata(now), withoutMetadata(before)) {
		object.SetGeneration(old.GetGeneration() + 1)
	}
}

// prepareStatus lets nothing but the status change.
func prepareStatus(object, old kinds.Object) {
	u := object.(*unstructured.Unstructured)
	managers, now := u.GetManagedFields(), u.Object
	u.Object = old.DeepCopyObject().(*unstructured.Unstructured).Object
	u.SetManagedFields(managers)
	setOrDelete(u.Object, "status", now)
}

func setOrDelete(to map[string]any, key string, from map[string]any) {
	if value, ok := from[key]; ok {
		to[key] = value
	} else {
		delete(to, key)
	}
}

func withoutMetadata(object map[string]any) map[string]any {
	rest := make(map[string]any, len(object))
	for key, value := range object {
		if key != "metadata" {
			rest[key] = value
		}
	}
	return rest
}
