package kinds

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func statefulSet() *Kind {
	return Row[*appsv1.StatefulSet]{
		Base: Kind{
			Group: "apps", Version: "v1", Kind: "StatefulSet", Plural: "statefulsets", Singular: "statefulset",
			ShortNames: []string{"sts"}, Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true,
			// Its pods are named NAME-0, NAME-1, …, and are hosts of those names.
			ValidateName: apivalidation.NameIsDNSLabel,
		},
		New:     func() *appsv1.StatefulSet { return &appsv1.StatefulSet{} },
		NewList: func() runtime.Object { return &appsv1.StatefulSetList{} },
		Default: defaultStatefulSet,
		PrepareForCreate: func(s *appsv1.StatefulSet) {
			s.Generation, s.Status = 1, appsv1.StatefulSetStatus{}
			dropDisabledFields(&s.Spec.Template.Spec)
		},
		PrepareForUpdate: func(s, old *appsv1.StatefulSet) {
			s.Status = old.Status
			dropDisabledFields(&s.Spec.Template.Spec)
			raiseGeneration(s, old, s.Spec, old.Spec)
		},
		Validate:       func(s *appsv1.StatefulSet) field.ErrorList { return validateStatefulSet(s, nil) },
		ValidateUpdate: validateStatefulSetUpdate,
		Warnings:       statefulSetWarnings,
		HasStatus:      true,
		PrepareStatus:  func(s, old *appsv1.StatefulSet) { s.Spec = old.Spec },
		ValidateStatus: validateStatefulSetStatus,
		GetScale: func(s *appsv1.StatefulSet) (int32, int32, string) {
			return orZero32(s.Spec.Replicas), s.Status.Replicas, scaleSelector(s.Spec.Selector)
		},
		SetScale: func(s *appsv1.StatefulSet, wanted int32) { s.Spec.Replicas = &wanted },
		Columns: append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Ready", "string", "Number of the pod with ready state"),
			ageColumn(),
		}, containerColumns()...),
		Cells: func(s *appsv1.StatefulSet) []any {
			names, images := containerCells(s.Spec.Template.Spec.Containers)
			return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, orZero32(s.Spec.Replicas)), age(s.CreationTimestamp), names, images}
		},
	}.Kind()
}

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	setDefault(&spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	if spec.UpdateStrategy.Type == "" {
		spec.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
		setDefaultPointer(&spec.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if rolling := spec.UpdateStrategy.RollingUpdate; rolling != nil && spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		setDefaultPointer(&rolling.Partition, 0)
		setDefaultPointer(&rolling.MaxUnavailable, intstr.FromInt32(1))
	}
	setDefaultPointer(&spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	setDefault(&spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setDefault(&spec.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setDefaultPointer(&spec.Replicas, 1)
	setDefaultPointer(&spec.RevisionHistoryLimit, 10)
	defaultPodTemplate(&spec.Template)
	for i := range spec.VolumeClaimTemplates {
		claim := &spec.VolumeClaimTemplates[i]
		claim.APIVersion, claim.Kind = "v1", "PersistentVolumeClaim" // whatever the user wrote
		setDefault(&claim.Status.Phase, corev1.ClaimPending)
		setDefaultPointer(&claim.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
}

func validateStatefulSet(s, old *appsv1.StatefulSet) (errs field.ErrorList) {
	path, spec := field.NewPath("spec"), &s.Spec
	switch spec.PodManagementPolicy {
	case "":
		errs = append(errs, field.Required(path.Child("podManagementPolicy"), ""))
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		errs = append(errs, field.Invalid(path.Child("podManagementPolicy"), spec.PodManagementPolicy, "must be 'OrderedReady' or 'Parallel'"))
	}
	errs = append(errs, validateStatefulSetStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	if policy := spec.PersistentVolumeClaimRetentionPolicy; policy != nil {
		at := path.Child("persistentVolumeClaimRetentionPolicy")
		allowed := []appsv1.PersistentVolumeClaimRetentionPolicyType{
			appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
		}
		errs = append(errs, oneOf(policy.WhenDeleted, at.Child("whenDeleted"), allowed...)...)
		errs = append(errs, oneOf(policy.WhenScaled, at.Child("whenScaled"), allowed...)...)
	}
	if old == nil {
		for i := range spec.VolumeClaimTemplates {
			errs = append(errs, validateClaimSpec(&spec.VolumeClaimTemplates[i].Spec, path.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
		}
	}
	errs = append(errs, nonNegativePointer(spec.Replicas, path.Child("replicas"))...)
	errs = append(errs, nonNegative(spec.MinReadySeconds, path.Child("minReadySeconds"))...)
	if spec.Ordinals != nil {
		errs = append(errs, nonNegative(spec.Ordinals.Start, path.Child("ordinals.start"))...)
	}
	if old == nil && spec.ServiceName != "" { // it cannot change later
		errs = append(errs, dnsLabel(spec.ServiceName, path.Child("serviceName"))...)
	}
	matcher, ok, found := validateSelector(spec.Selector, "empty selector is invalid for statefulset", "", path.Child("selector"))
	errs = append(errs, found...)
	if ok {
		errs = append(errs, validateStatefulTemplate(&spec.Template, spec.VolumeClaimTemplates, matcher, path.Child("template"))...)
	}
	return append(errs, runsForever(&spec.Template.Spec, "StatefulSet", path.Child("template", "spec"))...)
}

func validateStatefulSetStrategy(s *appsv1.StatefulSetUpdateStrategy, path *field.Path) field.ErrorList {
	rolling, at := s.RollingUpdate, path.Child("rollingUpdate")
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(path, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if rolling != nil {
			return field.ErrorList{field.Invalid(at, internalForm(rolling), "only allowed for updateStrategy 'RollingUpdate'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if rolling == nil {
			return nil
		}
		errs := nonNegativePointer(rolling.Partition, at.Child("partition"))
		if most := rolling.MaxUnavailable; most != nil {
			errs = append(errs, intOrPercent(*most, at.Child("maxUnavailable"))...)
			if intOrPercentZero(*most) {
				errs = append(errs, field.Invalid(at.Child("maxUnavailable"), *most, "cannot be 0"))
			}
			errs = append(errs, atMost100Percent(*most, at.Child("maxUnavailable"))...)
		}
		return errs
	}
	return field.ErrorList{field.Invalid(path, internalForm(s), "must be 'RollingUpdate' or 'OnDelete'")}
}

// validateStatefulSetUpdate: what gives the pods their identity stays as it was.
func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	path, now, then := field.NewPath("spec"), &s.Spec, &old.Spec
	errs := validateStatefulSet(s, old)
	errs = append(errs, immutable(now.Selector, then.Selector, path.Child("selector"))...)
	errs = append(errs, immutableInternal(now.VolumeClaimTemplates, then.VolumeClaimTemplates, path.Child("volumeClaimTemplates"))...)
	errs = append(errs, immutable(now.ServiceName, then.ServiceName, path.Child("serviceName"))...)
	return append(errs, immutable(now.PodManagementPolicy, then.PodManagementPolicy, path.Child("podManagementPolicy"))...)
}

func statefulSetWarnings(s, old *appsv1.StatefulSet) []string {
	path := field.NewPath("spec")
	warnings := changedTemplateWarnings(s, old, &s.Spec.Template, path.Child("template"))
	for i := range s.Spec.VolumeClaimTemplates {
		at := path.Child("volumeClaimTemplates").Index(i)
		if old != nil {
			at = at.Child("Spec") // Kubernetes names the field of its Go type here
		}
		warnings = append(warnings, claimWarnings(&s.Spec.VolumeClaimTemplates[i].Spec, at)...)
	}
	if limit := s.Spec.RevisionHistoryLimit; limit != nil && *limit < 0 {
		warnings = append(warnings, path.Child("revisionHistoryLimit").String()+": a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return warnings
}

func validateStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	path, status := field.NewPath("status"), &s.Status
	ready, current := count{"readyReplicas", int64(status.ReadyReplicas)}, count{"currentReplicas", int64(status.CurrentReplicas)}
	updated, available := count{"updatedReplicas", int64(status.UpdatedReplicas)}, count{"availableReplicas", int64(status.AvailableReplicas)}
	errs := nonNegativeCounts(path, count{"replicas", int64(status.Replicas)}, ready, current, updated, available,
		count{"observedGeneration", status.ObservedGeneration})
	errs = append(errs, nonNegativePointer(status.CollisionCount, path.Child("collisionCount"))...)
	errs = append(errs, atMost(path, "cannot be greater than status.replicas", status.Replicas, ready, current, updated, available)...)
	errs = append(errs, atMost(path, "cannot be greater than status.readyReplicas", status.ReadyReplicas, available)...)
	return append(errs, notDecremented(status.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}

// validateStatefulTemplate checks the template of pods that get a volume for each claim template beside their own. A claim
// takes the place of a volume of its name.
func validateStatefulTemplate(template *corev1.PodTemplateSpec, claims []corev1.PersistentVolumeClaim, matcher labels.Selector, path *field.Path) (errs field.ErrorList) {
	if !matcher.Empty() {
		errs = templateMatches(template, matcher, path)
	}
	whole := *template
	whole.Spec.Volumes = slices.Clone(template.Spec.Volumes)
	for i := range claims {
		volume := corev1.Volume{Name: claims[i].Name}
		volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claims[i].Name}
		at := slices.IndexFunc(whole.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume.Name })
		if at < 0 {
			whole.Spec.Volumes = append(whole.Spec.Volumes, volume)
		} else {
			whole.Spec.Volumes[at] = volume
		}
	}
	return append(errs, validatePodTemplate(&whole, path)...)
}
