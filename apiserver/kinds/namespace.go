package kinds

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func namespace() *Kind {
	return Row[*corev1.Namespace]{
		Base: Kind{
			Version: "v1", Kind: "Namespace", Plural: "namespaces", Singular: "namespace", ShortNames: []string{"ns"},
			// A namespace goes with all that is in it: there is no deleting many at once.
			Verbs:        []string{"create", "delete", "get", "list", "patch", "update", "watch"},
			ValidateName: apivalidation.ValidateNamespaceName, UnconditionalUpdate: true,
			HoldsDeletion: func(object Object) bool { return len(object.(*corev1.Namespace).Spec.Finalizers) > 0 },
			PrepareForDelete: func(object Object) {
				n := object.(*corev1.Namespace)
				n.Status.Phase = corev1.NamespaceTerminating
				n.DeletionGracePeriodSeconds = nil // it takes as long as it takes
			},
			FieldNames: []string{"status.phase"},
		},
		New:     func() *corev1.Namespace { return &corev1.Namespace{} },
		NewList: func() runtime.Object { return &corev1.NamespaceList{} },
		Default: func(n *corev1.Namespace) {
			labelWithName(n)
			setDefault(&n.Status.Phase, corev1.NamespaceActive)
		},
		PrepareForCreate: func(n *corev1.Namespace) {
			n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
			if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
				n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
			}
		},
		PrepareForUpdate: func(n, old *corev1.Namespace) {
			n.Spec.Finalizers, n.Status = old.Spec.Finalizers, old.Status
		},
		Validate:       validateNamespace,
		HasStatus:      true,
		PrepareStatus:  func(n, old *corev1.Namespace) { n.Spec = old.Spec },
		ValidateStatus: func(n, _ *corev1.Namespace) field.ErrorList { return validateNamespacePhase(n) },
		// A generated name is not known yet when defaults are set, so the label that carries it waits until here.
		Allocate: func(_ context.Context, _ Cluster, n, _ *corev1.Namespace) (func(), error) {
			labelWithName(n)
			return func() {}, nil
		},
		Fields: func(n *corev1.Namespace) fields.Set {
			return fields.Set{"status.phase": string(n.Status.Phase)}
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Status", "string", "The status of the namespace"),
			ageColumn(),
		},
		Cells: func(n *corev1.Namespace) []any {
			return []any{n.Name, string(n.Status.Phase), age(n.CreationTimestamp)}
		},
	}.Kind()
}

// labelWithName labels a namespace with its own name, so that selectors can name it.
func labelWithName(n *corev1.Namespace) {
	if n == nil || n.Name == "" {
		return
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelMetadataName] = n.Name
}

func validateNamespace(n *corev1.Namespace) (errs field.ErrorList) {
	for _, finalizer := range n.Spec.Finalizers {
		errs = append(errs, finalizerName(string(finalizer), field.NewPath("spec", "finalizers"))...)
	}
	return errs
}

// finalizerName checks a finalizer of the spec: one of Kubernetes' own, or a name with the domain of who adds it.
func finalizerName(name string, path *field.Path) field.ErrorList {
	errs := apivalidation.ValidateFinalizerName(name, path)
	standard := []string{string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents}
	if !slices.Contains([]byte(name), '/') && !slices.Contains(standard, name) {
		errs = append(errs, field.Invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified"))
	}
	return errs
}

// validateNamespacePhase: the phase says whether a deletion has begun, and nothing else.
func validateNamespacePhase(n *corev1.Namespace) field.ErrorList {
	path := field.NewPath("status", "Phase")
	switch {
	case n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceActive:
		return field.ErrorList{field.Invalid(path, n.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty")}
	case !n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceTerminating:
		return field.ErrorList{field.Invalid(path, n.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")}
	}
	return nil
}
