package kinds

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func storageClass() *Kind {
	return Row[*storagev1.StorageClass]{
		Base: Kind{
			Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass", Plural: "storageclasses", Singular: "storageclass",
			ShortNames: []string{"sc"}, UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *storagev1.StorageClass { return &storagev1.StorageClass{} },
		NewList: func() runtime.Object { return &storagev1.StorageClassList{} },
		Default: func(c *storagev1.StorageClass) {
			setDefaultPointer(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
			setDefaultPointer(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
		},
		Validate:       validateStorageClass,
		ValidateUpdate: validateStorageClassUpdate,
		Warnings:       func(c, _ *storagev1.StorageClass) []string { return storageClassWarnings(c) },
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Provisioner", "string", storagev1.StorageClass{}.SwaggerDoc()["provisioner"]),
			column("ReclaimPolicy", "string", storagev1.StorageClass{}.SwaggerDoc()["reclaimPolicy"]),
			column("VolumeBindingMode", "string", storagev1.StorageClass{}.SwaggerDoc()["volumeBindingMode"]),
			column("AllowVolumeExpansion", "string", storagev1.StorageClass{}.SwaggerDoc()["allowVolumeExpansion"]),
			ageColumn(),
		},
		Cells: storageClassCells,
	}.Kind()
}

func validateStorageClass(c *storagev1.StorageClass) (errs field.ErrorList) {
	provisioner := field.NewPath("provisioner")
	if c.Provisioner != "" {
		errs = append(errs, qualifiedName(strings.ToLower(c.Provisioner), provisioner)...)
	}
	errs = append(errs, validateClassParameters(c.Parameters, field.NewPath("parameters"))...)
	if *c.ReclaimPolicy != "" {
		errs = append(errs, oneOf(*c.ReclaimPolicy, field.NewPath("reclaimPolicy"), corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	errs = append(errs, oneOf(*c.VolumeBindingMode, field.NewPath("volumeBindingMode"), storagev1.VolumeBindingImmediate,
		storagev1.VolumeBindingWaitForFirstConsumer)...)
	errs = append(errs, validateTopologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
	if c.Provisioner == "" {
		errs = append(errs, field.Required(provisioner, ""))
	}
	return errs
}

func validateClassParameters(parameters map[string]string, path *field.Path) (errs field.ErrorList) {
	const most, largest = 512, 256 * 1024
	if len(parameters) > most {
		return field.ErrorList{field.TooLong(path, "", most)}
	}
	size := 0
	for key, value := range parameters {
		if key == "" {
			errs = append(errs, field.Invalid(path, key, "field can not be empty."))
		}
		size += len(key) + len(value)
	}
	if size > largest {
		errs = append(errs, field.TooLong(path, "", largest))
	}
	return errs
}

func validateTopologies(topologies []corev1.TopologySelectorTerm, path *field.Path) (errs field.ErrorList) {
	seen := []map[string][]string{{}} // a term that says nothing is never new
	for i, term := range topologies {
		expressions, values := path.Index(i).Child("matchLabelExpressions"), map[string][]string{}
		for j, r := range term.MatchLabelExpressions {
			at := expressions.Index(j)
			if len(r.Values) == 0 {
				errs = append(errs, field.Required(at.Child("values"), ""))
			}
			for k, value := range r.Values {
				if slices.Contains(r.Values[:k], value) {
					errs = append(errs, field.Duplicate(at.Child("values").Index(k), value))
				}
			}
			errs = append(errs, qualifiedName(r.Key, at.Child("key"))...)
			if _, twice := values[r.Key]; twice {
				errs = append(errs, field.Duplicate(at.Child("key"), r.Key))
			}
			values[r.Key] = slices.Sorted(slices.Values(r.Values))
		}
		for _, other := range seen {
			if maps.EqualFunc(values, other, slices.Equal) {
				errs = append(errs, field.Duplicate(expressions, ""))
			}
		}
		seen = append(seen, values)
	}
	return errs
}

// validateStorageClassUpdate: volumes have been made as the class says, so what it says about making them stays.
func validateStorageClassUpdate(c, old *storagev1.StorageClass) (errs field.ErrorList) {
	for _, f := range []struct {
		name        string
		now, before any
	}{
		{"provisioner", c.Provisioner, old.Provisioner}, {"parameters", c.Parameters, old.Parameters},
		{"reclaimPolicy", c.ReclaimPolicy, old.ReclaimPolicy}, {"volumeBindingMode", c.VolumeBindingMode, old.VolumeBindingMode},
	} {
		errs = append(errs, declaredImmutable(f.now, f.before, field.NewPath(f.name))...)
	}
	return append(validateStorageClass(c), errs...)
}

// declaredImmutable refuses a change of a field that is immutable by its declaration in the API. Kubernetes does not show
// the value then.
func declaredImmutable(value, old any, path *field.Path) field.ErrorList {
	if !equality.Semantic.DeepEqual(value, old) {
		return field.ErrorList{field.Invalid(path, nil, "field is immutable")}
	}
	return nil
}

func storageClassCells(c *storagev1.StorageClass) []any {
	name := c.Name
	for _, annotation := range []string{"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"} {
		if c.Annotations[annotation] == "true" {
			name = c.Name + " (default)"
		}
	}
	reclaim, mode, expansion := string(corev1.PersistentVolumeReclaimDelete), "<unset>", false
	if c.ReclaimPolicy != nil {
		reclaim = string(*c.ReclaimPolicy)
	}
	if c.VolumeBindingMode != nil {
		mode = string(*c.VolumeBindingMode)
	}
	if c.AllowVolumeExpansion != nil {
		expansion = *c.AllowVolumeExpansion
	}
	return []any{name, c.Provisioner, reclaim, mode, expansion, age(c.CreationTimestamp)}
}
