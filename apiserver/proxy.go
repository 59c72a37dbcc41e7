package apiserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
)

// serveProxy passes a request on to a pod, a service or a node: /api/v1/namespaces/shop/services/web:http/proxy/users/
// asks the service's port http for /users/. The name may have a scheme before it and a port after it. It goes by the
// server's way into the cluster's network, so that a web page in a pod can be seen from outside with nothing but API
// access.
func (h *handler) serveProxy(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	if info.verb == "watch" || info.verb == "list" || info.verb == "deletecollection" {
		h.fail(w, r, errMethodNotAllowed())
		return
	}
	location, err := h.locate(info, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if info.resource == "nodes" {
		h.serveKubelet(w, r, info, location.Hostname())
		return
	}
	if h.server.config.Dial == nil {
		h.fail(w, r, apierrors.NewServiceUnavailable("this API server has no way into the cluster's network"))
		return
	}
	location.Path = proxiedPath(r, info)
	location.RawQuery = r.URL.RawQuery
	transport := &http.Transport{DialContext: h.server.config.Dial, DisableKeepAlives: true}
	passOn := proxy.NewUpgradeAwareHandler(location, transport, true, false, responder{h})
	passOn.ServeHTTP(w, r)
}

// serveKubelet has a node's kubelet answer. It is in this process and needs no network.
func (h *handler) serveKubelet(w http.ResponseWriter, r *http.Request, info *requestInfo, node string) {
	kubelet, err := h.kubeletOf(node)
	server, ok := kubelet.(http.Handler)
	if err != nil || !ok {
		h.fail(w, r, apierrors.NewServiceUnavailable("error trying to reach service: the kubelet of node "+node+" does not answer"))
		return
	}
	inner := r.Clone(r.Context())
	if inner.URL.Path = proxiedPath(r, info); inner.URL.Path == "" {
		inner.URL.Path = "/"
	}
	server.ServeHTTP(w, inner)
}

// proxiedPath is what follows /proxy in a request's path, with its trailing slash.
func proxiedPath(r *http.Request, info *requestInfo) string {
	path := "/" + strings.Join(info.rest, "/")
	if strings.HasSuffix(r.URL.Path, "/") && path != "/" {
		path += "/"
	}
	if len(info.rest) == 0 && !strings.HasSuffix(r.URL.Path, "/") {
		return "" // the client is sent to the path with a slash, so that relative links work
	}
	return path
}

// responder answers when the other end cannot be reached.
type responder struct{ h *handler }

func (p responder) Error(w http.ResponseWriter, r *http.Request, err error) {
	if known := apierrors.APIStatus(nil); !errors.As(err, &known) {
		err = apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
	}
	p.h.fail(w, r, err)
}

// locate finds the address that a proxy request is for.
func (h *handler) locate(info *requestInfo, request Request) (*url.URL, error) {
	scheme, name, port, valid := utilnet.SplitSchemeNamePort(request.Name)
	if !valid {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", strings.TrimSuffix(info.resource, "s"), request.Name))
	}
	if scheme == "" {
		scheme = "http"
	}
	var host string
	var err error
	switch info.resource {
	case "pods":
		host, err = h.podAddress(request.Namespace, name, port)
	case "services":
		host, err = h.serviceAddress(request.Namespace, name, port)
	default:
		if _, found := h.server.cluster().Get("", "nodes", "", name); !found {
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, name)
		}
		host = net.JoinHostPort(name, "10250")
	}
	return &url.URL{Scheme: scheme, Host: host}, err
}

func (h *handler) podAddress(namespace, name, port string) (string, error) {
	pod, err := h.pod(Request{Namespace: namespace, Name: name})
	if err != nil {
		return "", err
	}
	for _, c := range pod.Spec.Containers {
		if port == "" && len(c.Ports) > 0 {
			port = strconv.Itoa(int(c.Ports[0].ContainerPort))
		}
	}
	if pod.Status.PodIP == "" {
		return "", apierrors.NewServiceUnavailable("address not allowed: the pod has no address yet")
	}
	if port == "" {
		return pod.Status.PodIP, nil
	}
	return net.JoinHostPort(pod.Status.PodIP, port), nil
}

// serviceAddress picks one of the ready addresses behind a service's port, which is named or numbered, or its only one.
func (h *handler) serviceAddress(namespace, name, port string) (string, error) {
	object, found := h.server.cluster().Get("", "services", namespace, name)
	service, ok := object.(*corev1.Service)
	if !found || !ok {
		return "", apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, name)
	}
	portName, err := servicePortName(service, port)
	if err != nil {
		return "", err
	}
	var addresses []string
	for _, object := range h.server.cluster().List("discovery.k8s.io", "endpointslices", namespace) {
		slice, ok := object.(*discoveryv1.EndpointSlice)
		if !ok || slice.Labels[discoveryv1.LabelServiceName] != name {
			continue
		}
		addresses = append(addresses, readyAddresses(slice, portName)...)
	}
	if len(addresses) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	return addresses[rand.IntN(len(addresses))], nil
}

func servicePortName(service *corev1.Service, port string) (string, error) {
	if port == "" && len(service.Spec.Ports) == 1 {
		return service.Spec.Ports[0].Name, nil
	}
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Name == port || strconv.Itoa(int(p.Port)) == port
	})
	if i < 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, service.Name))
	}
	return service.Spec.Ports[i].Name, nil
}

func readyAddresses(slice *discoveryv1.EndpointSlice, portName string) []string {
	var addresses []string
	for _, p := range slice.Ports {
		if p.Port == nil || p.Name != nil && *p.Name != portName || p.Name == nil && portName != "" {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, address := range e.Addresses {
				addresses = append(addresses, net.JoinHostPort(address, strconv.Itoa(int(*p.Port))))
			}
		}
	}
	return addresses
}
