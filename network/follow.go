package network

import (
	"context"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/loop"
)

// Component is the service proxy's name in traces.
const Component = "service-proxy"

// Follower keeps a table up to date with the Services and EndpointSlices in the API.
type Follower struct {
	table    *Table
	services client.Informer[*corev1.Service]
	slices   client.Informer[*discoveryv1.EndpointSlice]
	loop     *loop.Loop[types.NamespacedName]
}

const serviceIndex = "service"

// Follow makes a follower; start the informers and Run it.
func Follow(table *Table, informers *client.Informers, machine *loop.Machine) *Follower {
	f := &Follower{
		table:    table,
		services: client.InformerFor[*corev1.Service](informers),
		slices:   client.InformerFor[*discoveryv1.EndpointSlice](informers),
	}
	f.loop = loop.New(Component, f.reconcile, loop.Options{Machine: machine})
	f.slices.AddIndex(serviceIndex, func(slice *discoveryv1.EndpointSlice) []string {
		return []string{serviceOf(slice).String()}
	})
	f.services.Handle(client.Handler[*corev1.Service]{
		Add:    func(s *corev1.Service) { f.enqueue(s, "added") },
		Update: func(_, s *corev1.Service) { f.enqueue(s, "changed") },
		Delete: func(s *corev1.Service) { f.enqueue(s, "deleted") },
	})
	f.slices.Handle(client.Handler[*discoveryv1.EndpointSlice]{
		Add:    func(s *discoveryv1.EndpointSlice) { f.enqueueSlice(s, "added") },
		Update: func(_, s *discoveryv1.EndpointSlice) { f.enqueueSlice(s, "changed") },
		Delete: func(s *discoveryv1.EndpointSlice) { f.enqueueSlice(s, "deleted") },
	})
	return f
}

func (f *Follower) enqueue(s *corev1.Service, what string) {
	f.loop.Add(types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, "services/"+s.Namespace+"/"+s.Name+" "+what)
}

func (f *Follower) enqueueSlice(s *discoveryv1.EndpointSlice, what string) {
	f.loop.Add(serviceOf(s), "endpointslices/"+s.Namespace+"/"+s.Name+" "+what)
}

// serviceOf is the service that a slice belongs to, by its label.
func serviceOf(slice *discoveryv1.EndpointSlice) types.NamespacedName {
	return types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
}

// Run follows the API until the context ends.
func (f *Follower) Run(ctx context.Context) { f.loop.Run(ctx) }

// reconcile makes one service's row anew from what the API has.
func (f *Follower) reconcile(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	object, ok := f.services.Get(name.Namespace, name.Name)
	if !ok {
		f.table.Replace(name, nil)
		loop.Say(ctx, "ServiceGone")
		return 0, nil
	}
	service := &Service{Object: object}
	for _, slice := range f.slices.ByIndex(serviceIndex, name.String()) {
		service.Endpoints = append(service.Endpoints, endpointsOf(slice)...)
	}
	slices.SortFunc(service.Endpoints, func(a, b Endpoint) int { return a.Address.Compare(b.Address) })
	f.table.Replace(name, service)
	ready := 0
	for _, e := range service.Endpoints {
		if e.Ready {
			ready++
		}
	}
	loop.Say(ctx, "ServiceRouted", "addresses", object.Spec.ClusterIPs, "endpoints", len(service.Endpoints), "ready", ready)
	return 0, nil
}

func endpointsOf(slice *discoveryv1.EndpointSlice) []Endpoint {
	var found []Endpoint
	for _, port := range slice.Ports {
		if port.Port == nil {
			continue
		}
		for _, e := range slice.Endpoints {
			endpoint := Endpoint{
				PortName: deref(port.Name, ""), Protocol: deref(port.Protocol, corev1.ProtocolTCP),
				Ready: deref(e.Conditions.Ready, true), Terminating: deref(e.Conditions.Terminating, false),
				Node: deref(e.NodeName, ""), Hostname: deref(e.Hostname, ""),
			}
			endpoint.Serving = deref(e.Conditions.Serving, endpoint.Ready)
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				endpoint.Pod = e.TargetRef.Name
			}
			for _, text := range e.Addresses {
				if address, err := netip.ParseAddr(text); err == nil {
					endpoint.Address = netip.AddrPortFrom(address, uint16(*port.Port))
					found = append(found, endpoint)
				}
			}
		}
	}
	return found
}

func deref[T any](pointer *T, absent T) T {
	if pointer == nil {
		return absent
	}
	return *pointer
}
