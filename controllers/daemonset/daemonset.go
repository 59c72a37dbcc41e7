package daemonset

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "daemonset-controller"

	workers = 2   // Kubernetes' default
	burst   = 250 // pods made or deleted in one reconciliation
)

// Controller runs the pods of all DaemonSets.
type Controller struct {
	controllers.Base
	sets      client.Informer[*appsv1.DaemonSet]
	pods      client.Informer[*corev1.Pod]
	nodes     client.Informer[*corev1.Node]
	revisions client.Informer[*appsv1.ControllerRevision]
	expected  controllers.Expectations
	failures  *flowcontrol.Backoff // of pods that fail on a node again and again
	loop      *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:      base,
		sets:      client.InformerFor[*appsv1.DaemonSet](base.Informers),
		pods:      client.InformerFor[*corev1.Pod](base.Informers),
		nodes:     client.InformerFor[*corev1.Node](base.Informers),
		revisions: client.InformerFor[*appsv1.ControllerRevision](base.Informers),
		failures:  flowcontrol.NewBackOffWithJitter(time.Second, 15*time.Minute, 0),
	}
	c.failures.Clock = clock.RealClock{}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.watch()
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile puts a DaemonSet's pods on the nodes where they should be, takes a step of its update, and reports.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	set, ok := c.sets.Get(namespace, name)
	if !ok {
		c.expected.Forget(key)
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	switch {
	case err != nil:
		return 0, fmt.Errorf("selector of %s: %w", key, err)
	case selector.Empty():
		c.Events.Event(set, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return 0, nil
	case set.DeletionTimestamp != nil:
		loop.Say(ctx, "BeingDeleted")
		return 0, nil
	}
	upToDate, wait := c.expected.Satisfied(key)
	pods, err := controllers.Claim(ctx, c.Client, c.pods, set, selector, nil)
	if err != nil {
		return 0, err
	}
	run := &placement{Controller: c, set: set, key: key, nodes: c.nodes.List("", nil), pods: byNode(pods)}
	if err := run.history(ctx, selector); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	if upToDate {
		if err = run.place(ctx); err == nil && c.quiet(key) && set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
			err = run.roll(ctx)
		}
		if err == nil {
			err = run.cleanUp(ctx)
		}
	} else {
		loop.Say(ctx, "WaitForCache")
	}
	next, reportErr := run.report(ctx)
	if err == nil {
		err = reportErr
	}
	return controllers.Sooner(controllers.Sooner(wait, next), run.retry), err
}

func (c *Controller) quiet(key string) bool {
	ok, _ := c.expected.Satisfied(key)
	return ok
}

// byNode sorts pods by the node that they are on, or meant for. One that has ended and is deleted only waits for others to
// let it go: its node lacks a pod.
func byNode(pods []*corev1.Pod) map[string][]*corev1.Pod {
	sorted := map[string][]*corev1.Pod{}
	for _, pod := range pods {
		if controllers.IsFinished(pod) && pod.DeletionTimestamp != nil {
			continue
		}
		if node := targetNode(pod); node != "" {
			sorted[node] = append(sorted[node], pod)
		}
	}
	return sorted
}
