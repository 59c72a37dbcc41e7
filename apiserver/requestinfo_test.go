package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Attributes
	}{
		{"GET", "/version", Attributes{Verb: "get", Path: "/version"}},
		{"POST", "/", Attributes{Verb: "post", Path: "/"}},
		{"GET", "/api/v1", Attributes{Verb: "get", Path: "/api/v1"}},
		{"GET", "/apis/apps/v1", Attributes{Verb: "get", Path: "/apis/apps/v1"}},
		{"GET", "/api/v1/nodes", Attributes{Verb: "list", Version: "v1", Resource: "nodes"}},
		{"GET", "/api/v1/nodes/n/", Attributes{Verb: "get", Version: "v1", Resource: "nodes", Name: "n"}},
		{"GET", "/api/v1/pods?watch=1", Attributes{Verb: "watch", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/pods?watch=false", Attributes{Verb: "list", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/watch/namespaces/a/pods/p", Attributes{Verb: "watch", Version: "v1", Resource: "pods", Namespace: "a", Name: "p"}},
		{"GET", "/api/v1/namespaces", Attributes{Verb: "list", Version: "v1", Resource: "namespaces"}},
		{"DELETE", "/api/v1/namespaces/a", Attributes{Verb: "delete", Version: "v1", Resource: "namespaces", Namespace: "a", Name: "a"}},
		{"PUT", "/api/v1/namespaces/a/finalize", Attributes{Verb: "update", Version: "v1", Resource: "namespaces", Subresource: "finalize", Namespace: "a", Name: "a"}},
		{"DELETE", "/api/v1/namespaces/a/pods", Attributes{Verb: "deletecollection", Version: "v1", Resource: "pods", Namespace: "a"}},
		{"POST", "/api/v1/namespaces/a/pods/p/exec?command=ls", Attributes{Verb: "create", Version: "v1", Resource: "pods", Subresource: "exec", Namespace: "a", Name: "p"}},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", Attributes{Verb: "patch", Group: "apps", Version: "v1", Resource: "deployments", Subresource: "scale", Namespace: "a", Name: "d"}},
		{"GET", "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Ds&watch=true", Attributes{Verb: "watch", Version: "v1", Resource: "secrets", Namespace: "a", Name: "s"}},
		{"OPTIONS", "/api/v1/pods", Attributes{Verb: "options", Path: "/api/v1/pods"}},
	} {
		u, err := url.Parse(c.path)
		if err != nil {
			t.Fatal(err)
		}
		info := parseRequest(c.method, u)
		got := info.attributes()
		c.want.ResourceRequest = c.want.Resource != ""
		if c.want.ResourceRequest {
			c.want.Path = u.Path
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %s: %s", c.method, c.path, diff)
		}
	}
}

// FuzzParseRequest checks what authorization relies on: a path under /api/VERSION/ or /apis/GROUP/VERSION/ with a known
// method is always a resource's, and the parts come from the path.
func FuzzParseRequest(f *testing.F) {
	for _, path := range []string{"/", "/api/v1/namespaces/a/pods/p/log", "/apis/apps/v1/deployments?watch=1", "/api/v1/watch/pods", "//api//v1//x", "/api/v1/namespaces//pods"} {
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.Parse(path)
		if err != nil {
			return
		}
		info := parseRequest(method, u)
		if !info.isResource {
			if info.resource != "" || info.namespace != "" {
				t.Errorf("%q is no resource and has parts: %+v", path, info)
			}
			parts := pathParts(u.Path)
			if _, known := methodVerbs[method]; known && len(parts) >= 3 && parts[0] == "api" {
				t.Errorf("%q is not taken for a resource", path)
			}
			return
		}
		for _, part := range []string{info.group, info.version, info.resource, info.sub} {
			if !strings.Contains(u.Path, part) {
				t.Errorf("%q is not in %q", part, u.Path)
			}
		}
	})
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		accept string
		media  string
		shape  shape
		fails  bool
	}{
		{accept: "", media: mediaJSON},
		{accept: "*/*", media: mediaJSON},
		{accept: "text/html, application/*;q=0.5", media: mediaJSON},
		{accept: "application/vnd.kubernetes.protobuf,application/json", media: mediaProtobuf},
		{accept: "application/json;q=0.1,application/yaml", media: mediaYAML},
		{accept: "application/cbor,application/json", media: mediaJSON},
		{accept: "text/html", fails: true},
		{accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", media: mediaJSON, shape: asTable},
		{accept: "application/json;as=Table;v=v2;g=meta.k8s.io,application/json", media: mediaJSON},
		{accept: "application/json;as=Nonsense;v=v1;g=meta.k8s.io", fails: true},
		{accept: "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", media: mediaProtobuf, shape: asPartialList},
	} {
		r := &http.Request{Header: http.Header{"Accept": {c.accept}}, URL: &url.URL{}}
		if c.accept == "" {
			r.Header = http.Header{}
		}
		got, err := negotiate(r, true)
		if (err != nil) != c.fails {
			t.Errorf("%q: %v", c.accept, err)
			continue
		}
		if !c.fails && (got.media != c.media || got.shape != c.shape) {
			t.Errorf("%q: %s as %q, want %s as %q", c.accept, got.media, got.shape, c.media, c.shape)
		}
	}
}
