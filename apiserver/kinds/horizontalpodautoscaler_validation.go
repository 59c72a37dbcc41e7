package kinds

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateAutoscalerCreate(a *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	return validateAutoscaler(a, nil)
}

// validateAutoscaler checks an autoscaler. The limits of single numbers are declared in the API's types, and such checks
// come last.
func validateAutoscaler(a, old *autoscalingv2.HorizontalPodAutoscaler) (errs field.ErrorList) {
	at, spec := field.NewPath("spec"), &a.Spec
	most := at.Child("maxReplicas")
	if spec.MinReplicas != nil && spec.MaxReplicas < *spec.MinReplicas {
		errs = append(errs, field.Invalid(most, spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	target := at.Child("scaleTargetRef")
	errs = append(errs, crossVersionReference(spec.ScaleTargetRef, target)...)
	if ref := spec.ScaleTargetRef; old == nil || old.Spec.ScaleTargetRef.APIVersion != ref.APIVersion || old.Spec.ScaleTargetRef.Kind != ref.Kind {
		errs = append(errs, groupVersion(spec.ScaleTargetRef, false, target)...)
	}
	errs = append(errs, validateMetrics(spec, at.Child("metrics"))...)
	if behavior := spec.Behavior; behavior != nil {
		errs = append(errs, validateScalingRules(behavior.ScaleUp, at.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateScalingRules(behavior.ScaleDown, at.Child("behavior", "scaleDown"))...)
	}
	if spec.MinReplicas != nil && *spec.MinReplicas < 0 {
		errs = append(errs, field.Invalid(at.Child("minReplicas"), *spec.MinReplicas, "must be greater than or equal to 0"))
	}
	switch {
	case spec.MaxReplicas == 0:
		errs = append(errs, field.Required(most, ""))
	case spec.MaxReplicas < 1:
		errs = append(errs, field.Invalid(most, spec.MaxReplicas, "must be greater than or equal to 1"))
	}
	return errs
}

func crossVersionReference(ref autoscalingv2.CrossVersionObjectReference, at *field.Path) field.ErrorList {
	return append(pathSegment(ref.Kind, at.Child("kind")), pathSegment(ref.Name, at.Child("name"))...)
}

// groupVersion checks the API version of what is scaled or measured. What is scaled has a group: only replication
// controllers, which are in the core, have none.
func groupVersion(ref autoscalingv2.CrossVersionObjectReference, core bool, at *field.Path) field.ErrorList {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err == nil && gv.Group == "" && !core && ref.Kind != "ReplicationController" {
		err = fmt.Errorf("apiVersion must specify API group")
	}
	if err != nil {
		return field.ErrorList{field.Invalid(at.Child("apiVersion"), ref.APIVersion, err.Error())}
	}
	return nil
}

func validateMetrics(spec *autoscalingv2.HorizontalPodAutoscalerSpec, at *field.Path) (errs field.ErrorList) {
	outside := false
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		errs = append(errs, validateMetric(m, at.Index(i))...)
		outside = outside || m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	}
	if spec.MinReplicas != nil && *spec.MinReplicas == 0 && !outside {
		errs = append(errs, field.Forbidden(at, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

var metricTypes = []autoscalingv2.MetricSourceType{
	autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType, autoscalingv2.ObjectMetricSourceType,
	autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
}

// validateMetric checks that a metric says of one type what that type needs, and nothing of another.
func validateMetric(m *autoscalingv2.MetricSpec, at *field.Path) (errs field.ErrorList) {
	if m.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), "must specify a metric source type"))
	}
	unknown := oneOf(m.Type, at.Child("type"), metricTypes...)
	errs = append(errs, unknown...)
	sources := []struct {
		typ   autoscalingv2.MetricSourceType
		name  string
		set   bool
		valid func(at *field.Path) field.ErrorList
	}{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(at *field.Path) field.ErrorList { return validateObjectMetric(m.Object, at) }},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(at *field.Path) field.ErrorList { return validateExternalMetric(m.External, at) }},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(at *field.Path) field.ErrorList { return validatePodsMetric(m.Pods, at) }},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(at *field.Path) field.ErrorList {
			return append(required(string(m.Resource.Name), at.Child("name"), "must specify a resource name"), validateUsage(m.Resource.Target, at.Child("target"))...)
		}},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(at *field.Path) field.ErrorList {
			return validateContainerMetric(m.ContainerResource, at)
		}},
	}
	present := 0
	for _, s := range sources {
		if s.set {
			if present++; present == 1 {
				errs = append(errs, s.valid(at.Child(s.name))...)
			}
		}
	}
	for _, s := range sources {
		if s.typ == m.Type && !s.set {
			errs = append(errs, field.Required(at.Child(s.name), "must populate information for the given metric source"))
		}
	}
	errs = append(errs, unknown...) // Kubernetes looks twice
	for _, s := range sources {
		if present != 1 && s.set && s.typ != m.Type {
			errs = append(errs, field.Forbidden(at.Child(s.name), "must populate the given metric source only"))
		}
	}
	return errs
}

func validateObjectMetric(m *autoscalingv2.ObjectMetricSource, at *field.Path) field.ErrorList {
	errs := crossVersionReference(m.DescribedObject, at.Child("describedObject"))
	errs = append(errs, groupVersion(m.DescribedObject, true, at.Child("describedObject"))...)
	errs = append(errs, metricName(m.Metric.Name, at.Child("metric", "name"))...)
	errs = append(errs, validateMetricTarget(m.Target, at.Child("target"))...)
	if m.Target.Value == nil && m.Target.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func validateExternalMetric(m *autoscalingv2.ExternalMetricSource, at *field.Path) field.ErrorList {
	errs := metricName(m.Metric.Name, at.Child("metric", "name"))
	errs = append(errs, validateMetricTarget(m.Target, at.Child("target"))...)
	switch {
	case m.Target.Value == nil && m.Target.AverageValue == nil:
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target"))
	case m.Target.Value != nil && m.Target.AverageValue != nil:
		errs = append(errs, field.Forbidden(at.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func validatePodsMetric(m *autoscalingv2.PodsMetricSource, at *field.Path) field.ErrorList {
	errs := metricName(m.Metric.Name, at.Child("metric", "name"))
	errs = append(errs, validateMetricTarget(m.Target, at.Child("target"))...)
	if m.Target.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

func validateContainerMetric(m *autoscalingv2.ContainerResourceMetricSource, at *field.Path) (errs field.ErrorList) {
	if name := at.Child("name"); m.Name == "" {
		errs = append(errs, field.Required(name, "must specify a resource name"))
	} else {
		errs = append(errs, containerResourceName(m.Name, name)...)
	}
	if container := at.Child("container"); m.Container == "" {
		errs = append(errs, field.Required(container, "must specify a container"))
	} else {
		errs = append(errs, dnsLabel(m.Container, container)...)
	}
	return append(errs, validateUsage(m.Target, at.Child("target"))...)
}

// validateUsage checks how much of a resource is wanted: an amount, or a part of what is requested.
func validateUsage(target autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	errs := validateMetricTarget(target, at)
	switch {
	case target.AverageUtilization == nil && target.AverageValue == nil:
		errs = append(errs, field.Required(at.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case target.AverageUtilization != nil && target.AverageValue != nil:
		errs = append(errs, field.Forbidden(at.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateMetricTarget(target autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	errs := required(string(target.Type), at.Child("type"), "must specify a metric target type")
	switch target.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		errs = append(errs, field.Invalid(at.Child("type"), target.Type, "must be either Utilization, Value, or AverageValue"))
	}
	if target.Value != nil && target.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(at.Child("value"), target.Value, "must be positive"))
	}
	if target.AverageValue != nil && target.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(at.Child("averageValue"), target.AverageValue, "must be positive"))
	}
	if target.AverageUtilization != nil && *target.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(at.Child("averageUtilization"), target.AverageUtilization, "must be greater than 0"))
	}
	return errs
}

func metricName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "must specify a metric name")}
	}
	return invalid(at, name, path.IsValidPathSegmentName(name))
}

func validateScalingRules(rules *autoscalingv2.HPAScalingRules, at *field.Path) (errs field.ErrorList) {
	const longestWindow = 3600
	if rules == nil {
		return nil
	}
	if window := rules.StabilizationWindowSeconds; window != nil && *window < 0 {
		errs = append(errs, field.Invalid(at.Child("stabilizationWindowSeconds"), window, "must be greater than or equal to zero"))
	} else if window != nil && *window > longestWindow {
		errs = append(errs, field.Invalid(at.Child("stabilizationWindowSeconds"), window, fmt.Sprintf("must be less than or equal to %v", longestWindow)))
	}
	if rules.SelectPolicy != nil {
		errs = append(errs, oneOf(*rules.SelectPolicy, at.Child("selectPolicy"), autoscalingv2.DisabledPolicySelect,
			autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	}
	policies := at.Child("policies")
	if len(rules.Policies) == 0 {
		errs = append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i, p := range rules.Policies {
		errs = append(errs, validateScalingPolicy(p, policies.Index(i))...)
	}
	if rules.Tolerance != nil {
		errs = append(errs, nonNegativeQuantity(*rules.Tolerance, at.Child("tolerance"))...)
	}
	return errs
}

func validateScalingPolicy(p autoscalingv2.HPAScalingPolicy, at *field.Path) field.ErrorList {
	const longestPeriod = 1800
	errs := oneOf(p.Type, at.Child("type"), autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)
	if p.Value <= 0 {
		errs = append(errs, field.Invalid(at.Child("value"), p.Value, "must be greater than zero"))
	}
	if p.PeriodSeconds <= 0 {
		errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, "must be greater than zero"))
	}
	if p.PeriodSeconds > longestPeriod {
		errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", longestPeriod)))
	}
	return errs
}

func validateAutoscalerStatus(a, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	return nonNegativeCounts(field.NewPath("status"),
		count{"currentReplicas", int64(a.Status.CurrentReplicas)}, count{"desiredReplicas", int64(a.Status.DesiredReplicas)})
}
