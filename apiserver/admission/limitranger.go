package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	resourcehelper "k8s.io/component-helpers/resource"

	"kubette/apiserver"
)

// LimitRanger applies a namespace's limit ranges: it fills in what containers request and are limited to where they say
// nothing, and refuses what is outside the range.
type LimitRanger struct{}

func (LimitRanger) Name() string { return "LimitRanger" }

const limitRangerAnnotation = "kubernetes.io/limit-ranger"

func limitRanges(r *apiserver.AdmissionRequest) []*corev1.LimitRange {
	var ranges []*corev1.LimitRange
	for _, object := range r.Cluster.List("", "limitranges", r.Attributes.Namespace) {
		if limits, ok := object.(*corev1.LimitRange); ok && limits.DeletionTimestamp == nil {
			ranges = append(ranges, limits)
		}
	}
	return ranges
}

func (LimitRanger) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := newPod(r)
	if !ok {
		return nil
	}
	for _, limits := range limitRanges(r) {
		defaults := containerDefaults(limits)
		var set []string
		for i := range pod.Spec.Containers {
			set = append(set, fillIn(&pod.Spec.Containers[i], defaults, "container ")...)
		}
		for i := range pod.Spec.InitContainers {
			set = append(set, fillIn(&pod.Spec.InitContainers[i], defaults, "init container ")...)
		}
		if len(set) > 0 {
			if pod.Annotations == nil {
				pod.Annotations = map[string]string{}
			}
			pod.Annotations[limitRangerAnnotation] = "LimitRanger plugin set: " + strings.Join(set, "; ")
		}
	}
	return nil
}

func containerDefaults(limits *corev1.LimitRange) corev1.ResourceRequirements {
	defaults := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, item := range limits.Spec.Limits {
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		for name, q := range item.DefaultRequest {
			defaults.Requests[name] = q.DeepCopy()
		}
		for name, q := range item.Default {
			defaults.Limits[name] = q.DeepCopy()
		}
	}
	return defaults
}

// fillIn completes a container, and says what it set.
func fillIn(c *corev1.Container, defaults corev1.ResourceRequirements, what string) []string {
	var said []string
	for _, part := range []struct {
		word string
		into *corev1.ResourceList
		from corev1.ResourceList
	}{{"request", &c.Resources.Requests, defaults.Requests}, {"limit", &c.Resources.Limits, defaults.Limits}} {
		var set []string
		for name, q := range part.from {
			if _, there := (*part.into)[name]; there {
				continue
			}
			if *part.into == nil {
				*part.into = corev1.ResourceList{}
			}
			(*part.into)[name] = q.DeepCopy()
			set = append(set, string(name))
		}
		if len(set) > 0 {
			slices.Sort(set)
			said = append(said, fmt.Sprintf("%s %s for %s%s", strings.Join(set, ", "), part.word, what, c.Name))
		}
	}
	return said
}

func (LimitRanger) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	var errs []error
	switch object := r.Object.(type) {
	case *corev1.Pod:
		if _, ok := newPod(r); !ok && !resizes(r) {
			return nil
		}
		for _, limits := range limitRanges(r) {
			errs = append(errs, podOutside(limits, object)...)
		}
	case *corev1.PersistentVolumeClaim:
		if !of(r, "", "persistentvolumeclaims") || r.Operation == remove {
			return nil
		}
		for _, limits := range limitRanges(r) {
			errs = append(errs, claimOutside(limits, object)...)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return forbidden(r, utilerrors.NewAggregate(errs))
}

func claimOutside(limits *corev1.LimitRange, claim *corev1.PersistentVolumeClaim) []error {
	var errs []error
	for _, item := range limits.Spec.Limits {
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		for name, q := range item.Min {
			errs = append(errs, belowMin(item.Type, name, q, claim.Spec.Resources.Requests, nil)...)
		}
		for name, q := range item.Max {
			request, there := claim.Spec.Resources.Requests[name]
			switch {
			case !there:
				errs = append(errs, fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", name, item.Type, q.String()))
			case request.Cmp(q) > 0:
				errs = append(errs, fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, item.Type, q.String(), request.String()))
			}
		}
	}
	return errs
}

func podOutside(limits *corev1.LimitRange, pod *corev1.Pod) []error {
	var errs []error
	for _, item := range limits.Spec.Limits {
		switch item.Type {
		case corev1.LimitTypeContainer:
			eachContainer(&pod.Spec, func(c *corev1.Container) {
				errs = append(errs, outside(item, c.Resources.Requests, c.Resources.Limits)...)
			})
		case corev1.LimitTypePod:
			requests, sum := podSums(pod)
			errs = append(errs, outside(item, requests, sum)...)
		}
	}
	return errs
}

func outside(item corev1.LimitRangeItem, requests, limits corev1.ResourceList) []error {
	var errs []error
	for _, name := range sortedNames(item.Min) {
		errs = append(errs, belowMin(item.Type, name, item.Min[name], requests, limits)...)
	}
	for _, name := range sortedNames(item.Max) {
		errs = append(errs, aboveMax(item.Type, name, item.Max[name], requests, limits)...)
	}
	for _, name := range sortedNames(item.MaxLimitRequestRatio) {
		errs = append(errs, aboveRatio(item.Type, name, item.MaxLimitRequestRatio[name], requests, limits)...)
	}
	return errs
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	var names []corev1.ResourceName
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func belowMin(typ corev1.LimitType, name corev1.ResourceName, least resource.Quantity, requests, limits corev1.ResourceList) []error {
	request, requested := requests[name]
	limit, limited := limits[name]
	switch {
	case !requested:
		return []error{fmt.Errorf("minimum %s usage per %s is %s.  No request is specified", name, typ, least.String())}
	case request.Cmp(least) < 0:
		return []error{fmt.Errorf("minimum %s usage per %s is %s, but request is %s", name, typ, least.String(), request.String())}
	case limited && limit.Cmp(least) < 0:
		return []error{fmt.Errorf("minimum %s usage per %s is %s, but limit is %s", name, typ, least.String(), limit.String())}
	}
	return nil
}

func aboveMax(typ corev1.LimitType, name corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) []error {
	request, requested := requests[name]
	limit, limited := limits[name]
	switch {
	case !limited:
		return []error{fmt.Errorf("maximum %s usage per %s is %s.  No limit is specified", name, typ, most.String())}
	case limit.Cmp(most) > 0:
		return []error{fmt.Errorf("maximum %s usage per %s is %s, but limit is %s", name, typ, most.String(), limit.String())}
	case requested && request.Cmp(most) > 0:
		return []error{fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, typ, most.String(), request.String())}
	}
	return nil
}

func aboveRatio(typ corev1.LimitType, name corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) []error {
	request, requested := requests[name]
	limit, limited := limits[name]
	switch {
	case !requested || request.IsZero():
		return []error{fmt.Errorf("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", name, typ, most.String())}
	case !limited || limit.IsZero():
		return []error{fmt.Errorf("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", name, typ, most.String())}
	}
	ratio := limit.AsApproximateFloat64() / request.AsApproximateFloat64()
	if ratio > most.AsApproximateFloat64() {
		return []error{fmt.Errorf("%s max limit to request ratio per %s is %s, but provided ratio is %f", name, typ, most.String(), ratio)}
	}
	return nil
}

// podSums are what a pod requests and is limited to as a whole.
func podSums(pod *corev1.Pod) (requests, limits corev1.ResourceList) {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}), resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
}
