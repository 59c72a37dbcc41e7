package custom

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"

	"kubette/apiserver/kinds"
)

// validate checks a new object: the schema, the counts that the scale subresource shows, metadata inside of it, list types,
// and the rules, in Kubernetes' order.
func (v *version) validate(object kinds.Object) field.ErrorList {
	o := content(object)
	errs := schemavalidation.ValidateCustomResource(nil, o, v.schema)
	errs = append(errs, v.validateScale(o, true)...)
	errs = append(errs, objectmeta.Validate(context.Background(), nil, o, v.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.structural, o)...)
	return append(errs, v.checkRules(o, nil, errs)...)
}

// validateUpdate checks a change. What was wrong before and has not been touched stays valid, so that a stricter schema
// does not lock up the objects that there are.
func (v *version) validateUpdate(object, old kinds.Object) field.ErrorList {
	now, before := content(object), content(old)
	related := common.NewCorrelatedObject(now, before, &model.Structural{Structural: v.structural})
	errs := schemavalidation.ValidateCustomResourceUpdate(nil, now, before, v.schema, schemavalidation.WithRatcheting(related))
	errs = append(errs, v.validateScale(now, true)...)
	errs = append(errs, objectmeta.Validate(context.Background(), nil, now, v.structural, false)...)
	errs = append(errs, v.validateLists(now, before)...)
	return append(errs, v.checkRules(now, before, errs, cel.WithRatcheting(related))...)
}

func (v *version) validateStatus(object, old kinds.Object) field.ErrorList {
	now, before := content(object), content(old)
	related := common.NewCorrelatedObject(now, before, &model.Structural{Structural: v.structural})
	var errs field.ErrorList
	if status, ok := now["status"]; ok && v.statusSchema != nil {
		errs = schemavalidation.ValidateCustomResourceUpdate(field.NewPath("status"), status, before["status"], v.statusSchema,
			schemavalidation.WithRatcheting(related.Key("status")))
	}
	errs = append(errs, v.validateScale(now, false)...)
	errs = append(errs, v.validateLists(now, before)...)
	return append(errs, v.checkRules(now, before, errs, cel.WithRatcheting(related))...)
}

// validateLists checks that sets hold nothing twice and maps no key twice, unless they did before.
func (v *version) validateLists(now, before map[string]any) field.ErrorList {
	if len(listtype.ValidateListSetsAndMaps(nil, v.structural, before)) > 0 {
		return nil
	}
	return listtype.ValidateListSetsAndMaps(nil, v.structural, now)
}

// checkRules evaluates the schema's CEL rules. They expect values of the right type, so an object that is wrong in its form
// is not put to them.
func (v *version) checkRules(now, before map[string]any, soFar field.ErrorList, options ...cel.Option) field.ErrorList {
	if v.rules == nil {
		return nil
	}
	if slices.ContainsFunc(soFar, blocksRules) {
		return field.ErrorList{field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; "+
			"correct the existing errors to complete validation")}
	}
	var old any
	if before != nil {
		old = before
	}
	errs, _ := v.rules.Validate(context.Background(), nil, v.structural, now, old, celconfig.RuntimeCELCostBudget, options...)
	return errs
}

func blocksRules(err *field.Error) bool {
	switch err.Type {
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	}
	return false
}

// warnings are about finalizers that do not say whose they are; Kubernetes' own kinds refuse those.
func warnings(object, old kinds.Object) (texts []string) {
	var before []string
	if old != nil {
		before = old.GetFinalizers()
	}
	path := field.NewPath("metadata", "finalizers")
	for _, name := range slices.Sorted(slices.Values(object.GetFinalizers())) {
		if slices.Contains(before, name) {
			continue
		}
		for _, message := range validation.IsQualifiedName(name) {
			texts = append(texts, fmt.Sprintf("%s: %q: %s", path, name, message))
		}
		standard := []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes)}
		if strings.Contains(name, "/") || slices.Contains(standard, name) {
			continue
		}
		including := ""
		if strings.Contains(name, ".") {
			including = " including a path (/)"
		}
		texts = append(texts, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name%s to avoid accidental conflicts with other "+
			"finalizer writers", path, name, including))
	}
	return texts
}
