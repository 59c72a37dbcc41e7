package horizontalpodautoscaler_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
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
	"kubette/controllers/replicaset"
)

// load is what each pod uses, in thousandths of a processor.
type load struct {
	mu    sync.Mutex
	value int64
	c     *controllertest.Cluster
}

func (l *load) set(value int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = value
}

func (l *load) metrics(context.Context, string, labels.Selector) (map[string]horizontalpodautoscaler.PodMetrics, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use := map[string]horizontalpodautoscaler.PodMetrics{}
	for _, pod := range controllertest.List[*corev1.Pod](l.c, "default") {
		use[pod.Name] = horizontalpodautoscaler.PodMetrics{Timestamp: time.Now(), Window: 15 * time.Second,
			Containers: map[string]corev1.ResourceList{"main": {corev1.ResourceCPU: *resource.NewMilliQuantity(l.value, resource.DecimalSI)}}}
	}
	return use, nil
}

func start(t *testing.T, replicas int32, change func(*autoscalingv2.HorizontalPodAutoscalerSpec)) (*controllertest.Cluster, *load) {
	l := &load{value: 50}
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{replicaset.New(base), horizontalpodautoscaler.New(base, l.metrics)}
	})
	l.c = c
	template := controllertest.Template("web", "nginx")
	template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	controllertest.Create(c, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To(replicas), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template}})
	c.ReadyAll("default")
	c.Pass(10 * time.Minute)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web"}, MinReplicas: ptr.To(int32(1)), MaxReplicas: 10,
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(50))}}}},
	}}
	if change != nil {
		change(&hpa.Spec)
	}
	controllertest.Create(c, hpa)
	c.Settle()
	return c, l
}

func size(c *controllertest.Cluster) int32 {
	return *controllertest.Get[*appsv1.ReplicaSet](c, "default", "web").Spec.Replicas
}

// period passes until the next look, with all pods ready and long running before.
func period(c *controllertest.Cluster) {
	c.ReadyAll("default")
	c.Pass(15 * time.Second)
	c.Settle()
}

func TestScaleUpAndDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := start(t, 2, nil)
		if got := size(c); got != 2 {
			t.Errorf("at the target: %d", got)
		}
		l.set(54)
		period(c)
		if got := size(c); got != 2 {
			t.Errorf("within the tolerance: %d", got)
		}
		l.set(90) // 180 % of the target: 3.6 pods
		period(c)
		if got := size(c); got != 4 {
			t.Errorf("above the target: %d", got)
		}
		if got := c.Events("HorizontalPodAutoscaler", "web"); !slices.Contains(got, "SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target") {
			t.Errorf("events are %v", got)
		}
		l.set(10)
		period(c)
		if got := size(c); got != 4 {
			t.Errorf("scaled down at once: %d", got)
		}
		for range 21 {
			period(c)
		}
		if got := size(c); got != 1 {
			t.Errorf("after the stabilisation window: %d", got)
		}
		hpa := controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](c, "default", "web")
		if hpa.Status.CurrentMetrics[0].Resource.Current.AverageUtilization == nil || *hpa.Status.CurrentMetrics[0].Resource.Current.AverageUtilization != 10 {
			t.Errorf("status is %+v", hpa.Status)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := start(t, 4, func(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
			s.MinReplicas, s.MaxReplicas = ptr.To(int32(3)), 6
			s.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp:   &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 60}}},
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(int32(0)), Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 5, PeriodSeconds: 60}}},
			}
		})
		l.set(100)
		period(c)
		if got := size(c); got != 5 {
			t.Errorf("one pod a minute: %d", got)
		}
		period(c)
		if got := size(c); got != 5 {
			t.Errorf("not two in a minute: %d", got)
		}
		c.Pass(3 * time.Minute)
		for range 5 {
			period(c)
		}
		if got := size(c); got != 6 {
			t.Errorf("no more than the maximum: %d", got)
		}
		l.set(1)
		c.Pass(6 * time.Minute)
		period(c)
		if got := size(c); got != 3 {
			t.Errorf("no less than the minimum: %d", got)
		}
	})
}

func TestMissingRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, 1, func(s *autoscalingv2.HorizontalPodAutoscalerSpec) { s.Metrics[0].Resource.Name = corev1.ResourceMemory })
		hpa := controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](c, "default", "web")
		at := slices.IndexFunc(hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
			return c.Type == autoscalingv2.ScalingActive
		})
		if at < 0 || hpa.Status.Conditions[at].Reason != "FailedGetResourceMetric" {
			t.Errorf("conditions are %+v", hpa.Status.Conditions)
		}
	})
}

// What was observed is told with the rest of the status, and so not while there is no target.
func TestObservedGenerationAndScaledToZero(t *testing.T) {
	for name, test := range map[string]struct {
		target     string
		observed   *int64
		conditions []string
	}{
		"no target": {"none", nil, []string{"AbleToScale False FailedGetScale"}},
		"scaled up": {"web", ptr.To(int64(1)), []string{"AbleToScale True SucceededRescale", "ScaledToZero False NotScaledToZero"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := start(t, 1, func(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
					s.ScaleTargetRef.Name, s.MinReplicas = test.target, ptr.To(int32(2))
				})
				hpa := controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](c, "default", "web")
				if diff := cmp.Diff(test.observed, hpa.Status.ObservedGeneration); diff != "" {
					t.Errorf("observed generation (-want +got):\n%s", diff)
				}
				var got []string
				for _, condition := range hpa.Status.Conditions {
					got = append(got, fmt.Sprintf("%s %s %s", condition.Type, condition.Status, condition.Reason))
				}
				if diff := cmp.Diff(test.conditions, got); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
			})
		})
	}
}
