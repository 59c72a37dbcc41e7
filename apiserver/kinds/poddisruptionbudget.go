package kinds

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func podDisruptionBudget() *Kind {
	return Row[*policyv1.PodDisruptionBudget]{
		Base: Kind{
			Group: "policy", Version: "v1", Kind: "PodDisruptionBudget", Plural: "poddisruptionbudgets", MetadataLast: true, Singular: "poddisruptionbudget",
			ShortNames: []string{"pdb"}, Namespaced: true, ValidateName: path.ValidatePathSegmentName,
		},
		New:     func() *policyv1.PodDisruptionBudget { return &policyv1.PodDisruptionBudget{} },
		NewList: func() runtime.Object { return &policyv1.PodDisruptionBudgetList{} },
		PrepareForCreate: func(b *policyv1.PodDisruptionBudget) {
			b.Generation, b.Status = 1, policyv1.PodDisruptionBudgetStatus{}
		},
		PrepareForUpdate: func(b, old *policyv1.PodDisruptionBudget) {
			b.Status = old.Status
			raiseGeneration(b, old, b.Spec, old.Spec)
		},
		Validate:       validateDisruptionBudget,
		ValidateUpdate: func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList { return validateDisruptionBudget(b) },
		HasStatus:      true,
		PrepareStatus:  func(b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec },
		ValidateStatus: func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
			at, s := field.NewPath("status"), &b.Status
			return append(metavalidation.ValidateConditions(s.Conditions, at.Child("conditions")), nonNegativeCounts(at,
				count{"disruptionsAllowed", int64(s.DisruptionsAllowed)}, count{"currentHealthy", int64(s.CurrentHealthy)},
				count{"desiredHealthy", int64(s.DesiredHealthy)}, count{"expectedPods", int64(s.ExpectedPods)})...)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Min Available", "string", "The minimum number of pods that must be available."),
			column("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
			column("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
			ageColumn(),
		},
		Cells: func(b *policyv1.PodDisruptionBudget) []any {
			return []any{b.Name, orNotAvailable(b.Spec.MinAvailable), orNotAvailable(b.Spec.MaxUnavailable),
				int64(b.Status.DisruptionsAllowed), age(b.CreationTimestamp)}
		},
	}.Kind()
}

func orNotAvailable(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

func validateDisruptionBudget(b *policyv1.PodDisruptionBudget) (errs field.ErrorList) {
	at, spec := field.NewPath("spec"), &b.Spec
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(at, internalForm(*spec), "minAvailable and maxUnavailable cannot be both set"))
	}
	if v := spec.MinAvailable; v != nil {
		errs = append(errs, intOrPercent(*v, at.Child("minAvailable"))...)
		errs = append(errs, atMost100Percent(*v, at.Child("minAvailable"))...)
	}
	if v := spec.MaxUnavailable; v != nil {
		errs = append(errs, intOrPercent(*v, at.Child("maxUnavailable"))...)
		errs = append(errs, atMost100Percent(*v, at.Child("maxUnavailable"))...)
	}
	errs = append(errs, labelSelector(spec.Selector, at.Child("selector"))...)
	if policy := spec.UnhealthyPodEvictionPolicy; policy != nil {
		errs = append(errs, oneOf(*policy, at.Child("unhealthyPodEvictionPolicy"), policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
	}
	return errs
}
