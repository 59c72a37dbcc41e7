package horizontalpodautoscaler

import (
	"context"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "horizontal-pod-autoscaler-controller"
	// EventSource is the controller's name in events.
	EventSource = "horizontal-pod-autoscaler"

	workers = 5                // Kubernetes' default
	period  = 15 * time.Second // --horizontal-pod-autoscaler-sync-period
)

// PodMetrics is what a pod's containers have used on average over a window of time.
type PodMetrics struct {
	Timestamp  time.Time
	Window     time.Duration
	Containers map[string]corev1.ResourceList
}

// Metrics reads the use of the pods of a namespace that a selector matches, by pod name: what metrics-server answers in
// Kubernetes.
type Metrics func(ctx context.Context, namespace string, selector labels.Selector) (map[string]PodMetrics, error)

// Controller scales all targets.
type Controller struct {
	controllers.Base
	metrics     Metrics
	autoscalers client.Informer[*autoscalingv2.HorizontalPodAutoscaler]
	pods        client.Informer[*corev1.Pod]
	history     history
	loop        *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base, metrics Metrics) *Controller {
	c := &Controller{
		Base: base, metrics: metrics,
		autoscalers: client.InformerFor[*autoscalingv2.HorizontalPodAutoscaler](base.Informers),
		pods:        client.InformerFor[*corev1.Pod](base.Informers),
	}
	for _, use := range targetKinds {
		use.informer(base.Informers)
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, MinBackoff: period, MaxBackoff: period, Machine: base.Machine})
	c.autoscalers.Handle(client.Handler[*autoscalingv2.HorizontalPodAutoscaler]{
		Add: func(h *autoscalingv2.HorizontalPodAutoscaler) {
			c.loop.Add(controllers.Key(h), controllers.Cause("horizontalpodautoscalers", h, "added"))
		},
		Update: func(old, h *autoscalingv2.HorizontalPodAutoscaler) {
			if !equality.Semantic.DeepEqual(old.Spec, h.Spec) {
				c.loop.Add(controllers.Key(h), controllers.Cause("horizontalpodautoscalers", h, "changed"))
			}
		},
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// run is one autoscaler while it is reconciled.
type run struct {
	*Controller
	key    string
	hpa    *autoscalingv2.HorizontalPodAutoscaler // a copy of our own; its status is what will be written
	target target
}

// Reconcile scales one target, reports, and comes back after the period.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	shared, ok := c.autoscalers.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone")
		c.history.forget(key)
		return 0, nil
	}
	r := &run{Controller: c, key: key, hpa: shared.DeepCopy()}
	scaleErr := r.scale(ctx)
	if !equality.Semantic.DeepEqual(shared.Status, r.hpa.Status) {
		_, err := client.Of[*autoscalingv2.HorizontalPodAutoscaler](c.Client).UpdateStatus(ctx, r.hpa)
		if controllers.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) { // the next period reports again
			return 0, err
		}
	}
	return period, scaleErr
}

// scale observes, compares and acts.
func (r *run) scale(ctx context.Context) error {
	var err error
	if r.target, err = r.findTarget(ctx); err != nil {
		r.condition(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the HPA controller was unable to get the target's current scale: %v", err)
		r.Events.Event(r.hpa, corev1.EventTypeWarning, "FailedGetScale", "%v", err)
		return err
	}
	r.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	r.hpa.Status.ObservedGeneration = ptr.To(r.hpa.Generation) // with the rest of the status: not while there is no target
	current, least, most := r.target.replicas, ptr.Deref(r.hpa.Spec.MinReplicas, 1), r.hpa.Spec.MaxReplicas
	r.hpa.Status.CurrentReplicas, r.hpa.Status.CurrentMetrics = current, nil
	r.history.begin(r.key, current)

	desired, reason := current, ""
	switch {
	case current == 0 && least != 0:
		r.hpa.Status.DesiredReplicas = 0
		r.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return nil
	case current > most:
		desired, reason = most, "Current number of replicas above Spec.MaxReplicas"
	case current < least:
		desired, reason = least, "Current number of replicas below Spec.MinReplicas"
	default:
		proposal, metric, err := r.propose(ctx)
		if err != nil {
			r.Events.Event(r.hpa, corev1.EventTypeWarning, "FailedComputeMetricsReplicas", "%v", err)
			return err
		}
		desired = r.limit(proposal)
		loop.Say(ctx, "Proposal", "current", current, "proposed", proposal, "desired", desired, "metric", metric)
		if reason = "All metrics below target"; desired > current {
			reason = metric + " above target"
		}
	}
	if desired != current {
		if err := r.rescale(ctx, desired, reason); err != nil {
			return err
		}
	}
	r.hpa.Status.DesiredReplicas = desired
	return nil
}

func (r *run) rescale(ctx context.Context, desired int32, reason string) error {
	loop.Say(ctx, "Rescale", "from", r.target.replicas, "to", desired, "reason", reason)
	if err := r.target.set(ctx, desired); err != nil {
		r.Events.Event(r.hpa, corev1.EventTypeWarning, "FailedRescale", "New size: %d; reason: %s; error: %v", desired, reason, err)
		r.condition(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale", "the HPA controller was unable to update the target scale: %v", err)
		return fmt.Errorf("failed to rescale %s: %w", r.hpa.Spec.ScaleTargetRef.Name, err)
	}
	r.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededRescale", "the HPA controller was able to update the target scale to %d", desired)
	r.Events.Event(r.hpa, corev1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", desired, reason)
	// Only Object and External metrics scale to zero, and kubette has none of them.
	r.condition(autoscalingv2.ScaledToZero, corev1.ConditionFalse, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	r.history.scaled(r.key, desired-r.target.replicas)
	r.hpa.Status.LastScaleTime = ptr.To(metav1.Now())
	return nil
}
