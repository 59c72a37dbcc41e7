package kinds

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"
)

// podResources checks what a pod as a whole asks for and is limited to: enough for its containers.
func (c *specCheck) podResources(path *field.Path) (errs field.ErrorList) {
	r := c.spec.Resources
	if r == nil {
		return nil
	}
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(path.Child("claims"), "claims cannot be set for Resources at pod-level"))
	}
	errs = append(errs, validateRequirements(r, podResourceName, nil, path)...)
	asked := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *c.spec}, resourcehelper.PodResourcesOptions{})
	for _, name := range sortedNames(asked) {
		sum, given := asked[name], r.Requests[name]
		if resourcehelper.IsSupportedPodLevelResource(name) && sum.Cmp(given) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests").Key(string(name)), given.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", sum.String())))
		}
	}
	for i := range c.spec.Containers {
		limits := c.spec.Containers[i].Resources.Limits
		for _, name := range sortedNames(limits) {
			limit, most := limits[name], resource.Quantity{}
			if q, ok := r.Limits[name]; ok {
				most = q
			} else {
				continue
			}
			if limit.Cmp(most) > 0 {
				errs = append(errs, field.Invalid(path.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", most.String())))
			}
		}
	}
	return errs
}

// podResourceName checks the name of a resource that a pod as a whole may ask for.
func podResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if errs := resourceName(name, path); len(errs) > 0 {
		return errs
	}
	if !resourcehelper.IsSupportedPodLevelResource(name) {
		return field.ErrorList{field.NotSupported(path, name, slices.Sorted(slices.Values(resourcehelper.SupportedPodLevelResources().UnsortedList())))}
	}
	return nil
}
