package openapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/apiserver/openapi"
)

func api() *openapi.API {
	all := []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	return openapi.New("v1.37.2", []openapi.Resource{
		{Resource: corev1.SchemeGroupVersion.WithResource("services"), Kind: corev1.SchemeGroupVersion.WithKind("Service"), Namespaced: true, Verbs: all,
			Object: &corev1.Service{}, List: &corev1.ServiceList{}},
		{Resource: appsv1.SchemeGroupVersion.WithResource("deployments"), Kind: appsv1.SchemeGroupVersion.WithKind("Deployment"), Namespaced: true, Verbs: all,
			Object: &appsv1.Deployment{}, List: &appsv1.DeploymentList{},
			Subresources: []openapi.Subresource{{Name: "status", Kind: appsv1.SchemeGroupVersion.WithKind("Deployment"), Verbs: []string{"get", "patch", "update"}, Object: &appsv1.Deployment{}}}},
	})
}

func get(t *testing.T, a *openapi.API, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	if err := a.Serve(w, r); err != nil {
		t.Fatal(err)
	}
	return w
}

type document struct {
	Paths      map[string]map[string]any
	Components struct{ Schemas map[string]any }
}

func TestV3(t *testing.T) {
	a := api()
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(get(t, a, "/openapi/v3").Body.Bytes(), &index); err != nil || len(index.Paths) != 2 {
		t.Fatalf("%v %v", err, index)
	}
	where := index.Paths["apis/apps/v1"].ServerRelativeURL
	w := get(t, a, where)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status"} {
		if d.Paths[path] == nil {
			t.Errorf("%s is missing", path)
		}
	}
	for _, name := range []string{"io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.PodSpec", "io.k8s.apimachinery.pkg.apis.meta.v1.Time"} {
		if d.Components.Schemas[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if w := get(t, a, "/openapi/v3/apis/apps/v1?hash=OLD"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != where {
		t.Errorf("an old hash: %d %v", w.Code, w.Header())
	}
	if w := get(t, a, "/openapi/v3/apis/apps/v1", "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", w.Code)
	}
	if w := get(t, a, "/openapi/v3/apis/none/v1"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

// What comments say and reflection cannot see.
func TestMarkers(t *testing.T) {
	var d struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]map[string]any
			}
		}
	}
	if err := json.Unmarshal(get(t, api(), "/openapi/v3/api/v1").Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	spec := d.Components.Schemas["io.k8s.api.core.v1.ServiceSpec"]
	ports := spec.Properties["ports"]
	if ports["x-kubernetes-list-type"] != "map" || ports["x-kubernetes-patch-merge-key"] != "port" || len(ports["x-kubernetes-list-map-keys"].([]any)) != 2 {
		t.Errorf("%v", ports)
	}
	if policy := spec.Properties["externalTrafficPolicy"]; len(policy["enum"].([]any)) != 2 || !strings.Contains(policy["description"].(string), "\n\nPossible enum values:\n - `\"Cluster\"` routes") {
		t.Errorf("%v", policy)
	}
	port := d.Components.Schemas["io.k8s.api.core.v1.ServicePort"]
	if len(port.Required) != 1 || port.Required[0] != "port" || port.Properties["protocol"]["default"] != "TCP" {
		t.Errorf("%v %v", port.Required, port.Properties["protocol"])
	}
}

func TestV2AsProtobuf(t *testing.T) {
	w := get(t, api(), "/openapi/v2", "Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
	var parsed openapi_v2.Document
	if err := proto.Unmarshal(w.Body.Bytes(), &parsed); err != nil || parsed.Swagger != "2.0" || len(parsed.Definitions.AdditionalProperties) < 50 {
		t.Errorf("%v %s", err, parsed.Swagger)
	}
	if w := get(t, api(), "/openapi/v2", "Accept", "text/html"); w.Code != http.StatusNotAcceptable {
		t.Errorf("%d", w.Code)
	}
}
