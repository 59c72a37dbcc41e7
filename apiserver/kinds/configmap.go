package kinds

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func configMap() *Kind {
	return Row[*corev1.ConfigMap]{
		Base: Kind{
			Version: "v1", Kind: "ConfigMap", Plural: "configmaps", Singular: "configmap", ShortNames: []string{"cm"},
			Namespaced: true, UnconditionalUpdate: true,
		},
		New:            func() *corev1.ConfigMap { return &corev1.ConfigMap{} },
		NewList:        func() runtime.Object { return &corev1.ConfigMapList{} },
		Default:        func(c *corev1.ConfigMap) { emptyIfNull(c.BinaryData) },
		Validate:       validateConfigMap,
		ValidateUpdate: validateConfigMapUpdate,
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Data", "string", corev1.ConfigMap{}.SwaggerDoc()["data"]),
			ageColumn(),
		},
		Cells: func(c *corev1.ConfigMap) []any {
			return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), age(c.CreationTimestamp)}
		},
	}.Kind()
}

func validateConfigMap(c *corev1.ConfigMap) (errs field.ErrorList) {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		path := field.NewPath("data").Key(key)
		errs = append(errs, invalid(path, key, validation.IsConfigMapKey(key))...)
		if _, twice := c.BinaryData[key]; twice {
			errs = append(errs, field.Invalid(path, key, "duplicate of key present in binaryData"))
		}
		size += len(c.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(c.BinaryData)) {
		errs = append(errs, invalid(field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(c.BinaryData[key])
	}
	if size > corev1.MaxSecretSize {
		// The path is empty because the error is about the whole object.
		errs = append(errs, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return errs
}

func validateConfigMapUpdate(c, old *corev1.ConfigMap) (errs field.ErrorList) {
	if isTrue(old.Immutable) {
		errs = append(errs, frozen(isTrue(c.Immutable), true, field.NewPath("immutable"))...)
		errs = append(errs, frozen(c.Data, old.Data, field.NewPath("data"))...)
		errs = append(errs, frozen(c.BinaryData, old.BinaryData, field.NewPath("binaryData"))...)
	}
	return append(errs, validateConfigMap(c)...)
}

// frozen refuses changes of an object whose immutable field is set.
func frozen(value, old any, path *field.Path) field.ErrorList {
	if !equality.Semantic.DeepEqual(value, old) {
		return field.ErrorList{field.Forbidden(path, "field is immutable when `immutable` is set")}
	}
	return nil
}

// isTrue reads an optional switch that is off when left out.
func isTrue(b *bool) bool { return b != nil && *b }
