package kinds

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func deployment() *Kind {
	return Row[*appsv1.Deployment]{
		Base: Kind{
			Group: "apps", Version: "v1", Kind: "Deployment", Plural: "deployments", Singular: "deployment",
			ShortNames: []string{"deploy"}, Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true,
		},
		New:     func() *appsv1.Deployment { return &appsv1.Deployment{} },
		NewList: func() runtime.Object { return &appsv1.DeploymentList{} },
		Default: defaultDeployment,
		PrepareForCreate: func(d *appsv1.Deployment) {
			d.Generation, d.Status = 1, appsv1.DeploymentStatus{}
			dropDisabledFields(&d.Spec.Template.Spec)
		},
		PrepareForUpdate: func(d, old *appsv1.Deployment) {
			d.Status = old.Status
			dropDisabledFields(&d.Spec.Template.Spec)
			// Annotations count too: the controller copies them to the replica sets.
			raiseGeneration(d, old, []any{d.Spec, d.Annotations}, []any{old.Spec, old.Annotations})
		},
		Validate: validateDeployment,
		ValidateUpdate: func(d, old *appsv1.Deployment) field.ErrorList {
			return append(validateDeployment(d), immutable(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
		},
		Warnings: func(d, old *appsv1.Deployment) []string {
			return workloadWarnings(d, old, &d.Spec.Template)
		},
		HasStatus: true,
		PrepareStatus: func(d, old *appsv1.Deployment) {
			d.Spec, d.Labels = old.Spec, old.Labels
		},
		ValidateStatus: validateDeploymentStatus,
		GetScale: func(d *appsv1.Deployment) (int32, int32, string) {
			return orZero32(d.Spec.Replicas), d.Status.Replicas, scaleSelector(d.Spec.Selector)
		},
		SetScale: func(d *appsv1.Deployment, wanted int32) { d.Spec.Replicas = &wanted },
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Ready", "string", "Number of the pod with ready state"),
			column("Up-to-date", "string", appsv1.DeploymentStatus{}.SwaggerDoc()["updatedReplicas"]),
			column("Available", "string", appsv1.DeploymentStatus{}.SwaggerDoc()["availableReplicas"]),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"])),
		Cells: func(d *appsv1.Deployment) []any {
			names, images := containerCells(d.Spec.Template.Spec.Containers)
			return []any{d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, orZero32(d.Spec.Replicas)),
				int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), age(d.CreationTimestamp), names, images,
				selectorCell(d.Spec.Selector)}
		},
	}.Kind()
}

func defaultDeployment(d *appsv1.Deployment) {
	setDefaultPointer(&d.Spec.Replicas, 1)
	setDefaultPointer(&d.Spec.RevisionHistoryLimit, 10)
	setDefaultPointer(&d.Spec.ProgressDeadlineSeconds, 600)
	setDefault(&d.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		setDefaultPointer(&d.Spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setDefaultPointer(&d.Spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefaultPointer(&d.Spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	defaultPodTemplate(&d.Spec.Template)
}

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	path, spec := field.NewPath("spec"), &d.Spec
	errs := nonNegative(orZero32(spec.Replicas), path.Child("replicas"))
	errs = append(errs, validateSelectorAndTemplate(spec.Selector, "empty selector is invalid for deployment", "invalid label selector",
		&spec.Template, path)...)
	errs = append(errs, validateDeploymentStrategy(&spec.Strategy, path.Child("strategy"))...)
	errs = append(errs, nonNegative(spec.MinReadySeconds, path.Child("minReadySeconds"))...)
	errs = append(errs, nonNegative(orZero32(spec.RevisionHistoryLimit), path.Child("revisionHistoryLimit"))...)
	if deadline := spec.ProgressDeadlineSeconds; deadline != nil {
		errs = append(errs, nonNegative(*deadline, path.Child("progressDeadlineSeconds"))...)
		if *deadline <= spec.MinReadySeconds {
			errs = append(errs, field.Invalid(path.Child("progressDeadlineSeconds"), *deadline, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateDeploymentStrategy(s *appsv1.DeploymentStrategy, path *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(path.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(path.Child("rollingUpdate"), "this should be defaulted and never be nil")}
		}
		return validateRollingUpdate(s.RollingUpdate.MaxUnavailable, s.RollingUpdate.MaxSurge, path.Child("rollingUpdate"))
	}
	return field.ErrorList{field.NotSupported(path, internalForm(s),
		[]appsv1.DeploymentStrategyType{appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	updated, ready, available := count{"updatedReplicas", int64(s.UpdatedReplicas)}, count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)}
	errs := nonNegativeCounts(path, count{"observedGeneration", s.ObservedGeneration}, count{"replicas", int64(s.Replicas)},
		updated, ready, available, count{"unavailableReplicas", int64(s.UnavailableReplicas)})
	errs = append(errs, nonNegativePointer(s.TerminatingReplicas, path.Child("terminatingReplicas"))...)
	errs = append(errs, nonNegativePointer(s.CollisionCount, path.Child("collisionCount"))...)
	errs = append(errs, atMost(path, "cannot be greater than status.replicas", s.Replicas, updated, ready, available)...)
	errs = append(errs, atMost(path, "cannot be greater than readyReplicas", s.ReadyReplicas, available)...)
	return append(errs, notDecremented(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}
