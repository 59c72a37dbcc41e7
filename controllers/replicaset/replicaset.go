package replicaset

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
const Name = "replicaset-controller"

// workers is how many ReplicaSets are reconciled at once; Kubernetes' default.
const workers = 5

// Kind tells the controller about a kind of pod set: ReplicaSet, or what can be seen as one.
type Kind[T client.Object] struct {
	Name string // of the controller
	Kind string // as in owner references
	// View shows an object as a ReplicaSet. It may share memory with the object.
	View func(T) *appsv1.ReplicaSet
	// WithStatus returns a copy of the object with another status.
	WithStatus func(T, appsv1.ReplicaSetStatus) T
	// HidesTerminating is for a kind whose status has no place for the number of terminating pods.
	HidesTerminating bool
}

// Controller keeps the pods of all sets of one kind.
type Controller[T client.Object] struct {
	controllers.Base
	kind     Kind[T]
	sets     client.Informer[T]
	pods     client.Informer[*corev1.Pod]
	expected controllers.Expectations
	loop     *loop.Loop[string]
}

// New makes the controller of ReplicaSets.
func New(base controllers.Base) *Controller[*appsv1.ReplicaSet] {
	return NewOf(base, Kind[*appsv1.ReplicaSet]{
		Name: Name,
		Kind: "ReplicaSet",
		View: func(set *appsv1.ReplicaSet) *appsv1.ReplicaSet { return set },
		WithStatus: func(set *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) *appsv1.ReplicaSet {
			set = set.DeepCopy()
			set.Status = status
			return set
		},
	})
}

// NewOf makes a controller for a kind that can be seen as a ReplicaSet.
func NewOf[T client.Object](base controllers.Base, kind Kind[T]) *Controller[T] {
	c := &Controller[T]{
		Base: base,
		kind: kind,
		sets: client.InformerFor[T](base.Informers),
		pods: client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(kind.Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.watch()
	return c
}

// Run works until the context ends.
func (c *Controller[T]) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile makes a set's pods as many as it wants, and reports how many there are.
func (c *Controller[T]) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	object, ok := c.sets.Get(namespace, name)
	if !ok {
		c.expected.Forget(key)
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	set := c.kind.View(object)
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return 0, fmt.Errorf("selector of %s: %w", key, err)
	}

	// Whether the cache shows our last writes is asked before it is read: what arrives in between does no harm.
	upToDate, wait := c.expected.Satisfied(key)
	pods, err := controllers.Claim(ctx, c.Client, c.pods, object, selector, func(pod *corev1.Pod) bool {
		return !controllers.IsFinished(pod)
	})
	if err != nil {
		return 0, err
	}
	active, terminating := split(pods)
	loop.Say(ctx, "Pods", "wanted", *set.Spec.Replicas, "active", len(active), "terminating", len(terminating))

	var failure error
	switch {
	case object.GetDeletionTimestamp() != nil:
		loop.Say(ctx, "BeingDeleted")
	case !upToDate:
		loop.Say(ctx, "WaitForCache")
	default:
		failure = c.scale(ctx, key, object, set, active)
	}

	status, nextAvailable := c.status(set, active, len(terminating), failure)
	if err := c.report(ctx, object, set, status); err != nil {
		return 0, err
	}
	return controllers.Sooner(wait, nextAvailable), failure
}

func split(pods []*corev1.Pod) (active, terminating []*corev1.Pod) {
	for _, pod := range pods {
		if controllers.IsActive(pod) {
			active = append(active, pod)
		} else {
			terminating = append(terminating, pod)
		}
	}
	return active, terminating
}
