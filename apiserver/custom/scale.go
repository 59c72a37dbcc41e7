package custom

import (
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
)

// getScale reads the counts from where the definition says they are. What is not there is 0.
func (v *version) getScale(object kinds.Object) (wanted, present int32, selector string) {
	o := content(object)
	wanted, present = number(o, v.scale.SpecReplicasPath), number(o, v.scale.StatusReplicasPath)
	if v.scale.LabelSelectorPath != nil {
		selector, _, _ = unstructured.NestedString(o, segments(*v.scale.LabelSelectorPath)...) // not a string: validation refuses it
	}
	return wanted, present, selector
}

func number(object map[string]any, path string) int32 {
	n, _, err := unstructured.NestedInt64(object, segments(path)...)
	if err != nil {
		return 0
	}
	return int32(max(min(n, math.MaxInt32), math.MinInt32))
}

func (v *version) setScale(object kinds.Object, wanted int32) {
	_ = unstructured.SetNestedField(content(object), int64(wanted), segments(v.scale.SpecReplicasPath)...)
}

// validateScale checks that the scale subresource will find numbers; those of the spec only when they may have changed.
func (v *version) validateScale(object map[string]any, spec bool) (errs field.ErrorList) {
	if v.scale == nil {
		return nil
	}
	if spec {
		errs = append(errs, validateCount(object, v.scale.SpecReplicasPath)...)
	}
	errs = append(errs, validateCount(object, v.scale.StatusReplicasPath)...)
	if path := v.scale.LabelSelectorPath; path != nil {
		if selector, _, err := unstructured.NestedString(object, segments(*path)...); err != nil {
			errs = append(errs, field.Invalid(field.NewPath(*path), selector, err.Error()))
		}
	}
	return errs
}

func validateCount(object map[string]any, path string) field.ErrorList {
	n, _, err := unstructured.NestedInt64(object, segments(path)...)
	var message string
	switch {
	case err != nil:
		message = err.Error()
	case n < 0:
		message = "should be a non-negative integer"
	case n > math.MaxInt32:
		message = fmt.Sprintf("should be less than or equal to %v", math.MaxInt32)
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath(path), n, message)}
}
