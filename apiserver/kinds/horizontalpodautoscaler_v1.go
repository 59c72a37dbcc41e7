package kinds

import (
	"encoding/json"
	"fmt"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// horizontalPodAutoscalerV1 shows the same autoscalers in the first version of the API, which knows only the CPU. It keeps
// what else there is in annotations, so that who reads and writes it loses nothing.
func horizontalPodAutoscalerV1() *Kind {
	return Row[*autoscalingv1.HorizontalPodAutoscaler]{
		Base: Kind{
			Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler", Plural: "horizontalpodautoscalers",
			Singular: "horizontalpodautoscaler", ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
			UnconditionalUpdate: true,
			Storage:             &schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"},
			ToStorage: func(object Object) (Object, error) {
				return autoscalerFromV1(object.(*autoscalingv1.HorizontalPodAutoscaler)), nil
			},
			FromStorage: func(object Object) (Object, error) {
				return autoscalerToV1(object.(*autoscalingv2.HorizontalPodAutoscaler))
			},
		},
		New:       func() *autoscalingv1.HorizontalPodAutoscaler { return &autoscalingv1.HorizontalPodAutoscaler{} },
		NewList:   func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscalerList{} },
		Default:   func(a *autoscalingv1.HorizontalPodAutoscaler) { setDefaultPointer(&a.Spec.MinReplicas, 1) },
		HasStatus: true,
		Columns:   autoscalerColumns(),
		Cells:     func(a *autoscalingv1.HorizontalPodAutoscaler) []any { return autoscalerCells(autoscalerFromV1(a)) },
	}.Kind()
}

// The annotations that carry what autoscaling/v1 has no fields for.
const (
	metricsAnnotation    = "autoscaling.alpha.kubernetes.io/metrics"
	currentAnnotation    = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsAnnotation = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorAnnotation   = "autoscaling.alpha.kubernetes.io/behavior"
)

func withoutAutoscalerAnnotations(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	for _, key := range []string{metricsAnnotation, currentAnnotation, conditionsAnnotation, behaviorAnnotation} {
		delete(kept, key)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// autoscalerFromV1 ignores annotations that it cannot read, as Kubernetes does: users can write them.
func autoscalerFromV1(a *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	v2 := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: *a.ObjectMeta.DeepCopy(),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(a.Spec.ScaleTargetRef),
			MinReplicas:    a.Spec.MinReplicas, MaxReplicas: a.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: a.Status.ObservedGeneration, LastScaleTime: a.Status.LastScaleTime,
			CurrentReplicas: a.Status.CurrentReplicas, DesiredReplicas: a.Status.DesiredReplicas,
		},
	}
	v2.Annotations = withoutAutoscalerAnnotations(v2.Annotations)
	for _, m := range annotated[[]autoscalingv1.MetricSpec](a, metricsAnnotation) {
		v2.Spec.Metrics = append(v2.Spec.Metrics, metricFromV1(m))
	}
	if percent := a.Spec.TargetCPUUtilizationPercentage; percent != nil {
		v2.Spec.Metrics = append(v2.Spec.Metrics, cpuMetric(*percent))
	}
	if len(v2.Spec.Metrics) == 0 {
		v2.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(80)}
	}
	v2.Spec.Behavior = annotated[*autoscalingv2.HorizontalPodAutoscalerBehavior](a, behaviorAnnotation)
	for _, m := range annotated[[]autoscalingv1.MetricStatus](a, currentAnnotation) {
		v2.Status.CurrentMetrics = append(v2.Status.CurrentMetrics, metricStatusFromV1(m))
	}
	if percent := a.Status.CurrentCPUUtilizationPercentage; percent != nil && len(v2.Status.CurrentMetrics) == 0 {
		v2.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type:     autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: percent}},
		}}
	}
	v2.Status.Conditions = annotated[[]autoscalingv2.HorizontalPodAutoscalerCondition](a, conditionsAnnotation)
	return v2
}

func annotated[T any](a *autoscalingv1.HorizontalPodAutoscaler, key string) (value T) {
	if err := json.Unmarshal([]byte(a.Annotations[key]), &value); err != nil {
		var none T
		return none
	}
	return value
}

func autoscalerToV1(a *autoscalingv2.HorizontalPodAutoscaler) (*autoscalingv1.HorizontalPodAutoscaler, error) {
	v1 := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: *a.ObjectMeta.DeepCopy(),
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(a.Spec.ScaleTargetRef),
			MinReplicas:    a.Spec.MinReplicas, MaxReplicas: a.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: a.Status.ObservedGeneration, LastScaleTime: a.Status.LastScaleTime,
			CurrentReplicas: a.Status.CurrentReplicas, DesiredReplicas: a.Status.DesiredReplicas,
		},
	}
	v1.Annotations = withoutAutoscalerAnnotations(v1.Annotations)
	var others []autoscalingv1.MetricSpec
	for _, m := range a.Spec.Metrics {
		if r := m.Resource; m.Type == autoscalingv2.ResourceMetricSourceType && r != nil && r.Name == corev1.ResourceCPU && r.Target.AverageUtilization != nil {
			v1.Spec.TargetCPUUtilizationPercentage = r.Target.AverageUtilization
			continue
		}
		others = append(others, metricToV1(m))
	}
	var current []autoscalingv1.MetricStatus
	for _, m := range a.Status.CurrentMetrics {
		if r := m.Resource; m.Type == autoscalingv2.ResourceMetricSourceType && r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			v1.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
		current = append(current, metricStatusToV1(m))
	}
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	for _, c := range a.Status.Conditions {
		conditions = append(conditions, autoscalingv1.HorizontalPodAutoscalerCondition{
			Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	for _, annotation := range []struct {
		key   string
		has   bool
		value any
	}{
		{metricsAnnotation, len(others) > 0, others}, {currentAnnotation, len(current) > 0, current},
		{conditionsAnnotation, len(conditions) > 0, conditions}, {behaviorAnnotation, a.Spec.Behavior != nil, internalForm(a.Spec.Behavior)},
	} {
		if err := annotate(&v1.ObjectMeta, annotation.key, annotation.has, annotation.value); err != nil {
			return nil, err
		}
	}
	return v1, nil
}

func annotate(meta *metav1.ObjectMeta, key string, has bool, value any) error {
	if !has {
		return nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write annotation %s: %w", key, err)
	}
	metav1.SetMetaDataAnnotation(meta, key, string(data))
	return nil
}
