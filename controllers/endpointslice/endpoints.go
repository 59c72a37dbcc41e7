package endpointslice

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilnet "k8s.io/utils/net"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

// Group is a set of endpoints that can share slices: addresses of one family, with the same ports.
type Group struct {
	Family    discoveryv1.AddressType
	Ports     []discoveryv1.EndpointPort
	Endpoints []discoveryv1.Endpoint
}

// endpoints are what a service's slices should say: for each address family, pods grouped by their ports. Pods differ in
// ports when the service names its target port and their containers give that name to different numbers. Each family has
// a group, at least an empty one. A pod whose node is gone is left out, with an error so that it is looked at again:
// nobody says any more whether it serves, and the pod itself goes in a while. Services that publish whatever they
// select keep it.
func (c *Controller) endpoints(service *corev1.Service, pods []*corev1.Pod) (groups []Group, ready int, err error) {
	var errs []error
	for _, family := range families(service) {
		byPorts := map[string]*Group{}
		var order []string
		var ports []discoveryv1.EndpointPort
		key, known, named := "", false, controllers.NamesTargetPorts(service)
		for _, pod := range pods {
			addresses := addressesOf(pod, family)
			if !controllers.IsEndpoint(pod, true) || len(addresses) == 0 {
				continue
			}
			if _, ok := c.nodes.Get("", pod.Spec.NodeName); !ok && !service.Spec.PublishNotReadyAddresses {
				errs = append(errs, fmt.Errorf("skipping Pod %s for Service %s/%s: Node %s Not Found",
					pod.Name, service.Namespace, service.Name, pod.Spec.NodeName))
				continue
			}
			if named || !known {
				ports = portsOf(service, pod)
				key, known = portsKey(ports), true
			}
			group, ok := byPorts[key]
			if !ok {
				group = &Group{Family: family, Ports: ports}
				byPorts[key] = group
				order = append(order, key)
			}
			endpoint := c.endpoint(service, pod, addresses)
			if *endpoint.Conditions.Ready {
				ready++
			}
			group.Endpoints = append(group.Endpoints, endpoint)
		}
		if len(order) == 0 {
			groups = append(groups, Group{Family: family})
		}
		for _, key := range order {
			groups = append(groups, *byPorts[key])
		}
	}
	return groups, ready, utilerrors.NewAggregate(errs)
}

// endpoint describes a pod to those who send it traffic. A terminating pod is never ready, but it may still serve: that
// is for connections which have nowhere else to go.
func (c *Controller) endpoint(service *corev1.Service, pod *corev1.Pod, addresses []string) discoveryv1.Endpoint {
	serving, terminating := controllers.IsReady(pod), pod.DeletionTimestamp != nil
	endpoint := discoveryv1.Endpoint{
		Addresses: addresses,
		Conditions: discoveryv1.EndpointConditions{
			Ready:       ptr.To(service.Spec.PublishNotReadyAddresses || serving && !terminating),
			Serving:     ptr.To(serving),
			Terminating: ptr.To(terminating),
		},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		endpoint.NodeName = ptr.To(pod.Spec.NodeName)
		if node, ok := c.nodes.Get("", pod.Spec.NodeName); ok && node.Labels[corev1.LabelTopologyZone] != "" {
			endpoint.Zone = ptr.To(node.Labels[corev1.LabelTopologyZone])
		}
	}
	if hostname := controllers.EndpointHostname(pod, service); hostname != "" {
		endpoint.Hostname = ptr.To(hostname)
	}
	return endpoint
}

// families are those of the service's own addresses; a service without any, from before dual-stack, has IPv4.
func families(service *corev1.Service) []discoveryv1.AddressType {
	var found []discoveryv1.AddressType
	for _, family := range service.Spec.IPFamilies {
		found = append(found, discoveryv1.AddressType(family))
	}
	switch {
	case len(found) > 0:
		return found
	case utilnet.IsIPv6String(service.Spec.ClusterIP):
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}
	}
	return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
}

func addressesOf(pod *corev1.Pod, family discoveryv1.AddressType) []string {
	var found []string
	ips := pod.Status.PodIPs
	if len(ips) == 0 && pod.Status.PodIP != "" {
		ips = []corev1.PodIP{{IP: pod.Status.PodIP}}
	}
	for _, ip := range ips {
		if utilnet.IsIPv6String(ip.IP) == (family == discoveryv1.AddressTypeIPv6) {
			found = append(found, ip.IP)
		}
	}
	return found
}

func portsOf(service *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		number, ok := controllers.TargetPort(pod, port)
		if !ok {
			continue // the pod has no port of that name: it does not serve this one
		}
		ports = append(ports, discoveryv1.EndpointPort{
			Name: &port.Name, Port: ptr.To(number), Protocol: &port.Protocol, AppProtocol: port.AppProtocol,
		})
	}
	return ports
}
