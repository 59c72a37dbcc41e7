package endpointslice

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "endpointslice-controller"
	// EventSource is the controller's name in events.
	EventSource = "endpoint-slice-controller"
	// ManagedBy is the label value of the controller's slices.
	ManagedBy = "endpointslice-controller.k8s.io"

	workers = 5 // Kubernetes' default
)

// Controller keeps the slices of all services that have a selector.
type Controller struct {
	controllers.Base
	services client.Informer[*corev1.Service]
	pods     client.Informer[*corev1.Pod]
	nodes    client.Informer[*corev1.Node]
	slices   Slices
	triggers controllers.TriggerTimes
	loop     *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:     base,
		services: client.InformerFor[*corev1.Service](base.Informers),
		pods:     client.InformerFor[*corev1.Pod](base.Informers),
		nodes:    client.InformerFor[*corev1.Node](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, MinBackoff: time.Second, MaxBackoff: 1000 * time.Second, Machine: base.Machine})
	c.slices = NewSlices(base, ManagedBy, 100, c.askKey)
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
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) ask(service *corev1.Service, cause string) {
	c.askKey(controllers.Key(service), cause)
}

// askKey has a service reconciled; when it has many pods, not for each change of one of them.
func (c *Controller) askKey(key, cause string) {
	if delay := 2 * controllers.BatchDelay(c.slices.Endpoints(key)); delay > 0 {
		c.loop.AddAfter(key, delay, cause)
		return
	}
	c.loop.Add(key, cause)
}

// Reconcile makes a service's slices list its pods as they are.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	service, ok := c.services.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone") // its slices are owned by it: the garbage collector takes them
		c.slices.Forget(key)
		c.triggers.Forget(key)
		return 0, nil
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName || service.Spec.Selector == nil {
		loop.Say(ctx, "NoSelector") // somebody else says where it leads
		return 0, nil
	}
	pods := c.pods.List(namespace, labels.SelectorFromSet(service.Spec.Selector))
	wanted, ready, skipped := c.endpoints(service, pods)
	loop.Say(ctx, "Endpoints", "pods", len(pods), "ready", ready)

	wait, err := c.slices.Reconcile(ctx, Owner{
		Object: service, Service: name, Labels: sliceLabels(service), Trigger: c.triggers.Oldest(key, service, pods),
	}, wanted)
	if err == nil {
		err = skipped
	}
	if err != nil {
		c.Events.Event(service, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
			"Error updating Endpoint Slices for Service %s/%s: %v", namespace, name, err)
	}
	return wait, err
}

// sliceLabels are the service's own, with a mark for headless ones. The labels that the controller sets itself cannot be
// overruled.
func sliceLabels(service *corev1.Service) map[string]string {
	set := map[string]string{}
	for key, value := range service.Labels {
		switch key {
		case corev1.IsHeadlessService, discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy:
		default:
			set[key] = value
		}
	}
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		set[corev1.IsHeadlessService] = ""
	}
	return set
}
