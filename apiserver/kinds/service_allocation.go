package kinds

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// reservation remembers what one write took from the cluster's allocators and gave back, so that it can be undone.
type reservation struct {
	cluster Cluster
	undo    []func()
}

func (r *reservation) release() {
	for _, undo := range slices.Backward(r.undo) {
		undo()
	}
	r.undo = nil
}

func (r *reservation) take(from Allocator, value string) error {
	if err := from.Allocate(value); err != nil {
		return err
	}
	r.undo = append(r.undo, func() { from.Release(value) })
	return nil
}

func (r *reservation) next(from Allocator) (string, error) {
	value, err := from.Next()
	if err == nil {
		r.undo = append(r.undo, func() { from.Release(value) })
	}
	return value, err
}

func (r *reservation) giveBack(to Allocator, value string) {
	to.Release(value)
	r.undo = append(r.undo, func() { _ = to.Allocate(value) })
}

// allocateService gives a service its cluster address and node ports, and takes back what it no longer has.
func allocateService(_ context.Context, cluster Cluster, s, old *corev1.Service) (release func(), err error) {
	r := &reservation{cluster: cluster}
	if s != nil {
		completeService(s, old)
		if errs := familyErrors(s, old); len(errs) > 0 {
			return nil, invalidService(s, errs...)
		}
		if err = r.address(s, old); err == nil {
			err = r.nodePorts(s, old)
		}
		if err == nil {
			err = r.healthCheckPort(s, old)
		}
		if err != nil {
			r.release()
			return nil, err
		}
	}
	if old != nil {
		r.giveBackUnused(s, old)
	}
	return r.release, nil
}

func (r *reservation) address(s, old *corev1.Service) error {
	had := old != nil && len(old.Spec.ClusterIPs) > 0
	if !needsClusterIP(s) || had || headless(s) {
		return nil
	}
	if len(s.Spec.ClusterIPs) > 0 && s.Spec.ClusterIPs[0] != "" {
		ip := s.Spec.ClusterIPs[0]
		if err := r.take(r.cluster.Addresses(), ip); err != nil {
			return invalidService(s, field.Invalid(field.NewPath("spec", "clusterIPs"), s.Spec.ClusterIPs,
				fmt.Sprintf("failed to allocate IP %v: %v", ip, err)))
		}
		return nil
	}
	ip, err := r.next(r.cluster.Addresses())
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP: %w", err))
	}
	s.Spec.ClusterIP, s.Spec.ClusterIPs = ip, []string{ip}
	return nil
}

// nodePorts reserves the node ports that the user asks for, and finds free ones for the other ports. Ports with the same
// number but another protocol share a node port.
func (r *reservation) nodePorts(s, old *corev1.Service) error {
	if !needsNodePort(s) {
		return nil
	}
	mine := map[int32]bool{} // already this service's
	if old != nil {
		for _, p := range old.Spec.Ports {
			mine[p.NodePort] = true
		}
	}
	wanted := map[int32]int32{} // node port by service port
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.NodePort == 0 {
			continue
		}
		if wanted[p.Port] == 0 {
			wanted[p.Port] = p.NodePort
		}
		if mine[p.NodePort] {
			continue
		}
		if err := r.take(r.cluster.Ports(), strconv.Itoa(int(p.NodePort))); err != nil {
			return invalidService(s, field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p.NodePort, err.Error()))
		}
		mine[p.NodePort] = true
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && !isTrue(s.Spec.AllocateLoadBalancerNodePorts) {
		return nil
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.NodePort == 0 && old == nil {
			p.NodePort = wanted[p.Port]
		}
		if p.NodePort != 0 {
			continue
		}
		port, err := r.nextPort()
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
		}
		p.NodePort, wanted[p.Port] = port, port
	}
	if old != nil {
		return nodePortTwice(s)
	}
	return nil
}

// nodePortTwice is how Kubernetes refuses an update with one node port for two ports: before any other check, and not as
// an invalid field.
func nodePortTwice(s *corev1.Service) error {
	seen := map[corev1.ServicePort]bool{}
	for _, p := range s.Spec.Ports {
		key := corev1.ServicePort{Protocol: p.Protocol, NodePort: p.NodePort}
		if p.NodePort != 0 && seen[key] {
			return fmt.Errorf("duplicate nodePort: {%s %d}", p.Protocol, p.NodePort)
		}
		seen[key] = true
	}
	return nil
}

func (r *reservation) nextPort() (int32, error) {
	value, err := r.next(r.cluster.Ports())
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseInt(value, 10, 32)
	return int32(port), err
}

func (r *reservation) healthCheckPort(s, old *corev1.Service) error {
	if !needsHealthCheck(s) || old != nil && needsHealthCheck(old) {
		return nil
	}
	if port := s.Spec.HealthCheckNodePort; port != 0 {
		if err := r.take(r.cluster.Ports(), strconv.Itoa(int(port))); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", port, err))
		}
		return nil
	}
	port, err := r.nextPort()
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %w", port, err))
	}
	s.Spec.HealthCheckNodePort = port
	return nil
}

// giveBackUnused frees what the old service had and the new one has not; a deleted service has nothing.
func (r *reservation) giveBackUnused(s, old *corev1.Service) {
	ports := map[int32]bool{}
	if s != nil {
		for _, p := range s.Spec.Ports {
			ports[p.NodePort] = true
		}
		ports[s.Spec.HealthCheckNodePort] = true
	}
	if s == nil || !needsClusterIP(s) {
		for _, ip := range old.Spec.ClusterIPs {
			if ip != corev1.ClusterIPNone {
				r.giveBack(r.cluster.Addresses(), ip)
			}
		}
	}
	had := []int32{old.Spec.HealthCheckNodePort}
	for _, p := range old.Spec.Ports {
		had = append(had, p.NodePort)
	}
	for _, port := range had {
		if port != 0 && !ports[port] {
			r.giveBack(r.cluster.Ports(), strconv.Itoa(int(port)))
			ports[port] = true
		}
	}
}

func invalidService(s *corev1.Service, errs ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, s.Name, errs)
}
