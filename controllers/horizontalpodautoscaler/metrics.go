package horizontalpodautoscaler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

const (
	defaultTolerance   = 0.1             // --horizontal-pod-autoscaler-tolerance
	cpuInitialization  = 5 * time.Minute // --horizontal-pod-autoscaler-cpu-initialization-period
	initialReadiness   = 30 * time.Second
	failedGetResource  = "FailedGetResourceMetric"
	failedGetContainer = "FailedGetContainerResourceMetric"
)

// propose works out the number of replicas for each metric and returns the highest, with the metric's name. Metrics that
// cannot be read do not matter as long as another asks for more pods.
func (r *run) propose(ctx context.Context) (int32, string, error) {
	var (
		best     int32 = -1
		name     string
		statuses []autoscalingv2.MetricStatus
		failure  error
		reason   string
		failed   int
	)
	for _, spec := range r.hpa.Spec.Metrics {
		replicas, metric, status, err := r.proposeFor(ctx, spec)
		if err != nil {
			if failed++; failure == nil {
				failure, reason = err, reasonOf(spec)
			}
			r.Events.Event(r.hpa, corev1.EventTypeWarning, reasonOf(spec), "%v", err)
			continue
		}
		statuses = append(statuses, status)
		if replicas > best {
			best, name = replicas, metric
		}
	}
	r.hpa.Status.CurrentMetrics = statuses
	// With a metric missing, the others may only ask for more: fewer pods could be wrong.
	if failed > 0 && (best < 0 || best < r.target.replicas) {
		r.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, reason, "the HPA was unable to compute the replica count: %v", failure)
		return 0, "", fmt.Errorf("invalid metrics (%v invalid out of %v), first error is: %w", failed, len(r.hpa.Spec.Metrics), failure)
	}
	r.condition(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from %s", name)
	return best, name, nil
}

func reasonOf(spec autoscalingv2.MetricSpec) string {
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType:
		return failedGetResource
	case autoscalingv2.ContainerResourceMetricSourceType:
		return failedGetContainer
	}
	return "InvalidMetricSourceType"
}

func (r *run) proposeFor(ctx context.Context, spec autoscalingv2.MetricSpec) (int32, string, autoscalingv2.MetricStatus, error) {
	switch {
	case spec.Type == autoscalingv2.ResourceMetricSourceType && spec.Resource != nil:
		m := metric{name: spec.Resource.Name, target: spec.Resource.Target, words: "resource"}
		replicas, value, err := r.compute(ctx, m)
		return replicas, m.String(), autoscalingv2.MetricStatus{Type: spec.Type, Resource: &autoscalingv2.ResourceMetricStatus{Name: m.name, Current: value}}, err
	case spec.Type == autoscalingv2.ContainerResourceMetricSourceType && spec.ContainerResource != nil:
		m := metric{name: spec.ContainerResource.Name, container: spec.ContainerResource.Container, target: spec.ContainerResource.Target, words: "container resource"}
		replicas, value, err := r.compute(ctx, m)
		return replicas, m.String(), autoscalingv2.MetricStatus{Type: spec.Type,
			ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{Name: m.name, Container: m.container, Current: value}}, err
	}
	return 0, "", autoscalingv2.MetricStatus{}, fmt.Errorf("metrics of type %s need a metrics adapter, which this cluster does not have", spec.Type)
}

// metric is a resource that is measured, of whole pods or of one of their containers.
type metric struct {
	name      corev1.ResourceName
	container string
	target    autoscalingv2.MetricTarget
	words     string
}

func (m metric) String() string {
	if m.target.AverageUtilization != nil {
		return fmt.Sprintf("%s %s utilization (percentage of request)", m.name, m.words)
	}
	return fmt.Sprintf("%s %s", m.name, m.words)
}

// compute works out how many replicas one metric asks for.
func (r *run) compute(ctx context.Context, m metric) (int32, autoscalingv2.MetricValueStatus, error) {
	value := autoscalingv2.MetricValueStatus{}
	uses, err := r.sort(ctx, m)
	if err != nil {
		return 0, value, err
	}
	average := ptr.Deref(m.target.AverageValue, resource.Quantity{})
	goal := func(string) (float64, error) { return float64(average.MilliValue()), nil }
	if m.target.AverageUtilization != nil {
		goal = func(pod string) (float64, error) {
			request, err := uses.request(pod, m)
			return request * float64(*m.target.AverageUtilization) / 100, err
		}
	} else if m.target.AverageValue == nil {
		return 0, value, errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	}
	ratio, err := ratioOf(uses.ready, goal)
	if err != nil {
		return 0, value, err
	}
	value = uses.status(m, ratio)
	return uses.replicas(ratio, goal, r.target.replicas, r.tolerance), value, nil
}

// tolerance is how far the ratio may be from 1 without a change.
func (r *run) tolerance(ratio float64) bool {
	up, down := defaultTolerance, defaultTolerance
	if b := r.hpa.Spec.Behavior; b != nil {
		if b.ScaleUp != nil && b.ScaleUp.Tolerance != nil {
			up = b.ScaleUp.Tolerance.AsApproximateFloat64()
		}
		if b.ScaleDown != nil && b.ScaleDown.Tolerance != nil {
			down = b.ScaleDown.Tolerance.AsApproximateFloat64()
		}
	}
	return 1-down <= ratio && ratio <= 1+up
}

// uses are the target's pods by what is known of them. Values are in thousandths.
type uses struct {
	pods    map[string]*corev1.Pod
	ready   map[string]float64
	unready []string // too young, or not started: their use is not typical
	missing []string // nothing was measured
}

// sort reads the use of the target's pods.
func (r *run) sort(ctx context.Context, m metric) (*uses, error) {
	measured, err := r.metrics(ctx, r.hpa.Namespace, r.target.selector)
	if err != nil {
		return nil, fmt.Errorf("failed to get %s %s metric value: failed to get %s utilization: unable to get metrics for resource %s: %w", m.name, m.words, m.name, m.name, err)
	}
	u := &uses{pods: map[string]*corev1.Pod{}, ready: map[string]float64{}}
	pods := r.pods.List(r.hpa.Namespace, r.target.selector)
	if len(pods) == 0 {
		return nil, errors.New("no pods returned by selector while calculating replica count")
	}
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		u.pods[pod.Name] = pod
		use, known := m.of(measured[pod.Name])
		switch {
		case pod.Status.Phase == corev1.PodPending:
			u.unready = append(u.unready, pod.Name)
		case !known:
			u.missing = append(u.missing, pod.Name)
		case m.name == corev1.ResourceCPU && tooYoung(pod, measured[pod.Name]):
			u.unready = append(u.unready, pod.Name)
		default:
			u.ready[pod.Name] = use
		}
	}
	if len(u.ready) == 0 {
		return nil, fmt.Errorf("failed to get %s utilization: did not receive metrics for targeted pods (pods might be unready)", m.name)
	}
	return u, nil
}

func (m metric) of(pod PodMetrics) (use float64, known bool) {
	for name, resources := range pod.Containers {
		if m.container != "" && name != m.container {
			continue
		}
		quantity, ok := resources[m.name]
		if !ok {
			return 0, false
		}
		use, known = use+float64(quantity.MilliValue()), true
	}
	return use, known
}

// tooYoung: what a pod uses while it starts says little about its load.
func tooYoung(pod *corev1.Pod, measured PodMetrics) bool {
	ready := controllers.PodCondition(&pod.Status, corev1.PodReady)
	if ready == nil || pod.Status.StartTime == nil {
		return true
	}
	if time.Since(pod.Status.StartTime.Time) < cpuInitialization {
		return ready.Status == corev1.ConditionFalse || measured.Timestamp.Before(ready.LastTransitionTime.Add(measured.Window))
	}
	return ready.Status == corev1.ConditionFalse && pod.Status.StartTime.Add(initialReadiness).After(ready.LastTransitionTime.Time)
}

// request is what a pod asks for.
func (u *uses) request(pod string, m metric) (float64, error) {
	sum := 0.0
	for _, container := range u.pods[pod].Spec.Containers {
		if m.container != "" && container.Name != m.container {
			continue
		}
		request, ok := container.Resources.Requests[m.name]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", m.name, container.Name, pod)
		}
		sum += float64(request.MilliValue())
	}
	return sum, nil
}

// ratioOf is use over goal, summed over pods.
func ratioOf(use map[string]float64, goal func(pod string) (float64, error)) (float64, error) {
	used, wanted := 0.0, 0.0
	for pod, amount := range use {
		aim, err := goal(pod)
		if err != nil {
			return 0, err
		}
		used, wanted = used+amount, wanted+aim
	}
	if wanted == 0 {
		return 0, errors.New("the pods request none of the resource")
	}
	return used / wanted, nil
}

// replicas turns the ratio into a number of pods. Pods of which nothing is known are taken to use what would dampen the
// change: nothing when there is to be more, all of their goal when there is to be less.
func (u *uses) replicas(ratio float64, goal func(string) (float64, error), current int32, tolerated func(float64) bool) int32 {
	more := ratio > 1
	if len(u.missing) == 0 && (len(u.unready) == 0 || !more) {
		if tolerated(ratio) {
			return current
		}
		return int32(math.Ceil(ratio * float64(len(u.ready))))
	}
	all := make(map[string]float64, len(u.pods))
	for pod, use := range u.ready {
		all[pod] = use
	}
	for _, pod := range u.missing {
		all[pod] = 0
		if !more {
			all[pod], _ = goal(pod)
		}
	}
	if more {
		for _, pod := range u.unready {
			all[pod] = 0
		}
	}
	damped, err := ratioOf(all, goal)
	if err != nil || tolerated(damped) || more != (damped > 1) {
		return current
	}
	wanted := int32(math.Ceil(damped * float64(len(all))))
	if more && wanted < current || !more && wanted > current {
		return current
	}
	return wanted
}

// status is the average use, as the autoscaler's status tells it.
func (u *uses) status(m metric, ratio float64) autoscalingv2.MetricValueStatus {
	sum := 0.0
	for _, use := range u.ready {
		sum += use
	}
	average := int64(sum / float64(len(u.ready)))
	format := resource.DecimalSI
	quantity := resource.NewMilliQuantity(average, format)
	if m.name == corev1.ResourceMemory {
		quantity = resource.NewQuantity(average/1000, resource.DecimalSI)
	}
	value := autoscalingv2.MetricValueStatus{AverageValue: quantity}
	if m.target.AverageUtilization != nil {
		value.AverageUtilization = ptr.To(int32(ratio * float64(*m.target.AverageUtilization)))
	}
	return value
}
