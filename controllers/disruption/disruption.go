package disruption

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "disruption-controller"
	// EventSource is the controller's name in events.
	EventSource = "controllermanager"

	// deletionTimeout is how long an evicted pod may take to be deleted before its disruption is taken back.
	deletionTimeout = 2 * time.Minute
)

// Controller keeps the status of all budgets.
type Controller struct {
	controllers.Base
	budgets     client.Informer[*policyv1.PodDisruptionBudget]
	pods        client.Informer[*corev1.Pod]
	sets        client.Informer[*appsv1.ReplicaSet]
	deployments client.Informer[*appsv1.Deployment]
	stateful    client.Informer[*appsv1.StatefulSet]
	rcs         client.Informer[*corev1.ReplicationController]
	loop        *loop.Loop[task]
}

// task is a budget, or a pod whose mark as a target of a disruption may be stale.
type task struct {
	key string
	pod bool
}

// String is the key as the trace shows it.
func (t task) String() string { return t.key }

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:        base,
		budgets:     client.InformerFor[*policyv1.PodDisruptionBudget](base.Informers),
		pods:        client.InformerFor[*corev1.Pod](base.Informers),
		sets:        client.InformerFor[*appsv1.ReplicaSet](base.Informers),
		deployments: client.InformerFor[*appsv1.Deployment](base.Informers),
		stateful:    client.InformerFor[*appsv1.StatefulSet](base.Informers),
		rcs:         client.InformerFor[*corev1.ReplicationController](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.budgets.Handle(client.Handler[*policyv1.PodDisruptionBudget]{
		Add: func(b *policyv1.PodDisruptionBudget) {
			c.loop.Add(budgetTask(b), controllers.Cause("poddisruptionbudgets", b, "added"))
		},
		Update: func(old, b *policyv1.PodDisruptionBudget) {
			if old.ResourceVersion != b.ResourceVersion {
				c.loop.Add(budgetTask(b), controllers.Cause("poddisruptionbudgets", b, "changed"))
			}
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) {
			c.podChanged(pod, "added")
			c.awaitStale(pod)
		},
		Update: func(old, pod *corev1.Pod) {
			c.awaitStale(pod)
			relabelled := !maps.Equal(old.Labels, pod.Labels)
			if relabelled {
				c.podChanged(old, "relabelled")
			}
			if relabelled || controllers.IsReady(old) != controllers.IsReady(pod) || controllers.IsActive(old) != controllers.IsActive(pod) {
				c.podChanged(pod, "changed")
			}
		},
		Delete: func(pod *corev1.Pod) { c.podChanged(pod, "deleted") },
	})
	c.watchScales()
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func budgetTask(budget *policyv1.PodDisruptionBudget) task { return task{key: controllers.Key(budget)} }

func (c *Controller) podChanged(pod *corev1.Pod, what string) {
	var budgets []*policyv1.PodDisruptionBudget
	for _, budget := range c.budgets.List(pod.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			budgets = append(budgets, budget)
		}
	}
	if len(budgets) > 1 {
		slices.SortFunc(budgets, func(a, b *policyv1.PodDisruptionBudget) int { return strings.Compare(a.Name, b.Name) })
		c.Events.Event(pod, corev1.EventTypeWarning, "MultiplePodDisruptionBudgets",
			"Pod %q/%q matches multiple PodDisruptionBudgets.  Chose %q arbitrarily.", pod.Namespace, pod.Name, budgets[0].Name)
	}
	for _, budget := range budgets { // all of them, where Kubernetes counts for the chosen one only
		if delay := controllers.BatchDelay(int(budget.Status.ExpectedPods)); delay > 0 {
			c.loop.AddAfter(budgetTask(budget), delay, controllers.Cause("pods", pod, what))
		} else {
			c.loop.Add(budgetTask(budget), controllers.Cause("pods", pod, what))
		}
	}
}

func (c *Controller) awaitStale(pod *corev1.Pod) {
	if left, marked := staleIn(pod); marked {
		c.loop.AddAfter(task{key: controllers.Key(pod), pod: true}, left, controllers.Cause("pods", pod, "is a target of a disruption"))
	}
}

// Reconcile counts the pods of a budget into its status, or takes a stale mark off a pod.
func (c *Controller) Reconcile(ctx context.Context, t task) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(t.key)
	if err != nil {
		return 0, err
	}
	if t.pod {
		return c.unmark(ctx, namespace, name)
	}
	budget, ok := c.budgets.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		return 0, fmt.Errorf("selector of %s: %w", t.key, err)
	}
	pods := c.pods.List(namespace, selector)
	if len(pods) == 0 {
		c.Events.Event(budget, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	expected, desired, err := c.wanted(ctx, budget, pods)
	if err != nil {
		c.Events.Event(budget, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
		return 0, c.failSafe(ctx, budget, err)
	}
	disrupted, again := c.disrupted(budget, pods)
	healthy := 0
	for _, pod := range pods {
		if _, evicted := disrupted[pod.Name]; !evicted && pod.DeletionTimestamp == nil && controllers.IsReady(pod) {
			healthy++
		}
	}
	loop.Say(ctx, "Budget", "healthy", healthy, "desired", desired, "expected", expected)
	return again, c.write(ctx, budget, healthy, desired, expected, disrupted)
}

// wanted is how many pods there should be, and how many of them must be healthy.
func (c *Controller) wanted(ctx context.Context, budget *policyv1.PodDisruptionBudget, pods []*corev1.Pod) (expected, desired int, err error) {
	spec := budget.Spec
	if spec.MaxUnavailable == nil && (spec.MinAvailable == nil || spec.MinAvailable.Type == intstr.Int) {
		if spec.MinAvailable != nil {
			desired = spec.MinAvailable.IntValue()
		}
		return len(pods), desired, nil
	}
	expected, unmanaged, err := c.expected(ctx, pods)
	if err != nil {
		return 0, 0, err
	}
	if len(unmanaged) > 0 {
		c.Events.Event(budget, corev1.EventTypeWarning, "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: %v) were found "+
			"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
			"To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.", spec.Selector)
	}
	if spec.MaxUnavailable != nil {
		unavailable, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, expected, true)
		return expected, max(expected-unavailable, 0), err
	}
	desired, err = intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, expected, true)
	return expected, desired, err
}

// disrupted are the pods whose eviction was granted and which are not on their way out yet. It also says when the first of
// them is overdue.
func (c *Controller) disrupted(budget *policyv1.PodDisruptionBudget, pods []*corev1.Pod) (map[string]metav1.Time, time.Duration) {
	var again time.Duration
	var kept map[string]metav1.Time
	for _, pod := range pods {
		since, ok := budget.Status.DisruptedPods[pod.Name]
		if !ok || pod.DeletionTimestamp != nil {
			continue
		}
		left := time.Until(since.Add(deletionTimeout))
		if left <= 0 {
			c.Events.Event(pod, corev1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't",
				budget.Namespace, budget.Namespace) // Kubernetes, too, says the namespace twice
			continue
		}
		if kept == nil {
			kept = map[string]metav1.Time{}
		}
		kept[pod.Name] = since
		again = controllers.Sooner(again, left)
	}
	return kept, again
}

func (c *Controller) write(ctx context.Context, budget *policyv1.PodDisruptionBudget, healthy, desired, expected int, disrupted map[string]metav1.Time) error {
	allowed := max(healthy-desired, 0)
	if expected <= 0 {
		allowed = 0
	}
	changed := budget.DeepCopy()
	changed.Status.CurrentHealthy, changed.Status.DesiredHealthy = int32(healthy), int32(desired)
	changed.Status.ExpectedPods, changed.Status.DisruptionsAllowed = int32(expected), int32(allowed)
	changed.Status.DisruptedPods, changed.Status.ObservedGeneration = disrupted, budget.Generation
	condition := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: budget.Generation}
	if allowed > 0 {
		condition.Status, condition.Reason = metav1.ConditionTrue, policyv1.SufficientPodsReason
	}
	meta.SetStatusCondition(&changed.Status.Conditions, condition)
	return c.update(ctx, budget, changed)
}

// failSafe allows no disruption while it is not known how many there may be, which only another change can tell.
func (c *Controller) failSafe(ctx context.Context, budget *policyv1.PodDisruptionBudget, cause error) error {
	changed := budget.DeepCopy()
	changed.Status.DisruptionsAllowed = 0
	meta.SetStatusCondition(&changed.Status.Conditions, metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse,
		Reason: policyv1.SyncFailedReason, Message: cause.Error(), ObservedGeneration: budget.Status.ObservedGeneration})
	return c.update(ctx, budget, changed)
}

func (c *Controller) update(ctx context.Context, budget, changed *policyv1.PodDisruptionBudget) error {
	if equality.Semantic.DeepEqual(budget.Status, changed.Status) {
		return nil
	}
	_, err := client.Of[*policyv1.PodDisruptionBudget](c.Client).UpdateStatus(ctx, changed)
	return controllers.IgnoreNotFound(err)
}
