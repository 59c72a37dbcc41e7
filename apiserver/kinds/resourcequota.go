package kinds

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func resourceQuota() *Kind {
	return Row[*corev1.ResourceQuota]{
		Base: Kind{
			Version: "v1", Kind: "ResourceQuota", Plural: "resourcequotas", Singular: "resourcequota", ShortNames: []string{"quota"},
			Namespaced: true, UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *corev1.ResourceQuota { return &corev1.ResourceQuota{} },
		NewList: func() runtime.Object { return &corev1.ResourceQuotaList{} },
		Default: func(q *corev1.ResourceQuota) {
			for _, list := range []corev1.ResourceList{q.Spec.Hard, q.Status.Hard, q.Status.Used} {
				roundUp(list)
			}
		},
		PrepareForCreate: func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} },
		PrepareForUpdate: func(q, old *corev1.ResourceQuota) { q.Status = old.Status },
		Validate:         validateResourceQuota,
		ValidateUpdate: func(q, old *corev1.ResourceQuota) field.ErrorList {
			errs := validateResourceQuota(q)
			if now, before := q.Spec.Scopes, old.Spec.Scopes; !sameScopes(now, before) {
				errs = append(errs, field.Invalid(field.NewPath("spec", "scopes"), now, apivalidation.FieldImmutableErrorMsg))
			}
			return errs
		},
		HasStatus:      true,
		PrepareStatus:  func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec },
		ValidateStatus: validateQuotaStatus,
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Request", "string", "Request represents a minimum amount of cpu/memory that a container may consume."),
			column("Limit", "string", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
			ageColumn(),
		},
		Cells: quotaCells,
	}.Kind()
}

func sameScopes(a, b []corev1.ResourceQuotaScope) bool {
	sorted := func(s []corev1.ResourceQuotaScope) []corev1.ResourceQuotaScope {
		s = slices.Clone(s)
		slices.Sort(s)
		return slices.Compact(s)
	}
	return slices.Equal(sorted(a), sorted(b))
}

func validateResourceQuota(q *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateQuotaAmounts(q.Spec.Hard, path.Child("hard"))
	errs = append(errs, validateQuotaScopes(&q.Spec, path.Child("scopes"))...)
	if q.Spec.ScopeSelector != nil {
		errs = append(errs, validateScopeSelector(&q.Spec, path.Child("scopeSelector", "matchExpressions"))...)
	}
	return errs
}

func validateQuotaAmounts(list corev1.ResourceList, path *field.Path) (errs field.ErrorList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		at := path.Key(string(name))
		errs = append(errs, quotaResourceName(name, at)...)
		errs = append(errs, resourceQuantity(name, list[name], at)...)
	}
	return errs
}

func validateQuotaScopes(spec *corev1.ResourceQuotaSpec, path *field.Path) (errs field.ErrorList) {
	refuse := func(message string) { errs = append(errs, field.Invalid(path, spec.Scopes, message)) }
	for _, scope := range spec.Scopes {
		if !knownScope(scope) {
			refuse("unsupported scope")
		}
		for range resourcesOutside(scope, spec.Hard) {
			refuse("unsupported scope applied to resource")
		}
	}
	for range conflictingScopes(spec.Scopes) {
		refuse("conflicting scopes")
	}
	return errs
}

func validateScopeSelector(spec *corev1.ResourceQuotaSpec, path *field.Path) (errs field.ErrorList) {
	var scopes []corev1.ResourceQuotaScope
	for _, r := range spec.ScopeSelector.MatchExpressions {
		if !knownScope(r.ScopeName) {
			errs = append(errs, field.Invalid(path.Child("scopeName"), r.ScopeName, "unsupported scope"))
		}
		for range resourcesOutside(r.ScopeName, spec.Hard) {
			errs = append(errs, field.Invalid(path, internalForm(spec.ScopeSelector), "unsupported scope applied to resource"))
		}
		if r.ScopeName != corev1.ResourceQuotaScopePriorityClass && r.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass &&
			knownScope(r.ScopeName) && r.Operator != corev1.ScopeSelectorOpExists {
			errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "+
				"ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
		}
		switch r.Operator {
		case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
			if len(r.Values) == 0 {
				errs = append(errs, field.Required(path.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
			}
		case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
			if len(r.Values) != 0 {
				errs = append(errs, field.Invalid(path.Child("values"), r.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
			}
		default:
			errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator"))
		}
		scopes = append(scopes, r.ScopeName)
	}
	for range conflictingScopes(scopes) {
		errs = append(errs, field.Invalid(path, spec.Scopes, "conflicting scopes"))
	}
	return errs
}

func knownScope(scope corev1.ResourceQuotaScope) bool {
	switch scope {
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
		corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopePriorityClass,
		corev1.ResourceQuotaScopeCrossNamespacePodAffinity, corev1.ResourceQuotaScopeVolumeAttributesClass:
		return true
	}
	return false
}

// resourcesOutside are the counted resources that a scope says nothing about: pods without requests have none to count,
// and only claims have a class of attributes.
func resourcesOutside(scope corev1.ResourceQuotaScope, hard corev1.ResourceList) (outside []corev1.ResourceName) {
	for _, name := range slices.Sorted(maps.Keys(hard)) {
		within := true
		switch scope {
		case corev1.ResourceQuotaScopeBestEffort:
			within = name == corev1.ResourcePods
		case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeNotBestEffort,
			corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			within = podResource(name)
		case corev1.ResourceQuotaScopeVolumeAttributesClass:
			within = name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
		}
		if standardQuotaResource(name) && !within {
			outside = append(outside, name)
		}
	}
	return outside
}

func podResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceRequestsCPU,
		corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage, corev1.ResourceLimitsCPU,
		corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage:
		return true
	}
	return false
}

func conflictingScopes(scopes []corev1.ResourceQuotaScope) (pairs [][2]corev1.ResourceQuotaScope) {
	for _, pair := range [][2]corev1.ResourceQuotaScope{
		{corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort},
		{corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating},
	} {
		if slices.Contains(scopes, pair[0]) && slices.Contains(scopes, pair[1]) {
			pairs = append(pairs, pair)
		}
	}
	return pairs
}

func validateQuotaStatus(q, _ *corev1.ResourceQuota) (errs field.ErrorList) {
	if q.ResourceVersion == "" {
		errs = append(errs, field.Required(field.NewPath("resourceVersion"), ""))
	}
	errs = append(errs, validateQuotaAmounts(q.Status.Hard, field.NewPath("status", "hard"))...)
	return append(errs, validateQuotaAmounts(q.Status.Used, field.NewPath("status", "used"))...)
}

func quotaCells(q *corev1.ResourceQuota) []any {
	var requests, limits bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		to := &requests
		if strings.Contains(string(name), "limits") {
			to = &limits
		}
		fmt.Fprintf(to, "%s: %s/%s, ", name, used.String(), hard.String())
	}
	return []any{q.Name, strings.TrimSuffix(requests.String(), ", "), strings.TrimSuffix(limits.String(), ", "), age(q.CreationTimestamp)}
}
