package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// shifted is what is added to a port that needs rights which kubette does not have: 80 is then at 8080.
const shifted = 8000

// balancedHere says whether a service's load balancer is kubette's: a class of load balancers is somebody else's.
func balancedHere(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
}

// balancerAddresses are the addresses that a service's load balancer may have, the best first.
func (h *HostPorts) balancerAddresses(service *corev1.Service) []netip.Addr {
	var addresses []netip.Addr
	if asked, err := netip.ParseAddr(service.Spec.LoadBalancerIP); err == nil && asked.IsLoopback() {
		addresses = append(addresses, asked)
	}
	if own, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		addresses = append(addresses, h.config.Address(own))
	}
	return append(addresses, loopback)
}

// isBalancerPort says whether an open port is one that the service's load balancer could have.
func (h *HostPorts) isBalancerPort(service *corev1.Service, port hostPort) bool {
	if !slices.Contains(h.balancerAddresses(service), port.address.Addr()) {
		return false
	}
	return slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Port == port.service && p.Protocol == port.protocol && int32(port.address.Port()) != p.NodePort
	})
}

// balance opens every port of a load balancer, and reports its address.
func (h *HostPorts) balance(ctx context.Context, name types.NamespacedName, service *corev1.Service) (time.Duration, error) {
	var failed error
	for _, address := range h.balancerAddresses(service) {
		moved, err := h.balanceOn(name, service, address)
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			continue // this machine does not have the address
		}
		if failed = err; err != nil {
			h.keep(name, func(p hostPort) bool { return p.external || slices.Contains(nodePortsOf(service), p) })
			continue
		}
		for _, text := range moved {
			h.tell(service, "LoadBalancerPortMoved", "%s", text)
		}
		return 0, h.reportBalancer(ctx, service, address)
	}
	h.tell(service, "SyncLoadBalancerFailed", "Error syncing load balancer: failed to ensure load balancer: %s", failed)
	return hostPortRetry, h.clearBalancer(ctx, service)
}

// balanceOn opens all ports of a service on one address, and says which had to move to another number.
func (h *HostPorts) balanceOn(name types.NamespacedName, service *corev1.Service, address netip.Addr) ([]string, error) {
	var moved []string
	for _, p := range service.Spec.Ports {
		at := func(number int32) hostPort {
			return hostPort{netip.AddrPortFrom(address, uint16(number)), p.Protocol, p.Port, false}
		}
		if h.open[name][at(p.Port+shifted)] != nil {
			continue // moved before
		}
		err := h.listen(name, at(p.Port))
		elsewhere := errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRINUSE) && address == loopback
		if elsewhere && p.Port+shifted <= 65535 {
			if err := h.listen(name, at(p.Port+shifted)); err != nil {
				return nil, fmt.Errorf("port %d: %s", p.Port+shifted, reasonOf(err))
			}
			moved = append(moved, fmt.Sprintf("Port %d is at %s: %s", p.Port, at(p.Port+shifted).address,
				strings.TrimSuffix(reasonOf(err), " It is tried again every few seconds.")))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("port %d: %w", p.Port, err)
		}
	}
	return moved, nil
}

// fromSourceRanges refuses clients that a service's loadBalancerSourceRanges do not hold. On one machine all clients are
// on its loopback, so ranges without 127.0.0.1 refuse everybody.
func (h *HostPorts) fromSourceRanges(name types.NamespacedName, ranked func(netip.Addr) []netip.AddrPort) func(netip.Addr) []netip.AddrPort {
	return func(from netip.Addr) []netip.AddrPort {
		service, ok := h.config.Table.Service(name.Namespace, name.Name)
		if !ok {
			return nil
		}
		allowed := len(service.Object.Spec.LoadBalancerSourceRanges) == 0
		for _, text := range service.Object.Spec.LoadBalancerSourceRanges {
			prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
			allowed = allowed || err == nil && prefix.Contains(from)
		}
		if !allowed {
			return nil
		}
		return ranked(from)
	}
}

// reportBalancer writes the address into the service's status: kubectl shows it as EXTERNAL-IP.
func (h *HostPorts) reportBalancer(ctx context.Context, service *corev1.Service, address netip.Addr) error {
	if ingress := service.Status.LoadBalancer.Ingress; len(ingress) == 1 && ingress[0].IP == address.String() {
		return nil
	}
	// Proxy says that traffic to the address arrives at the node as the load balancer sent it, and must go through it.
	mode := corev1.LoadBalancerIPModeProxy
	wanted := []corev1.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}
	h.config.Events.Event(service, corev1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	if err := h.patchBalancer(ctx, service, wanted); err != nil {
		return err
	}
	h.config.Events.Event(service, corev1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	return nil
}

// clearBalancer takes the address away that a service had from kubette.
func (h *HostPorts) clearBalancer(ctx context.Context, service *corev1.Service) error {
	if service.Spec.LoadBalancerClass != nil || len(service.Status.LoadBalancer.Ingress) == 0 {
		return nil
	}
	return h.patchBalancer(ctx, service, nil)
}

func (h *HostPorts) patchBalancer(ctx context.Context, service *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}})
	if err != nil {
		return err
	}
	_, err = client.Of[*corev1.Service](h.config.Client).Patch(ctx, service.Namespace, service.Name, types.MergePatchType, patch, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("report on service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return nil
}

// healthServer is an open health check.
type healthServer struct {
	server  *http.Server
	stopped chan struct{}
}

// Close implements io.Closer.
func (s *healthServer) Close() error {
	err := s.server.Close()
	<-s.stopped
	return err
}

// serveHealth answers as kube-proxy does on the healthCheckNodePort of a service whose external traffic stays local: how
// many endpoints it has here. This machine is all nodes at once.
func (h *HostPorts) serveHealth(name types.NamespacedName, listener net.Listener) *healthServer {
	s := &healthServer{stopped: make(chan struct{})}
	s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		local := 0
		if service, ok := h.config.Table.Service(name.Namespace, name.Name); ok {
			pods := map[netip.Addr]bool{}
			for _, e := range service.Endpoints {
				if e.Ready {
					pods[e.Address.Addr()] = true
				}
			}
			local = len(pods)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Load-Balancing-Endpoint-Weight", fmt.Sprint(local))
		if local == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"service": map[string]string{"namespace": name.Namespace, "name": name.Name},
			"localEndpoints": local, "serviceProxyHealthy": true})
	})}
	go func() {
		defer close(s.stopped)
		_ = s.server.Serve(listener)
	}()
	return s
}
