package network

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ForwardProxy lets a browser open every ingress host under its own name, as on the platform, with nothing changed on the
// machine: the browser asks this proxy instead of the name servers. It serves on the ingress' own port for http, beside the
// ingress: requests to a proxy look different (RFC 9110, 9112), they name a whole URL, or say CONNECT.
//
// It is no way to anywhere else: only hosts that an ingress names, on the ports 80 and 443, and they all lead to the ingress.
type ForwardProxy struct {
	Ingress *Ingress
	// HTTP and HTTPS are the ingress' own addresses, host:port.
	HTTP, HTTPS string
}

// PACPath is where a browser finds the list of hosts for which to ask the proxy, a "proxy auto-configuration". It is
// answered under the machine's own names only, not under an ingress host.
const PACPath = "/proxy.pac"

// ServeHTTP implements http.Handler.
func (p *ForwardProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Host != "":
		p.absolute(w, r)
	case r.URL.Path == PACPath && isThisMachine(r.Host):
		p.pac(w)
	default:
		p.Ingress.ServeHTTP(w, r)
	}
}

func isThisMachine(hostPort string) bool {
	host := hostPort
	if name, _, err := net.SplitHostPort(hostPort); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

type proxied struct{}

// viaProxy says that a request came through the proxy, so that its client uses the usual ports.
func viaProxy(r *http.Request) bool { return r.Context().Value(proxied{}) != nil }

// absolute answers a request that names a whole URL: http.
func (p *ForwardProxy) absolute(w http.ResponseWriter, r *http.Request) {
	if port := r.URL.Port(); r.URL.Scheme != "http" || port != "" && port != "80" || !p.Ingress.Knows(r.URL.Hostname()) {
		p.refuse(w, r, r.URL.Host)
		return
	}
	r.Header.Del("Proxy-Connection")
	r.Header.Del("Proxy-Authorization")
	r.Host = r.URL.Hostname()
	p.Ingress.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), proxied{}, true)))
}

// connect makes a tunnel: https, and WebSocket.
func (p *ForwardProxy) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	address := map[string]string{"443": p.HTTPS, "80": p.HTTP}[port]
	if err != nil || address == "" || !p.Ingress.Knows(host) {
		p.refuse(w, r, r.Host)
		return
	}
	ingress, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, "the ingress does not answer: "+err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = ingress.Close()
		http.Error(w, "a tunnel needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	if _, err := fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_, _ = client.Close(), ingress.Close()
		return
	}
	if early := buffered.Reader.Buffered(); early > 0 { // what came right behind the request
		said, _ := buffered.Reader.Peek(early)
		_, _ = ingress.Write(said)
	}
	Splice(client, ingress)
}

// refuse answers for hosts that no ingress names.
func (p *ForwardProxy) refuse(w http.ResponseWriter, r *http.Request, host string) {
	page{http.StatusForbidden, fmt.Sprintf("This proxy leads to the hosts of the cluster's ingresses only, on ports 80 and 443, not to %q.", host),
		[]string{"kubectl get ingress -A"}}.write(w, r)
}

// pac writes the rules for browsers, in JavaScript, as they want it: the proxy for ingress hosts, everything else as usual.
func (p *ForwardProxy) pac(w http.ResponseWriter) {
	exact, wildcard := []string{}, []string{}
	for _, name := range p.Ingress.Hosts() {
		if domain, ok := strings.CutPrefix(name, "*"); ok {
			wildcard = append(wildcard, domain)
		} else {
			exact = append(exact, name)
		}
	}
	names, _ := json.Marshal(exact)
	suffixes, _ := json.Marshal(wildcard)
	w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, `// The hosts of the cluster's ingresses, for browsers.
var hosts = %s, domains = %s;
function FindProxyForURL(url, host) {
  host = host.toLowerCase();
  var known = hosts.indexOf(host) >= 0;
  for (var i = 0; i < domains.length && !known; i++) {
    var dot = host.indexOf(".");
    known = dot > 0 && host.substring(dot) === domains[i];
  }
  return known && !/^[a-z]+:\/\/[^\/]*:\d/.test(url) ? "PROXY %s" : "DIRECT";
}
`, names, suffixes, p.HTTP)
}

// Knows says whether any rule names a host, or a wildcard that holds it.
func (i *Ingress) Knows(host string) bool {
	_, known := i.router.Load().find(hostOf(host), "/")
	return known
}

// SecureHosts lists the hosts whose plain requests are sent to https.
func (i *Ingress) SecureHosts() []string {
	var secure []string
	router := i.router.Load()
	for _, name := range router.names() {
		routes := router.hosts[name]
		if domain, ok := strings.CutPrefix(name, "*."); ok {
			routes = router.wildcard[domain]
		}
		if slices.ContainsFunc(routes, func(e *route) bool { return e.toTLS(name) }) {
			secure = append(secure, name)
		}
	}
	return secure
}
