package kinds

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What the kinds that make pods from a template have in common.

// validateSelector checks the selector of a kind that needs one. ok is false when it cannot be used to match anything.
func validateSelector(selector *metav1.LabelSelector, ifEmpty, ifBroken string, path *field.Path) (matcher labels.Selector, ok bool, errs field.ErrorList) {
	if selector == nil {
		errs = append(errs, field.Required(path, ""))
	} else {
		errs = append(errs, labelSelector(selector, path)...)
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(path, selector, ifEmpty))
		}
	}
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, false, append(errs, field.Invalid(path, selector, ifBroken))
	}
	return matcher, true, errs
}

// validateSelectorAndTemplate checks the selector and the template of a spec whose pods run for ever.
func validateSelectorAndTemplate(selector *metav1.LabelSelector, ifEmpty, ifBroken string, template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	matcher, ok, errs := validateSelector(selector, ifEmpty, ifBroken, path.Child("selector"))
	if !ok {
		return errs
	}
	return append(errs, validateServingTemplate(template, matcher, "ReplicaSet", path.Child("template"))...)
}

// validateServingTemplate checks a template whose pods run for ever, with the selector of what makes them.
func validateServingTemplate(template *corev1.PodTemplateSpec, matcher labels.Selector, kind string, path *field.Path) (errs field.ErrorList) {
	if !matcher.Empty() {
		errs = templateMatches(template, matcher, path)
	}
	errs = append(errs, validatePodTemplate(template, path)...)
	return append(errs, runsForever(&template.Spec, kind, path.Child("spec"))...)
}

// templateMatches refuses a template whose pods their own maker would not recognise.
func templateMatches(template *corev1.PodTemplateSpec, matcher labels.Selector, path *field.Path) field.ErrorList {
	if matcher.Matches(labels.Set(template.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`")}
}

// runsForever refuses what would let a pod end that is kept running.
func runsForever(spec *corev1.PodSpec, kind string, path *field.Path) (errs field.ErrorList) {
	if spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(path.Child("restartPolicy"), spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(path.Child("activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

// validateRollingUpdate checks how many pods a rollout may take away and add at once: not nothing of both.
func validateRollingUpdate(unavailable, surge *intstr.IntOrString, path *field.Path) field.ErrorList {
	var none intstr.IntOrString
	if unavailable == nil {
		unavailable = &none
	}
	if surge == nil {
		surge = &none
	}
	errs := intOrPercent(*unavailable, path.Child("maxUnavailable"))
	errs = append(errs, intOrPercent(*surge, path.Child("maxSurge"))...)
	if intOrPercentZero(*unavailable) && intOrPercentZero(*surge) {
		errs = append(errs, field.Invalid(path.Child("maxUnavailable"), *unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, atMost100Percent(*unavailable, path.Child("maxUnavailable"))...)
}

// scaleSelector is a selector in the form that the scale subresource shows.
func scaleSelector(selector *metav1.LabelSelector) string {
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return ""
	}
	return matcher.String()
}
