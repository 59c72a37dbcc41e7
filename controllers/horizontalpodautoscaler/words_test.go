package horizontalpodautoscaler_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/horizontalpodautoscaler"
)

// usage is what the pods of a test use, by pod.
type usage map[string]corev1.ResourceList

// autoscale runs an autoscaler over two old pods, web-1 and web-2, that request 100m and 64Mi each. Metrics fail with the
// error, if there is one.
func autoscale(t *testing.T, use usage, failure error, change func(*controllertest.Cluster, *autoscalingv2.HorizontalPodAutoscaler)) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{horizontalpodautoscaler.New(base, func(context.Context, string, labels.Selector) (map[string]horizontalpodautoscaler.PodMetrics, error) {
			measured := map[string]horizontalpodautoscaler.PodMetrics{}
			for pod, resources := range use {
				measured[pod] = horizontalpodautoscaler.PodMetrics{Timestamp: time.Now(), Window: 15 * time.Second, Containers: map[string]corev1.ResourceList{"main": resources}}
			}
			return measured, failure
		})}
	})
	template := controllertest.Template("web", "nginx")
	controllertest.Create(c, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template}})
	template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	for i, name := range []string{"web-1", "web-2"} {
		c.Ready(controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: template.Labels}, Spec: template.Spec}), i)
	}
	c.Pass(10 * time.Minute)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web"}, MinReplicas: ptr.To(int32(1)), MaxReplicas: 10,
		Metrics: []autoscalingv2.MetricSpec{metric(corev1.ResourceCPU, "", 50)},
	}}
	if change != nil {
		change(c, hpa)
	}
	controllertest.Create(c, hpa)
	c.Settle()
	return c
}

// metric asks for a utilization in percent, of whole pods or of one container.
func metric(name corev1.ResourceName, container string, percent int32) autoscalingv2.MetricSpec {
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}
	if container != "" {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType,
			ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: name, Container: container, Target: target}}
	}
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target}}
}

func cpu(milli int64) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI)}
}

var (
	requests      = autoscalingv2.MetricIdentifier{Name: "requests"}
	valueTarget   = autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: ptr.To(resource.MustParse("10"))}
	averageTarget = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("10"))}
)

func objectMetric(target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{Metric: requests, Target: target,
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "web"}}}
}

func externalMetric(target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: requests, Target: target}}
}

func get(c *controllertest.Cluster) *autoscalingv2.HorizontalPodAutoscaler {
	return controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](c, "default", "web")
}

// What an autoscaler says, in its condition ScalingActive and in its events, when it cannot count.
func TestWhyAnAutoscalerCannotCount(t *testing.T) {
	spec := func(change func(*autoscalingv2.HorizontalPodAutoscalerSpec)) func(*controllertest.Cluster, *autoscalingv2.HorizontalPodAutoscaler) {
		return func(_ *controllertest.Cluster, hpa *autoscalingv2.HorizontalPodAutoscaler) { change(&hpa.Spec) }
	}
	used := usage{"web-1": cpu(50), "web-2": cpu(50)}
	for name, test := range map[string]struct {
		use     usage
		failure error
		change  func(*controllertest.Cluster, *autoscalingv2.HorizontalPodAutoscaler)
		about   string // what the failure of the first metric is about
		reason  string
		why     string
	}{
		"metrics fail": {failure: errors.New("lost"), about: "cpu resource metric value: ", reason: "FailedGetResourceMetric",
			why: "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: lost"},
		"nothing is measured": {about: "cpu resource metric value: ", reason: "FailedGetResourceMetric",
			why: "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"},
		"its processors are not measured": {use: usage{"web-1": {corev1.ResourceMemory: resource.MustParse("1")}}, about: "cpu resource metric value: ", reason: "FailedGetResourceMetric",
			why: "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)"},
		"no request": {use: usage{"web-1": {"disk": resource.MustParse("1")}}, about: "disk resource metric value: ", reason: "FailedGetResourceMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0].Resource.Name = "disk" }),
			why:    "failed to get disk utilization: missing request for disk in container main of Pod web-"},
		"an average": {failure: errors.New("lost"), about: "cpu resource metric value: ", reason: "FailedGetResourceMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
				s.Metrics[0].Resource.Target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("1"))}
			}),
			why: "failed to get cpu usage: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: lost"},
		"a container that is not measured": {use: used, about: "side container metric value: ", reason: "FailedGetContainerResourceMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
				s.Metrics[0] = metric(corev1.ResourceCPU, "side", 50)
			}),
			why: "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)"},
		"a metric of its pods, without an adapter": {use: used, about: "pods metric value: ", reason: "FailedGetPodsMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
				s.Metrics[0] = autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: requests, Target: averageTarget}}
			}),
			why: "unable to get metric requests: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"},
		"a metric of an object, without an adapter": {use: used, about: "object metric value: ", reason: "FailedGetObjectMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0] = objectMetric(valueTarget) }),
			why:    "unable to get metric requests on Service default/web: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"},
		"an average of an object, without an adapter": {use: used, about: "object metric value: failed to get requests object metric: ", reason: "FailedGetObjectMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0] = objectMetric(averageTarget) }),
			why:    "unable to get metric requests on Service default/web: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"},
		"a metric from outside, without an adapter": {use: used, about: "requests external metric value: failed to get external metric requests: ", reason: "FailedGetExternalMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0] = externalMetric(valueTarget) }),
			why:    "unable to get external metric default/requests/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource (get requests.external.metrics.k8s.io)"},
		"an average from outside, without an adapter": {use: used, about: "requests external metric value: failed to get requests external metric: ", reason: "FailedGetExternalMetric",
			change: spec(func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0] = externalMetric(averageTarget) }),
			why:    "unable to get external metric default/requests/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource (get requests.external.metrics.k8s.io)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := autoscale(t, test.use, test.failure, test.change)
				hpa := get(c)
				i := slices.IndexFunc(hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
					return c.Type == autoscalingv2.ScalingActive
				})
				if i < 0 {
					t.Fatalf("conditions %+v", hpa.Status.Conditions)
				}
				short := func(text string) string { return trimPod(text) }
				condition := hpa.Status.Conditions[i]
				got := []string{condition.Reason, short(condition.Message)}
				for _, event := range c.Events("HorizontalPodAutoscaler", "web") {
					got = append(got, short(event))
				}
				want := []string{test.reason, "the HPA was unable to compute the replica count: " + test.why, test.reason + ": " + test.why,
					"FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get " + test.about + test.why}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if metrics := hpa.Status.CurrentMetrics; len(metrics) != 1 || metrics[0].Type != "" {
					t.Errorf("current metrics %+v, wanted one without a type", metrics)
				}
				if hpa.Status.DesiredReplicas != 0 || hpa.Status.CurrentReplicas != 2 {
					t.Errorf("status %+v", hpa.Status)
				}
			})
		})
	}
}

// trimPod cuts the number of a pod at the end: either may be the first.
func trimPod(text string) string {
	if n := len(text); n > 5 && text[n-5:n-1] == "web-" {
		return text[:n-1]
	}
	return text
}

func TestTwoAutoscalersOverTheSamePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := autoscale(t, usage{"web-1": cpu(100), "web-2": cpu(100)}, nil, func(c *controllertest.Cluster, hpa *autoscalingv2.HorizontalPodAutoscaler) {
			other := hpa.DeepCopy()
			other.Name = "api"
			other.Spec.MaxReplicas = 2
			controllertest.Create(c, other)
			c.Settle()
		})
		c.Pass(15 * time.Second)
		const why = "pods by selector app=web are controlled by more than one HPA (e.g. [default/api default/web])"
		want := []string{"AmbiguousSelector: " + why, "FailedComputeMetricsReplicas: " + why}
		if diff := cmp.Diff(want, c.Events("HorizontalPodAutoscaler", "web")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got := size(c); got != 2 {
			t.Errorf("scaled to %d", got)
		}
	})
}

// Utilization counts in whole percent. Of a pod that is not measured the most is assumed when there are to be fewer.
func TestHowUseIsCounted(t *testing.T) {
	for name, test := range map[string]struct {
		use         usage
		metric      autoscalingv2.MetricSpec
		size        int32
		utilization int32
		average     string
	}{
		"a part of a percent is cut":     {usage{"web-1": cpu(55), "web-2": cpu(56)}, metric(corev1.ResourceCPU, "", 50), 2, 55, "55m"},
		"above the tolerance":            {usage{"web-1": cpu(56), "web-2": cpu(56)}, metric(corev1.ResourceCPU, "", 50), 3, 56, "56m"},
		"memory is told in Mi":           {usage{"web-1": {corev1.ResourceMemory: resource.MustParse("32Mi")}, "web-2": {corev1.ResourceMemory: resource.MustParse("32Mi")}}, metric(corev1.ResourceMemory, "", 50), 2, 50, "32Mi"},
		"one is not measured, few used":  {usage{"web-1": cpu(1)}, metric(corev1.ResourceCPU, "", 50), 2, 1, "1m"},
		"one is not measured, much used": {usage{"web-1": cpu(200)}, metric(corev1.ResourceCPU, "", 50), 4, 200, "200m"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := autoscale(t, test.use, nil, func(_ *controllertest.Cluster, hpa *autoscalingv2.HorizontalPodAutoscaler) {
					hpa.Spec.Metrics[0] = test.metric
					hpa.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(int32(0))}}
				})
				current := get(c).Status.CurrentMetrics[0].Resource.Current
				if got := size(c); got != test.size || *current.AverageUtilization != test.utilization || current.AverageValue.String() != test.average {
					t.Errorf("size %d, utilization %d, average %s", got, *current.AverageUtilization, current.AverageValue)
				}
			})
		})
	}
}

func TestARescaleSaysThatItIsNotToZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := autoscale(t, usage{"web-1": cpu(100), "web-2": cpu(100)}, nil, nil)
		var got []string
		for _, condition := range get(c).Status.Conditions {
			got = append(got, string(condition.Type)+" "+string(condition.Status)+" "+condition.Reason+": "+condition.Message)
		}
		want := []string{
			"AbleToScale True SucceededRescale: the HPA controller was able to update the target scale to 4",
			"ScalingActive True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)",
			"ScalingLimited False DesiredWithinRange: the desired count is within the acceptable range",
			"ScaledToZero False NotScaledToZero: the HPA controller did not scale the workload to zero",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	})
}
