package endpoints

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "endpoint-controller"

	managedByLabel = "endpoints.kubernetes.io/managed-by"
	workers        = 5 // Kubernetes' default
)

// Controller keeps the Endpoints of all services that have a selector.
type Controller struct {
	controllers.Base
	services  client.Informer[*corev1.Service]
	pods      client.Informer[*corev1.Pod]
	endpoints client.Informer[*corev1.Endpoints]
	triggers  controllers.TriggerTimes
	sizes     sync.Map // number of pods, by service
	loop      *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:      base,
		services:  client.InformerFor[*corev1.Service](base.Informers),
		pods:      client.InformerFor[*corev1.Pod](base.Informers),
		endpoints: client.InformerFor[*corev1.Endpoints](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.services.Handle(client.Handler[*corev1.Service]{
		Add: func(s *corev1.Service) { c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "added")) },
		Update: func(old, s *corev1.Service) {
			if old.ResourceVersion != s.ResourceVersion {
				c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "changed"))
			}
		},
		Delete: func(s *corev1.Service) { c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "deleted")) },
	})
	controllers.HandleServicePods(c.pods, c.services, c.ask)
	c.endpoints.Handle(client.Handler[*corev1.Endpoints]{
		// Those that outlived their service, while nobody watched, are found at the start.
		Add:    func(e *corev1.Endpoints) { c.own(e, "added") },
		Delete: func(e *corev1.Endpoints) { c.own(e, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) own(e *corev1.Endpoints, what string) {
	if e.Labels[managedByLabel] == Name {
		c.loop.Add(controllers.Key(e), controllers.Cause("endpoints", e, what))
	}
}

// ask has a service reconciled; when it has many pods, not for each change of one of them.
func (c *Controller) ask(service *corev1.Service, cause string) {
	size, _ := c.sizes.Load(controllers.Key(service))
	count, _ := size.(int)
	if delay := 2 * controllers.BatchDelay(count); delay > 0 {
		c.loop.AddAfter(controllers.Key(service), delay, cause)
		return
	}
	c.loop.Add(controllers.Key(service), cause)
}

// Reconcile makes a service's Endpoints list its pods as they are.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	service, ok := c.services.Get(namespace, name)
	if !ok {
		return 0, c.gone(ctx, key, namespace, name)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName || service.Spec.Selector == nil {
		loop.Say(ctx, "NoSelector") // a user may write the Endpoints
		return 0, nil
	}
	pods := c.pods.List(namespace, labels.SelectorFromSet(service.Spec.Selector))
	c.sizes.Store(key, len(pods))
	subsets, ready, notReady := subsetsOf(service, pods)
	loop.Say(ctx, "Endpoints", "pods", len(pods), "ready", ready, "notReady", notReady)
	subsets, truncated := truncate(subsets, ready, notReady)

	current, exists := c.endpoints.Get(namespace, name)
	if !exists {
		current = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	}
	wanted := current.DeepCopy()
	wanted.Subsets = subsets
	dress(wanted, service, truncated, c.triggers.Oldest(key, service, pods))
	if exists && same(current, wanted) {
		return 0, nil
	}
	loop.Say(ctx, "WriteEndpoints", "create", !exists, "truncated", truncated)
	return 0, c.write(ctx, service, wanted, exists)
}

func (c *Controller) gone(ctx context.Context, key, namespace, name string) error {
	loop.Say(ctx, "Gone")
	c.triggers.Forget(key)
	c.sizes.Delete(key)
	left, ok := c.endpoints.Get(namespace, name)
	if !ok || left.Labels[managedByLabel] != Name {
		return nil
	}
	err := client.Of[*corev1.Endpoints](c.Client).Delete(ctx, namespace, name, metav1.DeleteOptions{})
	return controllers.IgnoreNotFound(err)
}

func (c *Controller) write(ctx context.Context, service *corev1.Service, wanted *corev1.Endpoints, exists bool) error {
	api := client.Of[*corev1.Endpoints](c.Client)
	var err error
	if exists {
		_, err = api.Update(ctx, wanted)
	} else {
		_, err = api.Create(ctx, wanted)
	}
	switch {
	case err == nil, !exists && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // a namespace on its way out takes nothing new
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return err // come back after the back-off, with a fresher cache
	case exists:
		c.Events.Event(wanted, corev1.EventTypeWarning, "FailedToUpdateEndpoint", "Failed to update endpoint %v/%v: %v", service.Namespace, service.Name, err)
	default:
		c.Events.Event(wanted, corev1.EventTypeWarning, "FailedToCreateEndpoint", "Failed to create endpoint for service %v/%v: %v", service.Namespace, service.Name, err)
	}
	return err
}

func dress(endpoints *corev1.Endpoints, service *corev1.Service, truncated bool, trigger time.Time) {
	endpoints.Labels = maps.Clone(service.Labels)
	if endpoints.Labels == nil {
		endpoints.Labels = map[string]string{}
	}
	delete(endpoints.Labels, corev1.IsHeadlessService)
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		endpoints.Labels[corev1.IsHeadlessService] = ""
	}
	endpoints.Labels[managedByLabel] = Name
	if endpoints.Annotations == nil {
		endpoints.Annotations = map[string]string{}
	}
	if trigger.IsZero() {
		delete(endpoints.Annotations, corev1.EndpointsLastChangeTriggerTime)
	} else {
		endpoints.Annotations[corev1.EndpointsLastChangeTriggerTime] = trigger.UTC().Format(time.RFC3339Nano)
	}
	delete(endpoints.Annotations, corev1.EndpointsOverCapacity)
	if truncated {
		endpoints.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
}

// same compares what matters; the trigger time alone is no reason to write.
func same(a, b *corev1.Endpoints) bool {
	return maps.Equal(a.Labels, b.Labels) && equality.Semantic.DeepEqual(a.Subsets, b.Subsets) &&
		a.Annotations[corev1.EndpointsOverCapacity] == b.Annotations[corev1.EndpointsOverCapacity]
}
