package kinds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// standardResource says whether Kubernetes itself gives the name a meaning, in containers or in quotas.
func standardResource(name corev1.ResourceName) bool {
	return standardQuotaResource(name) || name == corev1.ResourceStorage
}

// standardQuotaResource says whether the name is one that a quota can count without a prefix.
func standardQuotaResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage,
		corev1.ResourceRequestsEphemeralStorage, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourceLimitsEphemeralStorage, corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices,
		corev1.ResourceReplicationControllers, corev1.ResourceSecrets, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceConfigMaps, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return hugePages(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// standardContainerResource says whether a container can ask for the resource by its plain name.
func standardContainerResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return hugePages(name)
}

func hugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// nativeResource says whether the name is Kubernetes' own: without a prefix, or with one of kubernetes.io.
func nativeResource(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// extendedResource says whether the name is one that a node's plugins announce, such as example.com/gpu.
func extendedResource(name corev1.ResourceName) bool {
	if nativeResource(name) || strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// wholeResource says whether the resource comes in whole units only, and what a container may ask for must equal its limit.
func wholeResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return extendedResource(name)
}

// overcommittable says whether a container may be limited to more of the resource than it requests.
func overcommittable(name corev1.ResourceName) bool {
	return nativeResource(name) && !hugePages(name)
}

// resourceName checks the name of any resource.
func resourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := qualifiedName(string(name), path)
	if len(errs) == 0 && !strings.Contains(string(name), "/") && !standardResource(name) {
		return field.ErrorList{field.Invalid(path, name, "must be a standard resource type or fully qualified")}
	}
	return errs
}

// containerResourceName checks the name of a resource that a container may ask for.
func containerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := resourceName(name, path)
	switch {
	case !strings.Contains(string(name), "/"):
		if !standardContainerResource(name) {
			errs = append(errs, field.Invalid(path, name, "must be a standard resource for containers"))
		}
	case !nativeResource(name):
		if !extendedResource(name) {
			errs = append(errs, field.Invalid(path, name, "doesn't follow extended resource name standard"))
		}
	}
	return errs
}

// quotaResourceName checks the name of a resource that a quota may count. What it counts is written as count/RESOURCE or
// by one of the standard names.
func quotaResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := resourceName(name, path)
	if !strings.Contains(string(name), "/") && !standardQuotaResource(name) {
		errs = append(errs, field.Invalid(path, name, "must be a standard resource for quota"))
	}
	return errs
}

// resourceQuantity checks an amount of a resource: not negative, and whole where the resource is not divisible.
func resourceQuantity(name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	errs := nonNegativeQuantity(q, path)
	if wholeResource(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, q, "must be an integer"))
	}
	return errs
}

// resourceClaims is what a pod claims by name (dynamic resource allocation).
type resourceClaims map[string]bool

// validateResources checks what a container asks for and is limited to.
func validateResources(r *corev1.ResourceRequirements, claims resourceClaims, path *field.Path) field.ErrorList {
	return validateRequirements(r, containerResourceName, claims, path)
}

func validateRequirements(r *corev1.ResourceRequirements, validName func(corev1.ResourceName, *field.Path) field.ErrorList,
	claims resourceClaims, path *field.Path,
) (errs field.ErrorList) {
	limits, requests := path.Child("limits"), path.Child("requests")
	pages, cpuOrMemory := false, false
	check := func(name corev1.ResourceName, q resource.Quantity, key *field.Path) {
		errs = append(errs, validName(name, key)...)
		errs = append(errs, resourceQuantity(name, q, key)...)
		pages = pages || hugePages(name)
		cpuOrMemory = cpuOrMemory || name == corev1.ResourceCPU || name == corev1.ResourceMemory
	}
	for _, name := range sortedNames(r.Limits) {
		key := limits.Key(string(name))
		check(name, r.Limits[name], key)
		errs = append(errs, hugePageQuantity(name, r.Limits[name], key)...)
	}
	for _, name := range sortedNames(r.Requests) {
		key := requests.Key(string(name))
		check(name, r.Requests[name], key)
		errs = append(errs, requestWithinLimit(name, r.Requests[name], r.Limits, path)...)
		errs = append(errs, hugePageQuantity(name, r.Requests[name], key)...)
	}
	if pages && !cpuOrMemory {
		errs = append(errs, field.Forbidden(path, "HugePages require cpu or memory"))
	}
	return append(errs, validateContainerClaims(r.Claims, claims, path.Child("claims"))...)
}

// requestWithinLimit: a request may be lower than the limit where the resource can be promised to several, and must equal
// it where not.
func requestWithinLimit(name corev1.ResourceName, request resource.Quantity, limits corev1.ResourceList, path *field.Path) field.ErrorList {
	limit, limited := limits[name]
	switch at := path.Child("requests"); {
	case !limited && !overcommittable(name):
		return field.ErrorList{field.Required(path.Child("limits"), "Limit must be set for non overcommitable resources")}
	case limited && request.Cmp(limit) != 0 && !overcommittable(name):
		return field.ErrorList{field.Invalid(at, request.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))}
	case limited && request.Cmp(limit) > 0:
		return field.ErrorList{field.Invalid(at, request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))}
	}
	return nil
}

// hugePageQuantity checks that an amount of huge pages is a whole number of them.
func hugePageQuantity(name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	if !hugePages(name) {
		return nil
	}
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 || size.MilliValue()%1000 != 0 || q.Value()%size.Value() != 0 {
		return field.ErrorList{field.Invalid(path, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), name))}
	}
	return nil
}

// validateContainerClaims checks which of its pod's claims a container uses: each once, as a whole or by its requests.
func validateContainerClaims(claims []corev1.ResourceClaim, known resourceClaims, path *field.Path) (errs field.ErrorList) {
	for i, claim := range claims {
		at := path.Index(i)
		if claim.Name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		whole := slices.ContainsFunc(claims[:i], func(c corev1.ResourceClaim) bool { return c.Name == claim.Name && c.Request == "" })
		again := slices.Contains(claims[:i], claim)
		part := claim.Request == "" && slices.ContainsFunc(claims[:i], func(c corev1.ResourceClaim) bool { return c.Name == claim.Name })
		if !whole && claim.Request != "" {
			errs = append(errs, dnsLabel(claim.Request, at.Child("request"))...)
		}
		switch {
		case whole || part:
			errs = append(errs, field.Duplicate(at, claim.Name))
		case again:
			errs = append(errs, field.Duplicate(at, claim.Name+"/"+claim.Request))
		}
		if !known[claim.Name] {
			missing := field.NotFound(at, claim.Name)
			missing.Detail = "must be one of the names in pod.spec.resourceClaims"
			if len(known) == 0 {
				missing.Detail += " which is empty"
			} else {
				missing.Detail += ": " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			}
			errs = append(errs, missing)
		}
	}
	return errs
}
