package statefulset

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/revisions"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "statefulset-controller"

	workers = 5 // Kubernetes' default
)

// Controller runs the pods of all StatefulSets.
type Controller struct {
	controllers.Base
	sets      client.Informer[*appsv1.StatefulSet]
	pods      client.Informer[*corev1.Pod]
	claims    client.Informer[*corev1.PersistentVolumeClaim]
	revisions client.Informer[*appsv1.ControllerRevision]
	loop      *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:      base,
		sets:      client.InformerFor[*appsv1.StatefulSet](base.Informers),
		pods:      client.InformerFor[*corev1.Pod](base.Informers),
		claims:    client.InformerFor[*corev1.PersistentVolumeClaim](base.Informers),
		revisions: client.InformerFor[*appsv1.ControllerRevision](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.watch()
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// run is one StatefulSet while it is reconciled.
type run struct {
	*Controller
	set     *appsv1.StatefulSet
	past    *revisions.History
	pods    []*corev1.Pod // all that are the set's
	created tally

	current, update                 *appsv1.ControllerRevision
	currentTemplate, updateTemplate *corev1.PodTemplateSpec
	collisions                      int32
}

// Reconcile takes the next steps towards what a StatefulSet wants, and reports.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	set, ok := c.sets.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return 0, fmt.Errorf("selector of %s: %w", key, err)
	}
	r := &run{Controller: c, set: set, collisions: ptr.Deref(set.Status.CollisionCount, 0)}
	if r.past, err = revisions.Of(ctx, c.Client, c.revisions, set, selector); err != nil {
		return 0, err
	}
	r.pods, err = controllers.Claim(ctx, c.Client, c.pods, set, selector, func(pod *corev1.Pod) bool { return isMember(set, pod) })
	if err != nil {
		return 0, err
	}
	if err := r.versions(ctx); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	stepErr := r.step(ctx)
	if err := r.report(ctx); err != nil && stepErr == nil {
		stepErr = err
	}
	if stepErr == nil {
		stepErr = r.truncate(ctx)
	}
	return r.nextAvailable(), stepErr
}

// step makes, mends, deletes and updates pods. Each part goes as far as the order of the set allows; whoever waits is
// asked again by the change that it waits for.
func (r *run) step(ctx context.Context) error {
	replicas, condemned := r.sort()
	loop.Say(ctx, "OrderedPods", "wanted", r.wanted(), "there", len(r.pods), "condemned", len(condemned))
	if r.set.DeletionTimestamp != nil {
		loop.Say(ctx, "BeingDeleted")
		return nil
	}
	if done, err := r.keepReplicas(ctx, replicas); done || err != nil {
		return err
	}
	if done, err := r.removeCondemned(ctx, condemned, replicas); done || err != nil {
		return err
	}
	if r.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return nil
	}
	return r.roll(ctx, replicas)
}

func (r *run) wanted() int { return int(ptr.Deref(r.set.Spec.Replicas, 1)) }

// start is the lowest number of a pod.
func (r *run) start() int {
	if r.set.Spec.Ordinals != nil {
		return int(r.set.Spec.Ordinals.Start)
	}
	return 0
}

// ordered says whether pods wait for one another.
func (r *run) ordered() bool { return r.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement }

// sort puts the pods in their places: by number those that are wanted, nil where one is missing; and those beyond, the
// highest number first.
func (r *run) sort() (replicas, condemned []*corev1.Pod) {
	replicas = make([]*corev1.Pod, r.wanted())
	for _, pod := range r.pods {
		if place := ordinal(r.set, pod) - r.start(); place >= 0 && place < len(replicas) {
			replicas[place] = pod
		} else {
			condemned = append(condemned, pod)
		}
	}
	slices.SortFunc(condemned, func(a, b *corev1.Pod) int { return ordinal(r.set, b) - ordinal(r.set, a) })
	return replicas, condemned
}
