package kinds

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func clusterRole() *Kind {
	return Row[*rbacv1.ClusterRole]{
		Base: Kind{
			Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRole", Plural: "clusterroles", Singular: "clusterrole",
			ValidateName: path.ValidatePathSegmentName, AllowCreateOnUpdate: true, UnconditionalUpdate: true,
		},
		New:              func() *rbacv1.ClusterRole { return &rbacv1.ClusterRole{} },
		NewList:          func() runtime.Object { return &rbacv1.ClusterRoleList{} },
		PrepareForCreate: func(r *rbacv1.ClusterRole) { noneIfEmpty(&r.Rules) },
		PrepareForUpdate: func(r, _ *rbacv1.ClusterRole) { noneIfEmpty(&r.Rules) },
		Validate:         validateClusterRole,
		ValidateUpdate:   func(r, _ *rbacv1.ClusterRole) field.ErrorList { return validateClusterRole(r) },
		Columns:          createdAtColumns(),
		Cells:            func(r *rbacv1.ClusterRole) []any { return createdAtCells(r) },
	}.Kind()
}

func validateClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs, verbs := policyRules(r.Rules, false)
	if r.AggregationRule == nil {
		return append(errs, verbs...)
	}
	selectors := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		errs = append(errs, field.Required(selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		selector, at := &r.AggregationRule.ClusterRoleSelectors[i], selectors.Index(i)
		errs = append(errs, labelSelector(selector, at)...)
		if matcher, err := metav1.LabelSelectorAsSelector(selector); err != nil {
			errs = append(errs, field.Invalid(at, matcher, "invalid label selector."))
		}
	}
	return append(errs, verbs...)
}
