package deployment

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces and events.
const Name = "deployment-controller"

const workers = 5 // Kubernetes' default

// Controller rolls out all Deployments.
type Controller struct {
	controllers.Base
	deployments client.Informer[*appsv1.Deployment]
	sets        client.Informer[*appsv1.ReplicaSet]
	pods        client.Informer[*corev1.Pod]
	wrote       controllers.Writes // by the Deployment's UID: statuses that the cache may not show yet
	loop        *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:        base,
		deployments: client.InformerFor[*appsv1.Deployment](base.Informers),
		sets:        client.InformerFor[*appsv1.ReplicaSet](base.Informers),
		pods:        client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.watch()
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// rollout is one Deployment while it is reconciled: a copy of our own, which status writes change, and its ReplicaSets.
type rollout struct {
	*Controller
	*appsv1.Deployment
	sets []*appsv1.ReplicaSet // all, the oldest first
	next time.Duration        // when to look again, 0 for not
}

// Reconcile takes one step of a Deployment's rollout, and reports how far it is. A step scales one way only, up or down;
// the ReplicaSets' own changes bring the next one.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	shared, ok := c.deployments.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	if controllers.Missing(&c.wrote, string(shared.UID), []*appsv1.Deployment{shared}) {
		// From an older copy no status could be written. That a ReplicaSet was made is told in that write alone: were it refused,
		// a Recreate that never gets ready would look complete for ever, as it can in Kubernetes.
		loop.Say(ctx, "WaitForCache")
		return 0, nil
	}
	r := &rollout{Controller: c, Deployment: shared.DeepCopy()}
	if selectsAll(r.Spec.Selector) {
		return 0, r.refuse(ctx)
	}
	if err := r.claim(ctx); err != nil {
		return 0, err
	}
	err = r.step(ctx)
	return r.next, controllers.IgnoreNotFound(err)
}

func (r *rollout) step(ctx context.Context) error {
	if r.DeletionTimestamp != nil {
		loop.Say(ctx, "BeingDeleted")
		return r.reportOnly(ctx)
	}
	if err := r.notePause(ctx); err != nil {
		return err
	}
	if r.Spec.Paused {
		loop.Say(ctx, "Paused")
		return r.resize(ctx)
	}
	if revision, asked := r.rollbackTo(); asked {
		return r.rollback(ctx, revision)
	}
	if r.resized() {
		return r.resize(ctx)
	}
	if r.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return r.recreate(ctx)
	}
	return r.roll(ctx)
}

// claim finds the ReplicaSets that are the Deployment's.
func (r *rollout) claim(ctx context.Context) error {
	selector, err := metav1.LabelSelectorAsSelector(r.Spec.Selector)
	if err != nil {
		return fmt.Errorf("selector of deployment %s: %w", controllers.Key(r.Deployment), err)
	}
	r.sets, err = controllers.Claim(ctx, r.Client, r.Controller.sets, r.Deployment, selector, nil)
	sortByAge(r.sets)
	return err
}

func selectsAll(selector *metav1.LabelSelector) bool {
	return selector == nil || len(selector.MatchLabels) == 0 && len(selector.MatchExpressions) == 0
}

// refuse leaves a Deployment alone whose selector takes every pod.
func (r *rollout) refuse(ctx context.Context) error {
	r.Events.Event(r.Deployment, corev1.EventTypeWarning, "SelectingAll",
		"This deployment is selecting all pods. A non-empty selector is required.")
	if r.Status.ObservedGeneration >= r.Generation {
		return nil
	}
	r.Status.ObservedGeneration = r.Generation
	return r.writeStatus(ctx)
}

// writeStatus stores the status (and, as the API allows to controllers, the annotations) of our copy.
func (r *rollout) writeStatus(ctx context.Context) error {
	written, err := client.Of[*appsv1.Deployment](r.Client).UpdateStatus(ctx, r.Deployment)
	if err != nil {
		return err
	}
	r.wrote.Wrote(string(written.UID), written)
	r.Deployment = written.DeepCopy()
	return nil
}
