package network

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// page is an answer of the ingress itself: what is missing, and how to find out.
type page struct {
	status int
	what   string
	hints  []string // commands and advice
}

// write sends the page as HTML to browsers and as text to everybody else.
func (p page) write(w http.ResponseWriter, r *http.Request) {
	title := fmt.Sprintf("%d %s", p.status, http.StatusText(p.status))
	w.Header().Set("X-Kubette-Ingress", "true")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		fmt.Fprintf(w, "%s (kubette's ingress)\n%s\n", title, p.what)
		for _, hint := range p.hints {
			fmt.Fprintf(w, "  %s\n", hint)
		}
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	fmt.Fprintf(w, "<!doctype html><html lang=en><meta charset=utf-8><title>%[1]s</title>"+
		"<style>:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:44rem;margin:3rem auto;padding:0 1rem}</style>\n"+
		"<h1>%[1]s</h1>\n<p>%[2]s</p>\n<ul>\n", html.EscapeString(title), html.EscapeString(p.what))
	for _, hint := range p.hints {
		fmt.Fprintf(w, "<li><code>%s</code></li>\n", html.EscapeString(hint))
	}
	fmt.Fprint(w, "</ul>\n<p><small>This page is from kubette's ingress, not from the application.</small></p>\n</html>\n")
}

// notFound is the answer when no rule leads anywhere.
func (i *Ingress) notFound(w http.ResponseWriter, r *http.Request, host string, hostKnown bool) {
	if hostKnown {
		page{http.StatusNotFound, fmt.Sprintf("No rule of an ingress for host %q has the path %q.", host, r.URL.Path),
			[]string{"kubectl get ingress -A", "kubectl describe ingress"}}.write(w, r)
		return
	}
	what := fmt.Sprintf("No ingress has a rule for host %q.", host)
	if names := i.Hosts(); len(names) > 0 {
		what += " There are rules for: " + strings.Join(names, ", ") + "."
	} else {
		what += " There is no ingress with a host at all."
	}
	page{http.StatusNotFound, what, []string{"kubectl get ingress -A"}}.write(w, r)
}

// unavailable is the answer when a rule leads to a service that cannot take the request.
func (i *Ingress) unavailable(w http.ResponseWriter, r *http.Request, e *route, err error) {
	i.count(e, netip.AddrPort{}, false, 0)
	namespace := e.ingress.Namespace
	answer := page{status: http.StatusServiceUnavailable}
	where := fmt.Sprintf("Ingress %s/%s leads host %q to ", namespace, e.ingress.Name, e.host)
	var noPort *NoPortError
	var noEndpoints *NoEndpointsError
	switch {
	case errors.Is(err, ErrNoService):
		answer.what = where + fmt.Sprintf("service %q, which does not exist in namespace %q.", e.backend.Service.Name, namespace)
		answer.hints = []string{fmt.Sprintf("kubectl -n %s get services", namespace)}
	case errors.As(err, &noPort):
		answer.what = where + fmt.Sprintf("port %s of service %q, which has no such port.", noPort.Port, noPort.Name)
		answer.hints = []string{fmt.Sprintf("kubectl -n %s get service %s", namespace, noPort.Name)}
	case errors.As(err, &noEndpoints):
		answer.what = where + fmt.Sprintf("service %q, which has no ready pod behind it. %s", noEndpoints.Name, i.selectorHint(namespace, noEndpoints.Name))
		answer.hints = []string{
			fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", namespace, noEndpoints.Name),
			fmt.Sprintf("kubectl -n %s get pods --show-labels", namespace),
		}
	default:
		answer.what = where + "a backend that cannot be used: " + err.Error() + "."
	}
	answer.write(w, r)
}

// selectorHint says which labels a service looks for.
func (i *Ingress) selectorHint(namespace, name string) string {
	service, ok := i.config.Table.Service(namespace, name)
	if !ok || len(service.Object.Spec.Selector) == 0 {
		return "The service has no selector."
	}
	return fmt.Sprintf("It selects pods with the labels %s.", labels.Set(service.Object.Spec.Selector))
}

// failed is the answer when a pod was chosen and did not answer.
func (i *Ingress) failed(w http.ResponseWriter, r *http.Request, e *route, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		i.tooLarge(w, r, e)
		return
	case r.Context().Err() != nil:
		return // the client went away
	}
	i.count(e, netip.AddrPort{}, false, 0)
	switch {
	case errors.Is(err, ErrNoAnswer):
		page{http.StatusGatewayTimeout, fmt.Sprintf("Ingress %s/%s chose a pod of service %q, which took the request and did not answer within %s.",
			e.ingress.Namespace, e.ingress.Name, e.backend.Service.Name, e.options.patience),
			[]string{fmt.Sprintf("kubectl -n %s logs service/%s", e.ingress.Namespace, e.backend.Service.Name),
				"annotation " + nginxPrefix + "proxy-read-timeout: \"300\""}}.write(w, r)
		return
	}
	namespace := e.ingress.Namespace
	page{http.StatusBadGateway, fmt.Sprintf("Ingress %s/%s chose a pod of service %q, and the pod did not answer: %v. "+
		"Does its program listen on the service's targetPort, and on all addresses (0.0.0.0) rather than localhost?",
		namespace, e.ingress.Name, e.backend.Service.Name, err),
		[]string{
			fmt.Sprintf("kubectl -n %s get service %s -o wide", namespace, e.backend.Service.Name),
			fmt.Sprintf("kubectl -n %s logs service/%s", namespace, e.backend.Service.Name),
		}}.write(w, r)
}

func (i *Ingress) tooLarge(w http.ResponseWriter, r *http.Request, e *route) {
	page{http.StatusRequestEntityTooLarge, fmt.Sprintf("The request is larger than ingress %s/%s allows (%d bytes).",
		e.ingress.Namespace, e.ingress.Name, e.options.maxBody),
		[]string{"annotation " + nginxPrefix + "proxy-body-size: 8m"}}.write(w, r)
}
