package network

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// localSuffix is what browsers resolve to this machine: HOST.localhost opens HOST without any set-up.
const localSuffix = ".localhost"

// router holds every rule of every ingress that is served, in the order in which they are tried. It is made anew when an
// ingress changes, and never changed.
type router struct {
	hosts    map[string][]*route // by exact host; "" for rules without one
	wildcard map[string][]*route // *.example.org, by example.org
	fallback []*route            // default backends
}

// route is one path of one rule.
type route struct {
	ingress *networkingv1.Ingress
	host    string
	path    string
	exact   bool
	pattern *regexp.Regexp // for paths that are expressions (use-regex)
	backend networkingv1.IngressBackend
	options options
}

// newRouter reads the ingresses, the oldest first: where two name the same host and path, the older one keeps it.
func newRouter(ingresses []*networkingv1.Ingress) *router {
	r := &router{hosts: map[string][]*route{}, wildcard: map[string][]*route{}}
	slices.SortFunc(ingresses, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	for _, ingress := range ingresses {
		r.add(ingress)
	}
	for _, table := range []map[string][]*route{r.hosts, r.wildcard} {
		for _, routes := range table {
			slices.SortStableFunc(routes, precedence)
		}
	}
	return r
}

func (r *router) add(ingress *networkingv1.Ingress) {
	options := readOptions(ingress)
	if backend := ingress.Spec.DefaultBackend; backend != nil {
		r.fallback = append(r.fallback, &route{ingress: ingress, path: "/", backend: *backend, options: options})
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			entry := &route{ingress: ingress, host: rule.Host, path: p.Path, backend: p.Backend, options: options,
				exact: p.PathType != nil && *p.PathType == networkingv1.PathTypeExact}
			implementation := p.PathType != nil && *p.PathType == networkingv1.PathTypeImplementationSpecific
			if options.regex && implementation {
				// Kubernetes leaves this type to the controller; ingress-nginx takes such a path for an expression.
				entry.pattern, _ = regexp.Compile("(?i)^" + p.Path)
			}
			if entry.path == "" {
				entry.path = "/"
			}
			if domain, ok := strings.CutPrefix(rule.Host, "*."); ok {
				r.wildcard[domain] = append(r.wildcard[domain], entry)
			} else {
				r.hosts[rule.Host] = append(r.hosts[rule.Host], entry)
			}
		}
	}
}

// precedence puts the longest path first, and an exact one before a prefix of the same length, as the API says.
func precedence(a, b *route) int {
	if order := cmp.Compare(len(b.path), len(a.path)); order != 0 {
		return order
	}
	switch {
	case a.exact && !b.exact:
		return -1
	case b.exact && !a.exact:
		return 1
	}
	return 0
}

func (e *route) matches(path string) bool {
	switch {
	case e.pattern != nil:
		return e.pattern.MatchString(path)
	case e.exact:
		return path == e.path
	}
	// A prefix goes by whole elements: /foo leads to /foo and /foo/bar, not to /foobar.
	prefix := strings.TrimSuffix(e.path, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/") || prefix == ""
}

// hostOf is the host that a request names, without port and without .localhost.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if name, ok := strings.CutSuffix(host, localSuffix); ok {
		return name
	}
	return host
}

// find returns the route for a host and path; hostKnown says whether any rule names the host.
func (r *router) find(host, path string) (found *route, hostKnown bool) {
	lists := [][]*route{r.hosts[host]}
	if _, domain, ok := strings.Cut(host, "."); ok {
		lists = append(lists, r.wildcard[domain])
	}
	hostKnown = host != "" && (len(lists[0]) > 0 || len(lists) > 1 && len(lists[1]) > 0)
	lists = append(lists, r.hosts[""])
	for i, routes := range lists {
		if i == len(lists)-1 && host == "" {
			break // looked through already
		}
		for _, candidate := range routes {
			if candidate.matches(path) {
				return candidate, hostKnown
			}
		}
	}
	if len(r.fallback) > 0 {
		return r.fallback[0], hostKnown
	}
	return nil, hostKnown
}

// names lists the hosts that rules name, in order.
func (r *router) names() []string {
	var names []string
	for host := range r.hosts {
		if host != "" {
			names = append(names, host)
		}
	}
	for domain := range r.wildcard {
		names = append(names, "*."+domain)
	}
	slices.Sort(names)
	return names
}
