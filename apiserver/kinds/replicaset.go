package kinds

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func replicaSet() *Kind {
	doc := appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return Row[*appsv1.ReplicaSet]{
		Base: Kind{
			Group: "apps", Version: "v1", Kind: "ReplicaSet", Plural: "replicasets", Singular: "replicaset",
			ShortNames: []string{"rs"}, Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true,
			FieldNames: []string{"status.replicas"},
		},
		New:     func() *appsv1.ReplicaSet { return &appsv1.ReplicaSet{} },
		NewList: func() runtime.Object { return &appsv1.ReplicaSetList{} },
		Default: func(rs *appsv1.ReplicaSet) {
			setDefaultPointer(&rs.Spec.Replicas, 1)
			defaultPodTemplate(&rs.Spec.Template)
		},
		PrepareForCreate: func(rs *appsv1.ReplicaSet) {
			rs.Generation, rs.Status = 1, appsv1.ReplicaSetStatus{}
			dropDisabledFields(&rs.Spec.Template.Spec)
		},
		PrepareForUpdate: func(rs, old *appsv1.ReplicaSet) {
			rs.Status = old.Status
			dropDisabledFields(&rs.Spec.Template.Spec)
			raiseGeneration(rs, old, rs.Spec, old.Spec)
		},
		Validate: func(rs *appsv1.ReplicaSet) field.ErrorList { return validateReplicaSet(rs) },
		ValidateUpdate: func(rs, old *appsv1.ReplicaSet) field.ErrorList {
			return append(validateReplicaSet(rs), immutable(rs.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
		},
		Warnings: func(rs, old *appsv1.ReplicaSet) []string {
			return workloadWarnings(rs, old, &rs.Spec.Template)
		},
		HasStatus:     true,
		PrepareStatus: func(rs, old *appsv1.ReplicaSet) { rs.Spec = old.Spec },
		ValidateStatus: func(rs, old *appsv1.ReplicaSet) field.ErrorList {
			s := &rs.Status
			return validateReplicaStatus(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, s.TerminatingReplicas, s.ObservedGeneration)
		},
		GetScale: func(rs *appsv1.ReplicaSet) (int32, int32, string) {
			return orZero32(rs.Spec.Replicas), rs.Status.Replicas, scaleSelector(rs.Spec.Selector)
		},
		SetScale: func(rs *appsv1.ReplicaSet, wanted int32) { rs.Spec.Replicas = &wanted },
		Fields: func(rs *appsv1.ReplicaSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rs.Status.Replicas))}
		},
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Desired", "integer", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"]),
			column("Current", "integer", doc["replicas"]),
			column("Ready", "integer", doc["readyReplicas"]),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", appsv1.ReplicaSetSpec{}.SwaggerDoc()["selector"])),
		Cells: func(rs *appsv1.ReplicaSet) []any {
			names, images := containerCells(rs.Spec.Template.Spec.Containers)
			return []any{rs.Name, int64(orZero32(rs.Spec.Replicas)), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas),
				age(rs.CreationTimestamp), names, images, selectorCell(rs.Spec.Selector)}
		},
	}.Kind()
}

func validateReplicaSet(rs *appsv1.ReplicaSet) field.ErrorList {
	path := field.NewPath("spec")
	errs := nonNegativePointer(rs.Spec.Replicas, path.Child("replicas"))
	errs = append(errs, nonNegative(rs.Spec.MinReadySeconds, path.Child("minReadySeconds"))...)
	// Kubernetes says "deployment" here too.
	return append(errs, validateSelectorAndTemplate(rs.Spec.Selector, "empty selector is invalid for deployment", "invalid label selector",
		&rs.Spec.Template, path)...)
}

// validateReplicaStatus checks what a replica set or a replication controller counts.
func validateReplicaStatus(replicas, labeled, ready, available int32, terminating *int32, observed int64) field.ErrorList {
	path := field.NewPath("status")
	errs := nonNegativeCounts(path, count{"replicas", int64(replicas)}, count{"fullyLabeledReplicas", int64(labeled)},
		count{"readyReplicas", int64(ready)}, count{"availableReplicas", int64(available)})
	errs = append(errs, nonNegativePointer(terminating, path.Child("terminatingReplicas"))...)
	errs = append(errs, nonNegative(observed, path.Child("observedGeneration"))...)
	errs = append(errs, atMost(path, "cannot be greater than status.replicas", replicas, count{"fullyLabeledReplicas", int64(labeled)},
		count{"readyReplicas", int64(ready)}, count{"availableReplicas", int64(available)})...)
	return append(errs, atMost(path, "cannot be greater than readyReplicas", ready, count{"availableReplicas", int64(available)})...)
}
