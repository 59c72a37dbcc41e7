package kinds

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func daemonSet() *Kind {
	spec, status := appsv1.DaemonSetSpec{}.SwaggerDoc(), appsv1.DaemonSetStatus{}.SwaggerDoc()
	return Row[*appsv1.DaemonSet]{
		Base: Kind{
			Group: "apps", Version: "v1", Kind: "DaemonSet", Plural: "daemonsets", Singular: "daemonset",
			ShortNames: []string{"ds"}, Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true,
		},
		New:     func() *appsv1.DaemonSet { return &appsv1.DaemonSet{} },
		NewList: func() runtime.Object { return &appsv1.DaemonSetList{} },
		Default: defaultDaemonSet,
		PrepareForCreate: func(d *appsv1.DaemonSet) {
			d.Generation, d.Status = 1, appsv1.DaemonSetStatus{}
			dropDisabledFields(&d.Spec.Template.Spec)
			setTemplateGeneration(d, max(1, templateGeneration(d)))
		},
		PrepareForUpdate: prepareDaemonSetForUpdate,
		Validate:         validateDaemonSet,
		ValidateUpdate: func(d, old *appsv1.DaemonSet) field.ErrorList {
			return append(immutable(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector")), validateDaemonSet(d)...)
		},
		Warnings: func(d, old *appsv1.DaemonSet) []string {
			return changedTemplateWarnings(d, old, &d.Spec.Template, field.NewPath("spec", "template"))
		},
		HasStatus: true,
		PrepareStatus: func(d, old *appsv1.DaemonSet) {
			d.Spec = old.Spec
			setTemplateGeneration(d, templateGeneration(old))
		},
		ValidateStatus: validateDaemonSetStatus,
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Desired", "integer", status["desiredNumberScheduled"]),
			column("Current", "integer", status["currentNumberScheduled"]),
			column("Ready", "integer", status["numberReady"]),
			column("Up-to-date", "integer", status["updatedNumberScheduled"]),
			column("Available", "integer", status["numberAvailable"]),
			column("Node Selector", "string", podSpecDoc("nodeSelector")),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", spec["selector"])),
		Cells: func(d *appsv1.DaemonSet) []any {
			names, images := containerCells(d.Spec.Template.Spec.Containers)
			return []any{d.Name, int64(d.Status.DesiredNumberScheduled), int64(d.Status.CurrentNumberScheduled), int64(d.Status.NumberReady),
				int64(d.Status.UpdatedNumberScheduled), int64(d.Status.NumberAvailable), labelsCell(d.Spec.Template.Spec.NodeSelector),
				age(d.CreationTimestamp), names, images, selectorCell(d.Spec.Selector)}
		},
	}.Kind()
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	strategy := &d.Spec.UpdateStrategy
	setDefault(&strategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if strategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setDefaultPointer(&strategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setDefaultPointer(&strategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefaultPointer(&strategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setDefaultPointer(&d.Spec.RevisionHistoryLimit, 10)
	setTemplateGeneration(d, templateGeneration(d))
	defaultPodTemplate(&d.Spec.Template)
}

// templateGeneration counts the changes of the template. apps/v1 keeps it in an annotation, for the sake of the versions
// before, where it was a field; users cannot set it.
func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(n, 10)
}

func prepareDaemonSetForUpdate(d, old *appsv1.DaemonSet) {
	d.Status = old.Status
	dropDisabledFields(&d.Spec.Template.Spec)
	n := templateGeneration(old)
	if !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
		n++
	}
	setTemplateGeneration(d, n)
	raiseGeneration(d, old, d.Spec, old.Spec)
}

func validateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	path, spec := field.NewPath("spec"), &d.Spec
	errs := labelSelector(spec.Selector, path.Child("selector"))
	matcher, err := metav1.LabelSelectorAsSelector(spec.Selector)
	if err == nil && !matcher.Matches(labels.Set(spec.Template.Labels)) {
		errs = append(errs, templateMatches(&spec.Template, matcher, path.Child("template"))...)
	}
	if s := spec.Selector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(path.Child("selector"), s, "empty selector is invalid for daemonset"))
	}
	errs = append(errs, validatePodTemplate(&spec.Template, path.Child("template"))...)
	errs = append(errs, runsForever(&spec.Template.Spec, "DaemonSet", path.Child("template", "spec"))...)
	errs = append(errs, nonNegative(spec.MinReadySeconds, path.Child("minReadySeconds"))...)
	errs = append(errs, validateDaemonSetStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	return append(errs, nonNegativePointer(spec.RevisionHistoryLimit, path.Child("revisionHistoryLimit"))...)
}

// validateDaemonSetStrategy: on each node the old pod goes first (unavailable) or the new one comes first (surge).
func validateDaemonSetStrategy(s *appsv1.DaemonSetUpdateStrategy, path *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
	default:
		return field.ErrorList{field.NotSupported(path, internalForm(s),
			[]appsv1.DaemonSetUpdateStrategyType{appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType})}
	}
	at := path.Child("rollingUpdate")
	if s.RollingUpdate == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	var unavailable, surge intstr.IntOrString
	if s.RollingUpdate.MaxUnavailable != nil {
		unavailable = *s.RollingUpdate.MaxUnavailable
	}
	if s.RollingUpdate.MaxSurge != nil {
		surge = *s.RollingUpdate.MaxSurge
	}
	errs := intOrPercent(unavailable, at.Child("maxUnavailable"))
	errs = append(errs, intOrPercent(surge, at.Child("maxSurge"))...)
	errs = append(errs, atMost100Percent(unavailable, at.Child("maxUnavailable"))...)
	errs = append(errs, atMost100Percent(surge, at.Child("maxSurge"))...)
	switch noneAway, noneMore := intOrPercentZero(unavailable), intOrPercentZero(surge); {
	case !noneAway && !noneMore:
		errs = append(errs, field.Invalid(at.Child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"))
	case noneAway && noneMore:
		errs = append(errs, field.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	errs := nonNegativeCounts(path, count{"currentNumberScheduled", int64(s.CurrentNumberScheduled)},
		count{"numberMisscheduled", int64(s.NumberMisscheduled)}, count{"desiredNumberScheduled", int64(s.DesiredNumberScheduled)},
		count{"numberReady", int64(s.NumberReady)}, count{"observedGeneration", s.ObservedGeneration},
		count{"updatedNumberScheduled", int64(s.UpdatedNumberScheduled)}, count{"numberAvailable", int64(s.NumberAvailable)},
		count{"numberUnavailable", int64(s.NumberUnavailable)})
	errs = append(errs, nonNegativePointer(s.CollisionCount, path.Child("collisionCount"))...)
	return append(errs, notDecremented(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}
