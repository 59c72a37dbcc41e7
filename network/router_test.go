package network

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ingress makes an ingress with one rule; paths go by turns with the services that they lead to. A path that begins with
// = is Exact.
func ingress(name, host string, paths ...string) *networkingv1.Ingress {
	object := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	rule := networkingv1.IngressRule{Host: host}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
	for i := 0; i < len(paths); i += 2 {
		kind, path := networkingv1.PathTypePrefix, paths[i]
		if path[0] == '=' {
			kind, path = networkingv1.PathTypeExact, path[1:]
		}
		rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{Path: path, PathType: &kind,
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: paths[i+1], Port: networkingv1.ServiceBackendPort{Number: 80}}}})
	}
	object.Spec.Rules = append(object.Spec.Rules, rule)
	return object
}

func TestRoutesGoByHostThenByTheLongestPath(t *testing.T) {
	r := newRouter([]*networkingv1.Ingress{
		ingress("shop", "shop.example.org", "/", "front", "/api", "api", "=/api", "root-of-api", "/api/v2/", "second"),
		ingress("any", "*.example.org", "/", "wild"),
		ingress("nohost", "", "/health", "health"),
	})
	for _, test := range []struct{ host, path, want string }{
		{"shop.example.org", "/", "front"},
		{"shop.example.org", "/apis", "front"},
		{"shop.example.org", "/api", "root-of-api"},
		{"shop.example.org", "/api/", "api"},
		{"shop.example.org", "/api/v1", "api"},
		{"shop.example.org", "/api/v2", "second"},
		{"shop.example.org", "/api/v2/x", "second"},
		{"other.example.org", "/x", "wild"},
		{"a.b.example.org", "/x", ""},
		{"example.org", "/x", ""},
		{"unknown.test", "/health/live", "health"},
		{"", "/health", "health"},
		{"unknown.test", "/", ""},
	} {
		found, _ := r.find(test.host, test.path)
		got := ""
		if found != nil {
			got = found.backend.Service.Name
		}
		if got != test.want {
			t.Errorf("%s%s leads to %q, want %q", test.host, test.path, got, test.want)
		}
	}
}

func TestTheOlderIngressKeepsAHost(t *testing.T) {
	newer, older := ingress("a", "taken.example.org", "/", "newer"), ingress("b", "taken.example.org", "/", "older")
	newer.CreationTimestamp, older.CreationTimestamp = metav1.NewTime(time.Unix(200, 0)), metav1.NewTime(time.Unix(100, 0))
	found, _ := newRouter([]*networkingv1.Ingress{newer, older}).find("taken.example.org", "/")
	if found == nil || found.backend.Service.Name != "older" {
		t.Errorf("the host went to %v", found)
	}
}

func TestHostsLoseTheirPortAndLocalhost(t *testing.T) {
	for host, want := range map[string]string{
		"users.example.org": "users.example.org", "Users.Example.org:8080": "users.example.org", "users.example.org.": "users.example.org",
		"users.example.org.localhost:8080": "users.example.org", "localhost:8080": "localhost", "127.0.0.1:8080": "127.0.0.1",
	} {
		if got := hostOf(host); got != want {
			t.Errorf("host %s is %q, want %q", host, got, want)
		}
	}
}

func TestRewriteTargets(t *testing.T) {
	object := ingress("rewrite", "r.example.org", "/api(/|$)(.*)", "api")
	kind := networkingv1.PathTypeImplementationSpecific
	object.Spec.Rules[0].HTTP.Paths[0].PathType = &kind
	object.Annotations = map[string]string{nginxPrefix + "rewrite-target": "/$2"}
	r := newRouter([]*networkingv1.Ingress{object})
	for path, want := range map[string]string{"/api": "/", "/api/": "/", "/api/users/1": "/users/1"} {
		found, _ := r.find("r.example.org", path)
		if found == nil {
			t.Errorf("%s is not routed", path)
		} else if got := found.rewritten(path); got != want {
			t.Errorf("%s is asked for as %q, want %q", path, got, want)
		}
	}
}

// FuzzFind: hosts and paths come from outside.
func FuzzFind(f *testing.F) {
	f.Add("shop.example.org", "/api")
	f.Add(".", "//")
	r := newRouter([]*networkingv1.Ingress{ingress("shop", "shop.example.org", "/", "front", "/api", "api"), ingress("any", "*.example.org", "/x", "wild")})
	f.Fuzz(func(t *testing.T, host, path string) {
		if found, known := r.find(hostOf(host), path); found != nil && found.host != "" && !known {
			t.Errorf("%q was routed by a rule for %q, but counts as unknown", host, found.host)
		}
	})
}
