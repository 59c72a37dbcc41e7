package endpointslicemirroring

import (
	"context"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"
	utilnet "k8s.io/utils/net"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/endpointslice"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "endpointslice-mirroring-controller"
	// EventSource is the controller's name in events.
	EventSource = "endpoint-slice-mirroring-controller"
	// ManagedBy is the label value of the controller's slices.
	ManagedBy = "endpointslicemirroring-controller.k8s.io"

	// leaderAnnotation marks Endpoints that programs of old used as a lock.
	leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
	perSubset        = 1000 // addresses of a subset that are copied
	workers          = 5    // Kubernetes' default
)

// Controller copies Endpoints.
type Controller struct {
	controllers.Base
	services  client.Informer[*corev1.Service]
	endpoints client.Informer[*corev1.Endpoints]
	slices    endpointslice.Slices
	loop      *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:      base,
		services:  client.InformerFor[*corev1.Service](base.Informers),
		endpoints: client.InformerFor[*corev1.Endpoints](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, MinBackoff: time.Second, Machine: base.Machine})
	c.slices = endpointslice.NewSlices(base, ManagedBy, perSubset, func(key, cause string) { c.loop.Add(key, cause) })
	c.endpoints.Handle(client.Handler[*corev1.Endpoints]{
		Add: func(e *corev1.Endpoints) { c.loop.Add(controllers.Key(e), controllers.Cause("endpoints", e, "added")) },
		Update: func(old, e *corev1.Endpoints) {
			if old.ResourceVersion != e.ResourceVersion && c.mayMirror(e) {
				c.loop.Add(controllers.Key(e), controllers.Cause("endpoints", e, "changed"))
			}
		},
		Delete: func(e *corev1.Endpoints) {
			c.loop.Add(controllers.Key(e), controllers.Cause("endpoints", e, "deleted"))
		},
	})
	c.services.Handle(client.Handler[*corev1.Service]{
		Add: func(s *corev1.Service) { c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "added")) },
		Update: func(old, s *corev1.Service) {
			if (old.Spec.Selector == nil) != (s.Spec.Selector == nil) {
				c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "has another selector"))
			}
		},
		Delete: func(s *corev1.Service) { c.loop.Add(controllers.Key(s), controllers.Cause("services", s, "deleted")) },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// mayMirror spares the Endpoints of services with a selector, which change often, a look by the loop.
func (c *Controller) mayMirror(e *corev1.Endpoints) bool {
	service, ok := c.services.Get(e.Namespace, e.Name)
	return ok && service.Spec.Selector == nil
}

// Reconcile makes the slices of a service without a selector say what its Endpoints say, and removes those of others.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	endpoints, ok := c.endpoints.Get(namespace, name)
	service, served := c.services.Get(namespace, name)
	if !ok || !served || service.Spec.Selector != nil || excluded(endpoints) {
		if c.slices.Endpoints(key) == 0 && !ok {
			c.slices.Forget(key)
		}
		return 0, c.slices.Clear(ctx, namespace, name)
	}
	groups, invalid, skipped := groupsOf(endpoints)
	loop.Say(ctx, "Mirror", "groups", len(groups), "skipped", skipped)
	if invalid > 0 {
		c.Events.Event(endpoints, corev1.EventTypeWarning, "InvalidIPAddress", "Skipped %d invalid IP addresses when mirroring to EndpointSlices", invalid)
	}
	if skipped > invalid {
		c.Events.Event(endpoints, corev1.EventTypeWarning, "TooManyAddressesToMirror",
			"A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", perSubset, skipped)
	}
	annotations := maps.Clone(endpoints.Annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	delete(annotations, corev1.EndpointsLastChangeTriggerTime)
	wait, err := c.slices.Reconcile(ctx, endpointslice.Owner{
		Object: endpoints, Service: name, Labels: endpoints.Labels, Annotations: annotations,
	}, groups)
	if err != nil {
		c.Events.Event(endpoints, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
			"Error updating EndpointSlices for %s/%s Endpoints: %v", namespace, name, err)
	}
	return wait, err
}

func excluded(endpoints *corev1.Endpoints) bool {
	_, leader := endpoints.Annotations[leaderAnnotation]
	return leader || endpoints.Labels[discoveryv1.LabelSkipMirror] == "true"
}

// groupsOf translates subsets, and counts the addresses that are no IP addresses, and all that are left out: those, and what is
// too many.
func groupsOf(endpoints *corev1.Endpoints) (groups []endpointslice.Group, invalid, skipped int) {
	for _, subset := range endpoints.Subsets {
		byFamily := map[discoveryv1.AddressType]*endpointslice.Group{}
		added := 0
		add := func(addresses []corev1.EndpointAddress, ready bool) {
			for _, address := range addresses {
				family := discoveryv1.AddressTypeIPv4
				switch {
				case added >= perSubset:
					skipped++
					continue
				case utilnet.IsIPv6String(address.IP):
					family = discoveryv1.AddressTypeIPv6
				case !utilnet.IsIPv4String(address.IP):
					skipped, invalid = skipped+1, invalid+1
					continue
				}
				added++
				if byFamily[family] == nil {
					byFamily[family] = &endpointslice.Group{Family: family, Ports: portsOf(subset.Ports)}
				}
				byFamily[family].Endpoints = append(byFamily[family].Endpoints, endpointOf(address, ready))
			}
		}
		add(subset.Addresses, true)
		add(subset.NotReadyAddresses, false)
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			if group := byFamily[family]; group != nil {
				groups = append(groups, *group)
			}
		}
	}
	return groups, invalid, skipped
}

func endpointOf(address corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	endpoint := discoveryv1.Endpoint{
		Addresses:  []string{address.IP},
		Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready)},
		TargetRef:  address.TargetRef,
		NodeName:   address.NodeName,
	}
	if address.Hostname != "" {
		endpoint.Hostname = ptr.To(address.Hostname)
	}
	return endpoint
}

func portsOf(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	converted := []discoveryv1.EndpointPort{}
	for _, port := range ports {
		converted = append(converted, discoveryv1.EndpointPort{
			Name: ptr.To(port.Name), Port: ptr.To(port.Port), Protocol: ptr.To(port.Protocol), AppProtocol: port.AppProtocol,
		})
	}
	return converted
}
