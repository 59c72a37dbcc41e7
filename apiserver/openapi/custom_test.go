package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"kubette/apiserver/openapi"
)

// widgets is a custom resource, whose schema says less in version 2.
func widgets(describe func(v2 bool) *spec.Schema) *openapi.API {
	gv := schema.GroupVersion{Group: "shop.example.com", Version: "v1"}
	return openapi.New("v1.37.2", []openapi.Resource{{
		Resource: gv.WithResource("widgets"), Kind: gv.WithKind("Widget"), Namespaced: true, Verbs: []string{"create", "get", "list", "patch"},
		Object: &unstructured.Unstructured{}, List: &unstructured.UnstructuredList{}, Schema: describe,
	}})
}

func describeWidget(v2 bool) *spec.Schema {
	size := spec.Int64Property().WithDescription("how large it is")
	if !v2 {
		size.AddExtension("x-kubernetes-validations", []any{})
	}
	s := new(spec.Schema).Typed("object", "").WithDescription("a widget").SetProperty("size", *size)
	inner := new(spec.Schema).Typed("object", "")
	inner.AddExtension("x-kubernetes-embedded-resource", true)
	return s.SetProperty("template", *inner)
}

func TestCustomResources(t *testing.T) {
	a := widgets(describeWidget)
	var v2 struct{ Definitions map[string]spec.Schema }
	if err := json.Unmarshal(get(t, a, "/openapi/v2").Body.Bytes(), &v2); err != nil {
		t.Fatal(err)
	}
	var v3 struct {
		Components struct{ Schemas map[string]spec.Schema }
	}
	if err := json.Unmarshal(get(t, a, "/openapi/v3/apis/shop.example.com/v1").Body.Bytes(), &v3); err != nil {
		t.Fatal(err)
	}
	const meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	for version, schemas := range map[string]map[string]spec.Schema{"v2": v2.Definitions, "v3": v3.Components.Schemas} {
		widget, list := schemas["com.example.shop.v1.Widget"], schemas["com.example.shop.v1.WidgetList"]
		if widget.Description != "a widget" || widget.Properties["size"].Description != "how large it is" {
			t.Errorf("%s: the schema's own words are missing: %+v", version, widget)
		}
		for _, s := range []spec.Schema{widget, widget.Properties["template"]} {
			if s.Properties["apiVersion"].Description == "" || s.Properties["metadata"].Description == "" {
				t.Errorf("%s: an object lacks what every object has: %v", version, s.Properties)
			}
		}
		if _, there := schemas[meta]; !there {
			t.Errorf("%s refers to %s without having it", version, meta)
		}
		if got := list.Properties["items"].Description; got != "List of widgets. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md" {
			t.Errorf("%s: items: %q", version, got)
		}
		want := []any{map[string]any{"group": "shop.example.com", "version": "v1", "kind": "Widget"}}
		if diff := cmp.Diff(want, widget.Extensions["x-kubernetes-group-version-kind"]); diff != "" {
			t.Errorf("%s: -want +got\n%s", version, diff)
		}
	}
}

// TestCustomResourcesTakeNoStrategicPatch: kubectl apply would send one.
func TestCustomResourcesTakeNoStrategicPatch(t *testing.T) {
	a := widgets(describeWidget)
	for _, path := range []string{"/openapi/v2", "/openapi/v3/apis/shop.example.com/v1"} {
		body := get(t, a, path).Body.String()
		if !strings.Contains(body, "application/merge-patch+json") || strings.Contains(body, "application/strategic-merge-patch+json") {
			t.Errorf("%s does not say so", path)
		}
	}
}

// TestCustomResourceOfAnything: older clients refuse every field that version 2 does not name, so it must name none.
func TestCustomResourceOfAnything(t *testing.T) {
	a := widgets(func(bool) *spec.Schema {
		s := new(spec.Schema).Typed("object", "")
		s.AddExtension("x-kubernetes-preserve-unknown-fields", true)
		return s
	})
	var v2 struct{ Definitions map[string]spec.Schema }
	if err := json.Unmarshal(get(t, a, "/openapi/v2").Body.Bytes(), &v2); err != nil {
		t.Fatal(err)
	}
	if got := v2.Definitions["com.example.shop.v1.Widget"].Properties; len(got) != 0 {
		t.Errorf("properties %v", got)
	}
}
