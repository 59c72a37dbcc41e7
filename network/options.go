package network

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
)

// nginxPrefix is where ingress-nginx's annotations are: the ones that courses use are honoured.
const nginxPrefix = "nginx.ingress.kubernetes.io/"

// options are what an ingress' annotations ask for.
type options struct {
	regex      bool
	rewrite    string        // the path to ask the pod for; $1 is the first group of the rule's expression
	redirectTo string        // a permanent redirection
	redirect   int           // its status
	forceTLS   *bool         // http goes to https; nil: when the ingress has tls, as ingress-nginx does
	maxBody    int64         // bytes, 0 for no limit
	https      bool          // the pods speak TLS
	http2      bool          // the pods speak HTTP/2 (gRPC)
	root       string        // where / is redirected to
	patience   time.Duration // how long a pod may take to begin its answer
	// ignored says which annotations under nginxPrefix have no effect here.
	ignored []string
}

// defaultPatience is nginx's proxy_read_timeout.
const defaultPatience = time.Minute

// defaultMaxBody is ingress-nginx's proxy-body-size: 1m.
const defaultMaxBody = 1 << 20

// annotationReaders know the annotations that are honoured, by their name after nginxPrefix. They say whether they
// understood the value.
var annotationReaders = map[string]func(o *options, value string) bool{
	"use-regex":          func(o *options, value string) bool { return readBool(&o.regex, value) },
	"rewrite-target":     func(o *options, value string) bool { o.rewrite, o.regex = value, true; return true },
	"ssl-redirect":       func(o *options, value string) bool { return readForce(o, value, false) },
	"force-ssl-redirect": func(o *options, value string) bool { return readForce(o, value, true) },
	"app-root":           func(o *options, value string) bool { o.root = value; return strings.HasPrefix(value, "/") },
	"permanent-redirect": func(o *options, value string) bool { o.redirectTo = value; return true },
	"temporal-redirect": func(o *options, value string) bool {
		o.redirectTo, o.redirect = value, http.StatusFound
		return true
	},
	"permanent-redirect-code": func(o *options, value string) bool {
		code, err := strconv.Atoi(value)
		if err != nil || code < 300 || code > 399 {
			return false
		}
		o.redirect = code
		return true
	},
	"proxy-body-size": func(o *options, value string) bool {
		size, ok := nginxSize(value)
		if ok {
			o.maxBody = size
		}
		return ok
	},
	"backend-protocol": func(o *options, value string) bool {
		protocol := strings.ToUpper(value)
		o.https = protocol == "HTTPS" || protocol == "GRPCS"
		o.http2 = protocol == "GRPC" || protocol == "GRPCS"
		return o.https || o.http2 || protocol == "HTTP" || protocol == "AUTO_HTTP"
	},
	// What a client sends and a pod answers always passes at once, and as long as both want.
	"proxy-buffering":         func(_ *options, value string) bool { return value == "off" },
	"proxy-request-buffering": func(_ *options, value string) bool { return value == "off" },
	"proxy-read-timeout":      readSeconds,
	"proxy-send-timeout":      readSeconds,
	"proxy-http-version":      func(_ *options, value string) bool { return value == "1.1" },
}

func readBool(to *bool, value string) bool {
	*to = value == "true"
	return value == "true" || value == "false"
}

// readForce reads whether plain requests go to https. The forced kind goes before the other, and only its yes counts.
func readForce(o *options, value string, forced bool) bool {
	yes := value == "true"
	if yes || !forced && o.forceTLS == nil {
		o.forceTLS = &yes
	}
	return yes || value == "false"
}

// readSeconds takes a time limit: kubette's ingress is never less patient than asked.
func readSeconds(o *options, value string) bool {
	seconds, err := strconv.Atoi(value)
	o.patience = max(o.patience, time.Duration(seconds)*time.Second)
	return err == nil && seconds > 0
}

func readOptions(ingress *networkingv1.Ingress) options {
	o := options{maxBody: defaultMaxBody, redirect: http.StatusMovedPermanently, patience: defaultPatience}
	for _, key := range slices.Sorted(maps.Keys(ingress.Annotations)) {
		name, ok := strings.CutPrefix(key, nginxPrefix)
		if !ok {
			continue
		}
		read, known := annotationReaders[name]
		if !known {
			o.ignored = append(o.ignored, fmt.Sprintf("annotation %s has no effect in kubette's ingress", key))
		} else if !read(&o, ingress.Annotations[key]) {
			o.ignored = append(o.ignored, fmt.Sprintf("annotation %s: kubette's ingress cannot use the value %q", key, ingress.Annotations[key]))
		}
	}
	return o
}

// Unserved says what of an ingress has no effect in kubette.
func Unserved(ingress *networkingv1.Ingress) []string {
	texts := readOptions(ingress).ignored
	resource := func(b networkingv1.IngressBackend) {
		if b.Resource != nil {
			texts = append(texts, fmt.Sprintf("kubette's ingress does not serve the backend %s %s: only services", b.Resource.Kind, b.Resource.Name))
		}
	}
	if ingress.Spec.DefaultBackend != nil {
		resource(*ingress.Spec.DefaultBackend)
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			resource(path.Backend)
		}
	}
	return texts
}

var sizes = regexp.MustCompile(`^(\d+)([kKmMgG]?)$`)

// nginxSize reads a size as nginx writes it: 8m, 512k, 0 for no limit.
func nginxSize(text string) (int64, bool) {
	parts := sizes.FindStringSubmatch(text)
	if parts == nil {
		return 0, false
	}
	number, err := strconv.ParseInt(parts[1], 10, 64)
	shift := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30}[strings.ToLower(parts[2])]
	return number << shift, err == nil
}

// rewritten is the path to ask a pod for.
func (e *route) rewritten(path string) string {
	if e.options.rewrite == "" {
		return path
	}
	if e.pattern == nil {
		return e.options.rewrite
	}
	matched := e.pattern.FindStringSubmatchIndex(path)
	return string(e.pattern.ExpandString(nil, e.options.rewrite, path, matched))
}

// toTLS says whether plain requests for a host are sent to https: when an annotation says so, and else when the ingress
// has TLS for the host.
func (e *route) toTLS(host string) bool {
	if e.options.forceTLS != nil {
		return *e.options.forceTLS
	}
	return slices.ContainsFunc(e.ingress.Spec.TLS, func(entry networkingv1.IngressTLS) bool { return coversHost(entry, host) })
}
