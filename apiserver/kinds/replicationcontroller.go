package kinds

import (
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func replicationController() *Kind {
	spec, status := corev1.ReplicationControllerSpec{}.SwaggerDoc(), corev1.ReplicationControllerStatus{}.SwaggerDoc()
	return Row[*corev1.ReplicationController]{
		Base: Kind{
			Version: "v1", Kind: "ReplicationController", Plural: "replicationcontrollers", Singular: "replicationcontroller",
			ShortNames: []string{"rc"}, Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true, OrphanByDefault: true,
			FieldNames: []string{"status.replicas"},
		},
		New:     func() *corev1.ReplicationController { return &corev1.ReplicationController{} },
		NewList: func() runtime.Object { return &corev1.ReplicationControllerList{} },
		Default: defaultReplicationController,
		PrepareForCreate: func(rc *corev1.ReplicationController) {
			rc.Generation, rc.Status = 1, corev1.ReplicationControllerStatus{}
			dropDisabledTemplateFields(rc.Spec.Template)
		},
		PrepareForUpdate: func(rc, old *corev1.ReplicationController) {
			rc.Status = old.Status
			dropDisabledTemplateFields(rc.Spec.Template)
			raiseGeneration(rc, old, rc.Spec, old.Spec)
		},
		Validate:       validateReplicationController,
		ValidateUpdate: func(rc, old *corev1.ReplicationController) field.ErrorList { return validateReplicationController(rc) },
		Warnings: func(rc, old *corev1.ReplicationController) []string {
			if old != nil {
				return workloadWarnings(rc, old, old.Spec.Template) // Kubernetes looks at the template before
			}
			return workloadWarnings(rc, old, rc.Spec.Template)
		},
		HasStatus:     true,
		PrepareStatus: func(rc, old *corev1.ReplicationController) { rc.Spec = old.Spec },
		ValidateStatus: func(rc, old *corev1.ReplicationController) field.ErrorList {
			s := &rc.Status
			return validateReplicaStatus(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, nil, s.ObservedGeneration)
		},
		GetScale: func(rc *corev1.ReplicationController) (int32, int32, string) {
			return orZero32(rc.Spec.Replicas), rc.Status.Replicas, labels.Set(rc.Spec.Selector).AsSelector().String()
		},
		SetScale: func(rc *corev1.ReplicationController, wanted int32) { rc.Spec.Replicas = &wanted },
		Fields: func(rc *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		},
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Desired", "integer", spec["replicas"]),
			column("Current", "integer", status["replicas"]),
			column("Ready", "integer", status["readyReplicas"]),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", spec["selector"])),
		Cells: func(rc *corev1.ReplicationController) []any {
			var containers []corev1.Container
			if rc.Spec.Template != nil {
				containers = rc.Spec.Template.Spec.Containers
			}
			names, images := containerCells(containers)
			return []any{rc.Name, int64(orZero32(rc.Spec.Replicas)), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas),
				age(rc.CreationTimestamp), names, images, labelsCell(rc.Spec.Selector)}
		},
	}.Kind()
}

// defaultReplicationController takes selector and labels from the template, which later kinds no longer do.
func defaultReplicationController(rc *corev1.ReplicationController) {
	if rc.Spec.Template != nil && rc.Spec.Template.Labels != nil {
		if len(rc.Spec.Selector) == 0 {
			rc.Spec.Selector = maps.Clone(rc.Spec.Template.Labels)
		}
		if len(rc.Labels) == 0 {
			rc.Labels = maps.Clone(rc.Spec.Template.Labels)
		}
	}
	setDefaultPointer(&rc.Spec.Replicas, 1)
	defaultPodTemplate(rc.Spec.Template)
}

func validateReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	path, spec := field.NewPath("spec"), &rc.Spec
	var errs field.ErrorList
	if len(spec.Selector) == 0 {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	if spec.Template == nil {
		errs = append(errs, field.Required(path.Child("template"), ""))
	} else {
		matcher := labels.Set(spec.Selector).AsSelectorPreValidated()
		errs = append(errs, validateServingTemplate(spec.Template, matcher, "ReplicationController", path.Child("template"))...)
	}
	// These are declared in the API's types, and such checks come last.
	errs = append(errs, nonNegativePointer(spec.Replicas, path.Child("replicas"))...)
	return append(errs, nonNegative(spec.MinReadySeconds, path.Child("minReadySeconds"))...)
}
