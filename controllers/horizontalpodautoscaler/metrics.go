package horizontalpodautoscaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

const (
	defaultTolerance  = 0.1             // --horizontal-pod-autoscaler-tolerance
	cpuInitialization = 5 * time.Minute // --horizontal-pod-autoscaler-cpu-initialization-period
	initialReadiness  = 30 * time.Second
)

// propose works out the number of replicas for each metric and returns the highest, with the metric's name. Metrics that
// cannot be read do not matter as long as another asks for more pods.
func (r *run) propose(ctx context.Context) (int32, string, error) {
	if err := r.checkSelector(ctx); err != nil {
		return 0, "", err
	}
	var (
		best    int32 = -1
		name    string
		first   error
		message string
		reason  string
		failed  int
	)
	// As in Kubernetes a metric that cannot be read has its place in the status, without a type.
	r.hpa.Status.CurrentMetrics = make([]autoscalingv2.MetricStatus, len(r.hpa.Spec.Metrics))
	for i, spec := range r.hpa.Spec.Metrics {
		replicas, metric, status, err := r.proposeFor(ctx, spec)
		if err != nil {
			if failed++; first == nil {
				first, message, reason = fmt.Errorf("%s%w", about(spec), err), err.Error(), reasonOf(spec)
			}
			r.Events.Event(r.hpa, corev1.EventTypeWarning, reasonOf(spec), "%v", err)
			continue
		}
		r.hpa.Status.CurrentMetrics[i] = status
		if replicas > best {
			best, name = replicas, metric
		}
	}
	// With a metric missing, the others may only ask for more: fewer pods could be wrong.
	if failed > 0 && (best < 0 || best < r.target.replicas) {
		r.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, reason, "the HPA was unable to compute the replica count: %s", message)
		return 0, "", fmt.Errorf("invalid metrics (%v invalid out of %v), first error is: %w", failed, len(r.hpa.Spec.Metrics), first)
	}
	r.condition(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from %s", name)
	return best, name, nil
}

// checkSelector refuses to count pods that another autoscaler's target selects too: the two would work against each other.
func (r *run) checkSelector(ctx context.Context) error {
	pods := r.pods.List(r.hpa.Namespace, r.target.selector)
	var selecting []string
	for _, other := range r.autoscalers.List(r.hpa.Namespace, nil) {
		theirs, err := (&run{Controller: r.Controller, hpa: other}).findTarget(ctx)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return theirs.selector.Matches(labels.Set(pod.Labels)) }) {
			selecting = append(selecting, controllers.Key(other))
		}
	}
	if len(selecting) < 2 {
		return nil
	}
	slices.Sort(selecting)
	err := fmt.Errorf("pods by selector %v are controlled by more than one HPA (e.g. %v)", r.target.selector, selecting[:2])
	r.Events.Event(r.hpa, corev1.EventTypeWarning, "AmbiguousSelector", "%v", err)
	r.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, "AmbiguousSelector", "%v", err)
	return err
}

// proposeFor works out what one metric asks for. An error tells what could not be read; about(spec) begins its sentence.
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
	return 0, "", autoscalingv2.MetricStatus{}, noAdapter(r.hpa.Namespace, spec)
}

// metric is a resource that is measured, of whole pods or of one of their containers.
type metric struct {
	name      corev1.ResourceName
	container string
	target    autoscalingv2.MetricTarget
	words     string
}

func (m metric) String() string {
	if m.target.AverageValue != nil {
		return fmt.Sprintf("%s resource", m.name)
	}
	return fmt.Sprintf("%s %s utilization (percentage of request)", m.name, m.words)
}

// compute works out how many replicas one metric asks for.
func (r *run) compute(ctx context.Context, m metric) (int32, autoscalingv2.MetricValueStatus, error) {
	kind := "utilization"
	switch {
	case m.target.AverageValue != nil:
		kind = "usage"
	case m.target.AverageUtilization == nil:
		return 0, autoscalingv2.MetricValueStatus{}, errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	}
	replicas, value, err := r.computeFrom(ctx, m)
	if err != nil {
		return 0, value, fmt.Errorf("failed to get %s %s: %w", m.name, kind, err)
	}
	return replicas, value, nil
}

func (r *run) computeFrom(ctx context.Context, m metric) (int32, autoscalingv2.MetricValueStatus, error) {
	var value autoscalingv2.MetricValueStatus
	uses, err := r.sort(ctx, m)
	if err != nil {
		return 0, value, err
	}
	goal := goal{average: ptr.Deref(m.target.AverageValue, resource.Quantity{}), utilization: m.target.AverageUtilization}
	if m.target.AverageValue != nil {
		goal.utilization = nil
	} else if goal.requests, err = requestsOf(uses.pods, m); err != nil {
		return 0, value, err
	}
	ratio, err := goal.compare(uses.ready)
	if err != nil {
		return 0, value, err
	}
	value.AverageValue = quantityOf(m.name, ratio.average)
	if goal.utilization != nil {
		value.AverageUtilization = &ratio.utilization
	}
	replicas, err := uses.replicas(goal, ratio, r.target.replicas, r.tolerance)
	return replicas, value, err
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
	pods    []*corev1.Pod
	ready   map[string]int64
	unready []string // too young, or not started: their use is not typical
	missing []string // nothing was measured
}

// sort reads the use of the target's pods.
func (r *run) sort(ctx context.Context, m metric) (*uses, error) {
	measured, err := r.metrics(ctx, r.hpa.Namespace, r.target.selector)
	switch {
	case err != nil:
		return nil, fmt.Errorf("unable to get metrics for resource %s: unable to fetch metrics from resource metrics API: %w", m.name, err)
	case len(measured) == 0:
		return nil, fmt.Errorf("unable to get metrics for resource %s: no metrics returned from resource metrics API", m.name)
	}
	u := &uses{pods: r.pods.List(r.hpa.Namespace, r.target.selector), ready: map[string]int64{}}
	if len(u.pods) == 0 {
		return nil, errors.New("no pods returned by selector while calculating replica count")
	}
	for _, pod := range u.pods {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed {
			continue
		}
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
		return nil, errors.New("did not receive metrics for targeted pods (pods might be unready)")
	}
	return u, nil
}

func (m metric) of(pod PodMetrics) (use int64, known bool) {
	for name, resources := range pod.Containers {
		if m.container != "" && name != m.container {
			continue
		}
		quantity, ok := resources[m.name]
		if !ok {
			return 0, false
		}
		use, known = use+quantity.MilliValue(), true
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

// replicas turns the ratio into a number of pods. Pods of which nothing is known are taken to use what would dampen the
// change: nothing when there is to be more, all that they may when there is to be less.
func (u *uses) replicas(goal goal, found ratio, current int32, tolerated func(float64) bool) (int32, error) {
	withUnready := len(u.unready) > 0 && found.of > 1
	if len(u.missing) == 0 && !withUnready {
		if tolerated(found.of) {
			return current, nil
		}
		return int32(math.Ceil(found.of * float64(len(u.ready)))), nil
	}
	all := maps.Clone(u.ready)
	for _, pod := range u.missing {
		switch {
		case found.of < 1:
			all[pod] = goal.full(pod)
		case found.of > 1:
			all[pod] = 0
		}
	}
	if withUnready {
		for _, pod := range u.unready {
			all[pod] = 0
		}
	}
	damped, err := goal.compare(all)
	if err != nil {
		return 0, err
	}
	if tolerated(damped.of) || found.of < 1 && damped.of > 1 || found.of > 1 && damped.of < 1 {
		return current, nil
	}
	wanted := int32(math.Ceil(damped.of * float64(len(all))))
	if damped.of < 1 && wanted > current || damped.of > 1 && wanted < current {
		return current, nil
	}
	return wanted, nil
}
