package horizontalpodautoscaler

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// What is said of a metric that cannot be read, in the words of Kubernetes' autoscaler. The use of pods and containers is
// measured by the kubelets. All other metrics come from a metrics adapter (for Prometheus, say), a server of its own that
// adds an API group to the cluster; here there is none, and a metric that needs one fails as it does in a cluster of
// Kubernetes where nobody has installed one.

// about begins what is said of a metric that cannot be read.
func about(spec autoscalingv2.MetricSpec) string {
	switch {
	case spec.Resource != nil:
		return fmt.Sprintf("failed to get %s resource metric value: ", spec.Resource.Name)
	case spec.ContainerResource != nil:
		return fmt.Sprintf("failed to get %s container metric value: ", spec.ContainerResource.Container)
	case spec.Pods != nil:
		return "failed to get pods metric value: "
	case spec.Object != nil:
		if spec.Object.Target.Type == autoscalingv2.AverageValueMetricType {
			return fmt.Sprintf("failed to get object metric value: failed to get %s object metric: ", spec.Object.Metric.Name)
		}
		return "failed to get object metric value: "
	case spec.External != nil:
		name := spec.External.Metric.Name
		if spec.External.Target.AverageValue != nil {
			return fmt.Sprintf("failed to get %s external metric value: failed to get %s external metric: ", name, name)
		}
		return fmt.Sprintf("failed to get %s external metric value: failed to get external metric %s: ", name, name)
	}
	return ""
}

// reasonOf is the reason in the event and in the condition ScalingActive.
func reasonOf(spec autoscalingv2.MetricSpec) string {
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType, autoscalingv2.ContainerResourceMetricSourceType,
		autoscalingv2.PodsMetricSourceType, autoscalingv2.ObjectMetricSourceType, autoscalingv2.ExternalMetricSourceType:
		return fmt.Sprintf("FailedGet%sMetric", spec.Type)
	}
	return "InvalidMetricSourceType"
}

// errNoCustomMetrics is what discovery says when no adapter serves the group.
var errNoCustomMetrics = errors.New("unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered")

// noAdapter is why a metric cannot be read that only an adapter knows.
func noAdapter(namespace string, spec autoscalingv2.MetricSpec) error {
	switch {
	case spec.Pods != nil:
		return fmt.Errorf("unable to get metric %s: %w", spec.Pods.Metric.Name, errNoCustomMetrics)
	case spec.Object != nil:
		object := spec.Object.DescribedObject
		return fmt.Errorf("unable to get metric %s on %s %s/%s: %w", spec.Object.Metric.Name, object.Kind, namespace, object.Name, errNoCustomMetrics)
	case spec.External != nil:
		metric := spec.External.Metric
		return fmt.Errorf("unable to get external metric %s/%s/%+v: unable to fetch metrics from external metrics API: "+
			"the server could not find the requested resource (get %s.external.metrics.k8s.io)", namespace, metric.Name, metric.Selector, metric.Name)
	}
	return fmt.Errorf("unknown metric source type %q", spec.Type)
}
