package kinds

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func horizontalPodAutoscaler() *Kind {
	return Row[*autoscalingv2.HorizontalPodAutoscaler]{
		Base: Kind{
			Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Plural: "horizontalpodautoscalers",
			Singular: "horizontalpodautoscaler", ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
			UnconditionalUpdate: true,
		},
		New:     func() *autoscalingv2.HorizontalPodAutoscaler { return &autoscalingv2.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscalerList{} },
		Default: defaultAutoscaler,
		PrepareForCreate: func(a *autoscalingv2.HorizontalPodAutoscaler) {
			a.Generation, a.Status = 1, autoscalingv2.HorizontalPodAutoscalerStatus{}
		},
		PrepareForUpdate: func(a, old *autoscalingv2.HorizontalPodAutoscaler) {
			a.Status = old.Status
			raiseGeneration(a, old, a.Spec, old.Spec)
		},
		Validate:       validateAutoscalerCreate,
		ValidateUpdate: validateAutoscaler,
		HasStatus:      true,
		PrepareStatus:  func(a, old *autoscalingv2.HorizontalPodAutoscaler) { a.Spec = old.Spec },
		ValidateStatus: validateAutoscalerStatus,
		Columns:        autoscalerColumns(),
		Cells:          autoscalerCells,
	}.Kind()
}

// defaultAutoscaler: with nothing else to go by, an autoscaler wants pods to use 80% of the CPU that they request.
func defaultAutoscaler(a *autoscalingv2.HorizontalPodAutoscaler) {
	setDefaultPointer(&a.Spec.MinReplicas, 1)
	if len(a.Spec.Metrics) == 0 {
		a.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(80)}
	}
	behavior := a.Spec.Behavior
	if behavior == nil {
		return
	}
	setDefaultPointer(&behavior.ScaleUp, autoscalingv2.HPAScalingRules{})
	setDefaultPointer(&behavior.ScaleDown, autoscalingv2.HPAScalingRules{})
	up, down := behavior.ScaleUp, behavior.ScaleDown
	setDefaultPointer(&up.StabilizationWindowSeconds, 0)
	setDefaultPointer(&up.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if up.Policies == nil {
		up.Policies = []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
		}
	}
	setDefaultPointer(&down.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if down.Policies == nil {
		down.Policies = []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}}
	}
}

func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		},
	}
}

// autoscalerColumns have the descriptions of an API version that is no longer there.
func autoscalerColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		nameColumn(),
		column("Reference", "string", "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics "+
			"should be collected, as well as to actually change the replica count."),
		column("Targets", "string", "metrics contains the specifications for which to use to calculate the desired replica count (the "+
			"maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between "+
			"the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is "+
			"increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond. "+
			"If not set, the default metric will be set to 80% average CPU utilization."),
		column("MinPods", "string", "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It "+
			"defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object "+
			"or External metric is configured.  Scaling is active as long as at least one metric value is available."),
		column("MaxPods", "string", "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It "+
			"cannot be less that minReplicas."),
		column("Replicas", "string", "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the "+
			"autoscaler."),
		ageColumn(),
	}
}

func autoscalerCells(a *autoscalingv2.HorizontalPodAutoscaler) []any {
	least := "<unset>"
	if a.Spec.MinReplicas != nil {
		least = fmt.Sprint(*a.Spec.MinReplicas)
	}
	return []any{a.Name, a.Spec.ScaleTargetRef.Kind + "/" + a.Spec.ScaleTargetRef.Name, metricsCell(a.Spec.Metrics, a.Status.CurrentMetrics),
		least, int64(a.Spec.MaxReplicas), int64(a.Status.CurrentReplicas), age(a.CreationTimestamp)}
}

// metricsCell writes what is and what is wanted of the first two metrics: cpu: 12%/80%.
func metricsCell(wanted []autoscalingv2.MetricSpec, current []autoscalingv2.MetricStatus) string {
	var all []string
	for i := range wanted {
		var now autoscalingv2.MetricStatus
		if i < len(current) {
			now = current[i]
		}
		all = append(all, metricCell(&wanted[i], &now))
	}
	switch {
	case len(all) == 0:
		return "<none>"
	case len(all) > 2:
		return fmt.Sprintf("%s + %d more...", strings.Join(all[:2], ", "), len(all)-2)
	}
	return strings.Join(all, ", ")
}

func metricCell(m *autoscalingv2.MetricSpec, now *autoscalingv2.MetricStatus) string {
	var value autoscalingv2.MetricValueStatus
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		if now.External != nil {
			value = now.External.Current
		}
		return valueOrAverage(m.External.Target, value)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		if now.Object != nil {
			value = now.Object.Current
		}
		return valueOrAverage(m.Object.Target, value)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		if now.Pods != nil {
			value = now.Pods.Current
		}
		return quantityOrUnknown(value.AverageValue) + "/" + m.Pods.Target.AverageValue.String()
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		if now.Resource != nil {
			value = now.Resource.Current
		}
		return utilization(m.Resource.Name, m.Resource.Target, value)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		if now.ContainerResource != nil {
			value = now.ContainerResource.Current
		}
		return utilization(m.ContainerResource.Name, m.ContainerResource.Target, value)
	}
	return "<unknown type>"
}

func valueOrAverage(target autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if target.AverageValue != nil {
		return fmt.Sprintf("%s/%s (avg)", quantityOrUnknown(now.AverageValue), target.AverageValue)
	}
	return fmt.Sprintf("%s/%s", quantityOrUnknown(now.Value), target.Value)
}

func utilization(name corev1.ResourceName, target autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if target.AverageValue != nil {
		return fmt.Sprintf("%s: %s/%s", name, quantityOrUnknown(now.AverageValue), target.AverageValue)
	}
	percent := func(n *int32, otherwise string) string {
		if n == nil {
			return otherwise
		}
		return fmt.Sprintf("%d%%", *n)
	}
	return fmt.Sprintf("%s: %s/%s", name, percent(now.AverageUtilization, "<unknown>"), percent(target.AverageUtilization, "<auto>"))
}

func quantityOrUnknown(q *resource.Quantity) string {
	if q == nil {
		return "<unknown>"
	}
	return q.String()
}
