package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/client"
	"kubette/loop"
)

// IngressComponent is the ingress' name in traces and events.
const IngressComponent = "ingress"

// ControllerName is the controller of the ingress classes that kubette serves.
const ControllerName = "kubette.io/ingress"

// IngressConfig is what an ingress is made from.
type IngressConfig struct {
	Client    client.Interface
	Informers *client.Informers
	Events    *client.Recorder
	Machine   *loop.Machine
	Table     *Table
	// Pod connects to a pod's address.
	Pod DialPod
	// Certificate makes a certificate for a host, for ingresses that name no secret; nil for none.
	Certificate func(host string) (*tls.Certificate, error)
	// HTTPSPort is where https is served, for redirections; 0 when it is not served.
	HTTPSPort int
	// Addresses go into the status of every ingress that is served.
	Addresses []string
}

// Ingress is the reverse proxy before the cluster's services. It is an http.Handler.
type Ingress struct {
	config    IngressConfig
	ingresses client.Informer[*networkingv1.Ingress]
	classes   client.Informer[*networkingv1.IngressClass]
	secrets   client.Informer[*corev1.Secret]
	loop      *loop.Loop[string]
	router    atomic.Pointer[router]
	buffers   buffers
	plain     *direct         // to pods that speak HTTP/1.1
	http2     *http.Transport // to pods that speak HTTP/2 without TLS
	certs     certificates
}

// The keys of the ingress' loop: the router is made from all ingresses at once, and so are their statuses, a moment
// later, so that a burst of changes is reported once. (ingress-nginx takes up to a minute for that.)
const (
	everything  = "ingresses"
	statuses    = "statuses"
	statusDelay = time.Second
)

// NewIngress makes an ingress; start the informers and Run it, and serve it on a listener.
func NewIngress(config IngressConfig) *Ingress {
	i := &Ingress{
		config:    config,
		ingresses: client.InformerFor[*networkingv1.Ingress](config.Informers),
		classes:   client.InformerFor[*networkingv1.IngressClass](config.Informers),
		secrets:   client.InformerFor[*corev1.Secret](config.Informers),
	}
	i.router.Store(newRouter(nil))
	i.plain, i.http2 = &direct{transport: i.transport(false)}, i.transport(true)
	i.loop = loop.New(IngressComponent, i.reconcile, loop.Options{Machine: config.Machine})
	i.ingresses.Handle(client.Handler[*networkingv1.Ingress]{
		Add:    func(o *networkingv1.Ingress) { i.enqueue(o, "added") },
		Update: func(_, o *networkingv1.Ingress) { i.enqueue(o, "changed") },
		Delete: func(o *networkingv1.Ingress) { i.enqueue(o, "deleted") },
	})
	i.classes.Handle(client.Handler[*networkingv1.IngressClass]{
		Add:    func(o *networkingv1.IngressClass) { i.loop.Add(everything, "ingressclasses/"+o.Name+" added") },
		Update: func(_, o *networkingv1.IngressClass) { i.loop.Add(everything, "ingressclasses/"+o.Name+" changed") },
		Delete: func(o *networkingv1.IngressClass) { i.loop.Add(everything, "ingressclasses/"+o.Name+" deleted") },
	})
	return i
}

func (i *Ingress) enqueue(o *networkingv1.Ingress, what string) {
	i.loop.Add(everything, "ingresses/"+o.Namespace+"/"+o.Name+" "+what)
}

// Run keeps the routes up to date until the context ends.
func (i *Ingress) Run(ctx context.Context) {
	i.loop.Run(ctx)
	i.plain.close()
	i.http2.CloseIdleConnections()
}

// reconcile makes the router from all ingresses that are this controller's, or reports on them.
func (i *Ingress) reconcile(ctx context.Context, key string) (time.Duration, error) {
	var served []*networkingv1.Ingress
	for _, ingress := range i.ingresses.List("", nil) {
		if i.serves(ingress) {
			served = append(served, ingress)
		}
	}
	if key == statuses {
		return 0, i.report(ctx, served)
	}
	i.Route(served)
	loop.Say(ctx, "RoutesMade", "ingresses", len(served))
	i.loop.AddAfter(statuses, statusDelay, "routes made")
	return 0, nil
}

// Route makes the routes anew from all ingresses that are served.
func (i *Ingress) Route(served []*networkingv1.Ingress) { i.router.Store(newRouter(served)) }

// serves says whether an ingress is this controller's: it names no class, or one of this controller's.
func (i *Ingress) serves(ingress *networkingv1.Ingress) bool {
	name := deref(ingress.Spec.IngressClassName, ingress.Annotations["kubernetes.io/ingress.class"])
	if name == "" {
		return true
	}
	class, ok := i.classes.Get("", name)
	return ok && class.Spec.Controller == ControllerName
}

// Hosts lists the hosts that rules name.
func (i *Ingress) Hosts() []string { return i.router.Load().names() }

// flushInterval is how long a piece of an answer may wait for the next one, where the pod said how long the answer is: most
// pass whole, in one packet. Streams (server-sent events, gRPC) have no length, and pass at once.
const flushInterval = 5 * time.Millisecond

func (i *Ingress) transport(http2 bool) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return i.dial(ctx, network, address)
		},
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTime,
		// What a client sends and a pod answers passes as it is.
		DisableCompression: true,
		// The pods' certificates are their own business, as with ingress-nginx (proxy-ssl-verify is off).
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	if http2 {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
		t.Protocols.SetHTTP2(true)
	}
	return t
}

func (i *Ingress) dial(ctx context.Context, network, address string) (net.Conn, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return i.config.Pod(ctx, network, target)
}

// ServeHTTP routes a request by its host and path.
func (i *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := hostOf(r.Host)
	matched, hostKnown := i.router.Load().find(host, r.URL.Path)
	switch {
	case matched == nil:
		i.config.Table.Traffic.Add(Way{}, false, 0)
		i.notFound(w, r, host, hostKnown)
	case matched.options.root != "" && r.URL.Path == "/":
		http.Redirect(w, r, matched.options.root, http.StatusFound)
	case matched.options.redirectTo != "":
		http.Redirect(w, r, matched.options.redirectTo, matched.options.redirect)
	case r.TLS == nil && matched.toTLS(host) && i.config.HTTPSPort != 0:
		http.Redirect(w, r, i.secureURL(r), http.StatusPermanentRedirect)
	default:
		i.forward(w, r, matched)
	}
}

func (i *Ingress) secureURL(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if i.config.HTTPSPort != 443 && !viaProxy(r) {
		host = net.JoinHostPort(host, strconv.Itoa(i.config.HTTPSPort))
	}
	return "https://" + host + r.URL.RequestURI()
}

// forward sends a request to one of the pods behind a route.
func (i *Ingress) forward(w http.ResponseWriter, r *http.Request, matched *route) {
	service, candidates, err := i.candidates(matched)
	if err != nil {
		i.unavailable(w, r, matched, err)
		return
	}
	if limit := matched.options.maxBody; limit > 0 {
		if r.ContentLength > limit {
			i.tooLarge(w, r, matched)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	first, err := service.Choose(candidates.port, clientAddress(r))
	if err != nil {
		i.unavailable(w, r, matched, err)
		return
	}
	began := time.Now()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(&url.URL{Scheme: matched.scheme(), Host: first.Address.String()})
			request.Out.URL.Path, request.Out.URL.RawPath = matched.rewritten(r.URL.Path), ""
			if matched.options.rewrite == "" {
				request.Out.URL.Path, request.Out.URL.RawPath = r.URL.Path, r.URL.RawPath
			}
			request.Out.Host = i.backendHost(r)
			request.SetXForwarded() // what the client says of itself is not believed, as in ingress-nginx
			request.Out.Header.Set("X-Forwarded-Host", request.Out.Host)
			request.Out.Header.Set("X-Forwarded-Port", forwardedPort(r))
			request.Out.Header.Set("X-Real-Ip", clientAddress(r).String())
		},
		Transport:     &retry{next: i.transportFor(matched), first: first, others: candidates.endpoints, patience: matched.options.patience},
		FlushInterval: flushInterval,
		BufferPool:    &i.buffers,
		ModifyResponse: func(response *http.Response) error {
			endpoint, _ := netip.ParseAddrPort(response.Request.URL.Host)
			i.count(matched, endpoint, response.StatusCode < http.StatusInternalServerError, time.Since(began))
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { i.failed(w, r, matched, err) },
		ErrorLog:     slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// backendHost is the Host header that a pod sees: the host of the rule, also for a request to its .localhost name, so
// that programs which check their host names work under both.
func (i *Ingress) backendHost(r *http.Request) string {
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = r.Host, ""
	}
	plain, local := strings.CutSuffix(strings.ToLower(name), localSuffix)
	if !local || port == "" {
		return plain + suffix(port)
	}
	return plain
}

func suffix(port string) string {
	if port == "" {
		return ""
	}
	return ":" + port
}

func forwardedPort(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return port
	}
	if r.TLS != nil {
		return "443"
	}
	return "80"
}

func clientAddress(r *http.Request) netip.Addr {
	address, _ := netip.ParseAddrPort(r.RemoteAddr)
	return address.Addr().Unmap()
}

func (e *route) scheme() string {
	if e.options.https {
		return "https"
	}
	return "http"
}

func (i *Ingress) transportFor(e *route) http.RoundTripper {
	if e.options.http2 {
		return i.http2
	}
	return i.plain
}

// candidates are the pods that a route may go to.
type candidateSet struct {
	port      *corev1.ServicePort
	endpoints []Endpoint
}

// ErrNoService: a rule names a service that does not exist.
var ErrNoService = errors.New("there is no such service")

func (i *Ingress) candidates(e *route) (*Service, candidateSet, error) {
	if e.backend.Service == nil {
		return nil, candidateSet{}, errors.New("the rule's backend is a resource, which kubette does not serve")
	}
	service, ok := i.config.Table.Service(e.ingress.Namespace, e.backend.Service.Name)
	if !ok {
		return nil, candidateSet{}, fmt.Errorf("service %s/%s: %w", e.ingress.Namespace, e.backend.Service.Name, ErrNoService)
	}
	port, err := service.Port(backendPortOf(e.backend.Service))
	if err != nil {
		return nil, candidateSet{}, err
	}
	return service, candidateSet{port: port, endpoints: service.Candidates(port, netip.Addr{})}, nil
}

func backendPortOf(backend *networkingv1.IngressServiceBackend) intstr.IntOrString {
	if backend.Port.Name != "" {
		return intstr.FromString(backend.Port.Name)
	}
	return intstr.FromInt32(backend.Port.Number)
}
