package kinds

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func role() *Kind {
	return Row[*rbacv1.Role]{
		Base: Kind{
			Group: rbacv1.GroupName, Version: "v1", Kind: "Role", Plural: "roles", Singular: "role", Namespaced: true,
			ValidateName: path.ValidatePathSegmentName, AllowCreateOnUpdate: true, UnconditionalUpdate: true,
		},
		New:              func() *rbacv1.Role { return &rbacv1.Role{} },
		NewList:          func() runtime.Object { return &rbacv1.RoleList{} },
		PrepareForCreate: func(r *rbacv1.Role) { noneIfEmpty(&r.Rules) },
		PrepareForUpdate: func(r, _ *rbacv1.Role) { noneIfEmpty(&r.Rules) },
		Validate:         func(r *rbacv1.Role) field.ErrorList { return validatePolicyRules(r.Rules, true) },
		ValidateUpdate:   func(r, _ *rbacv1.Role) field.ErrorList { return validatePolicyRules(r.Rules, true) },
		Columns:          createdAtColumns(),
		Cells:            func(r *rbacv1.Role) []any { return createdAtCells(r) },
	}.Kind()
}

func validatePolicyRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	errs, verbs := policyRules(rules, namespaced)
	return append(errs, verbs...)
}

// policyRules checks the rules of a role: each is about resources, or about paths, and paths are cluster-wide. That a rule
// has verbs is declared in the API's types, and such checks come last, so what they find is apart.
func policyRules(rules []rbacv1.PolicyRule, namespaced bool) (errs, verbs field.ErrorList) {
	for i, rule := range rules {
		at := field.NewPath("rules").Index(i)
		if len(rule.Verbs) == 0 {
			verbs = append(verbs, field.Required(at.Child("verbs"), ""))
		}
		urls := at.Child("nonResourceURLs")
		if len(rule.NonResourceURLs) > 0 {
			if namespaced {
				errs = append(errs, field.Invalid(urls, rule.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
			}
			if len(rule.APIGroups)+len(rule.Resources)+len(rule.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(urls, rule.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(rule.APIGroups) == 0 {
			errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(rule.Resources) == 0 {
			errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs, verbs
}
