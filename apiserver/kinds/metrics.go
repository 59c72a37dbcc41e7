package kinds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// MetricsSource measures what nodes and pods use. Both answer with objects of their own, the name as the order.
type MetricsSource interface {
	NodeMetrics(ctx context.Context) ([]*metricsv1beta1.NodeMetrics, error)
	// PodMetrics is about one namespace, or all for "".
	PodMetrics(ctx context.Context, namespace string) ([]*metricsv1beta1.PodMetrics, error)
}

// Metrics are the rows of metrics.k8s.io, what `kubectl top` and the HorizontalPodAutoscaler read. In Kubernetes they are
// an API of another server, metrics-server, which not every cluster has; so they are not among All.
func Metrics(source MetricsSource) []*Kind { return []*Kind{nodeMetrics(source), podMetrics(source)} }

func nodeMetrics(source MetricsSource) *Kind {
	return Row[*metricsv1beta1.NodeMetrics]{
		Base: Kind{
			Group: metricsv1beta1.GroupName, Version: "v1beta1", Kind: "NodeMetrics", Plural: "nodes", Virtual: true,
			Verbs: []string{"get", "list"},
			Compute: func(ctx context.Context, _ string) ([]Object, error) {
				return asObjects(source.NodeMetrics(ctx))
			},
		},
		New:     func() *metricsv1beta1.NodeMetrics { return &metricsv1beta1.NodeMetrics{} },
		NewList: func() runtime.Object { return &metricsv1beta1.NodeMetricsList{} },
		Columns: metricsColumns(),
		Cells: func(m *metricsv1beta1.NodeMetrics) []any {
			return []any{m.Name, m.Usage.Cpu().String(), m.Usage.Memory().String(), m.Window.Duration.String()}
		},
	}.Kind()
}

func podMetrics(source MetricsSource) *Kind {
	return Row[*metricsv1beta1.PodMetrics]{
		Base: Kind{
			Group: metricsv1beta1.GroupName, Version: "v1beta1", Kind: "PodMetrics", Plural: "pods", Namespaced: true, Virtual: true,
			Verbs: []string{"get", "list"},
			Compute: func(ctx context.Context, namespace string) ([]Object, error) {
				return asObjects(source.PodMetrics(ctx, namespace))
			},
		},
		New:     func() *metricsv1beta1.PodMetrics { return &metricsv1beta1.PodMetrics{} },
		NewList: func() runtime.Object { return &metricsv1beta1.PodMetricsList{} },
		Columns: metricsColumns(),
		Cells: func(m *metricsv1beta1.PodMetrics) []any {
			sum := corev1.ResourceList{}
			for _, container := range m.Containers {
				for name, quantity := range container.Usage {
					quantity.Add(sum[name])
					sum[name] = quantity
				}
			}
			return []any{m.Name, sum.Cpu().String(), sum.Memory().String(), m.Window.Duration.String()}
		},
	}.Kind()
}

func asObjects[T Object](list []T, err error) ([]Object, error) {
	objects := make([]Object, len(list))
	for i := range list {
		objects[i] = list[i]
	}
	return objects, err
}

func metricsColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: "Name of the resource"},
		{Name: "cpu", Type: "quantity", Format: "quantity"},
		{Name: "memory", Type: "quantity", Format: "quantity"},
		{Name: "Window", Type: "duration", Format: "duration"},
	}
}
