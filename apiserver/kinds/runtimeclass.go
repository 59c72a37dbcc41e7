package kinds

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func runtimeClass() *Kind {
	return Row[*nodev1.RuntimeClass]{
		Base: Kind{
			Group: "node.k8s.io", Version: "v1", Kind: "RuntimeClass", Plural: "runtimeclasses", Singular: "runtimeclass",
			AllowCreateOnUpdate: true,
		},
		New:      func() *nodev1.RuntimeClass { return &nodev1.RuntimeClass{} },
		NewList:  func() runtime.Object { return &nodev1.RuntimeClassList{} },
		Validate: validateRuntimeClass,
		ValidateUpdate: func(c, old *nodev1.RuntimeClass) field.ErrorList {
			errs, immutable := validateRuntimeClass(c), declaredImmutable(c.Handler, old.Handler, field.NewPath("handler"))
			if c.Handler == "" {
				return append(immutable, errs...)
			}
			return append(errs, immutable...)
		},
		Warnings: func(c, _ *nodev1.RuntimeClass) []string { return runtimeClassWarnings(c) },
		Columns:  []metav1.TableColumnDefinition{nameColumn(), column("Handler", "string", ""), ageColumn()},
		Cells:    func(c *nodev1.RuntimeClass) []any { return []any{c.Name, c.Handler, age(c.CreationTimestamp)} },
	}.Kind()
}

func validateRuntimeClass(c *nodev1.RuntimeClass) (errs field.ErrorList) {
	if c.Overhead != nil {
		errs = append(errs, validateResources(&corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}, nil, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		path := field.NewPath("scheduling")
		errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, path.Child("nodeSelector"))...)
		tolerations := path.Child("tolerations")
		errs = append(errs, validateTolerations(s.Tolerations, tolerations)...)
		for i, t := range s.Tolerations {
			if slices.ContainsFunc(s.Tolerations[:i], func(o corev1.Toleration) bool { return equality.Semantic.DeepEqual(t, o) }) {
				errs = append(errs, field.Duplicate(tolerations.Index(i), internalForm(t)))
			}
		}
	}
	if handler := field.NewPath("handler"); c.Handler == "" {
		errs = append(errs, field.Required(handler, ""))
	} else {
		errs = append(errs, declaredFormat(dnsLabel(c.Handler, handler))...)
	}
	return errs
}
