package openapi

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Resource is what is said about one resource at one version.
type Resource struct {
	Resource     schema.GroupVersionResource
	Kind         schema.GroupVersionKind
	Namespaced   bool
	Verbs        []string
	Subresources []Subresource
	Object, List runtime.Object // empty ones; List is nil for what cannot be listed
	// Schema describes a custom resource, all but the fields that every object has; nil for Kubernetes' own types, which
	// describe themselves. Version 2 knows less than version 3.
	Schema func(v2 bool) *spec.Schema
}

// Subresource is a part of an object with a path of its own.
type Subresource struct {
	Name   string
	Kind   schema.GroupVersionKind
	Verbs  []string
	Object runtime.Object
}

// API describes a set of resources. Documents are made when they are first asked for, and kept.
type API struct {
	version   string
	resources []Resource
	hash      string

	mu        sync.Mutex
	documents map[string]*document
}

// document is one description, as JSON, and as protobuf once somebody wants that.
type document struct {
	json, protobuf []byte
	etag           string
}

// New describes resources, for a server of a version.
func New(version string, resources []Resource) *API {
	a := &API{version: version, resources: resources, documents: map[string]*document{}}
	sum := sha512.New()
	fmt.Fprintln(sum, version, len(markersJSON))
	for _, r := range resources {
		fmt.Fprintln(sum, r.Resource, r.Kind, r.Verbs, len(r.Subresources))
		if r.Schema != nil {
			_ = json.NewEncoder(sum).Encode(r.Schema(false)) // a hash takes everything
		}
	}
	a.hash = fmt.Sprintf("%X", sum.Sum(nil))
	return a
}

// groupVersions lists the documents of version 3: api/v1, apis/apps/v1, …
func (a *API) groupVersions() []string {
	seen := map[string]bool{}
	for _, r := range a.resources {
		seen[root(r.Resource.GroupVersion())] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// get returns a document by its name: "v2", or the root of a group version for version 3. It is nil for an unknown one.
func (a *API) get(name string) (*document, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d, made := a.documents[name]; made {
		return d, nil
	}
	var content map[string]any
	var err error
	switch {
	case name == "v2":
		content, err = a.v2()
	case slices.Contains(a.groupVersions(), name):
		content, err = a.v3(name)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode the description %s: %w", name, err)
	}
	d := &document{json: data, etag: fmt.Sprintf("%X", sha512.Sum512(data))}
	a.documents[name] = d
	return d, nil
}

// asProtobuf returns a document in gnostic's protobuf form, which older clients ask for.
func (a *API) asProtobuf(name string, d *document) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.protobuf == nil {
		data, err := gnostic(name, d.json)
		if err != nil {
			return nil, fmt.Errorf("encode the description %s as protobuf: %w", name, err)
		}
		d.protobuf = data
	}
	return d.protobuf, nil
}

func gnostic(name string, data []byte) ([]byte, error) {
	if name == "v2" {
		parsed, err := openapi_v2.ParseDocument(data)
		if err != nil {
			return nil, err
		}
		return proto.Marshal(parsed)
	}
	parsed, err := openapi_v3.ParseDocument(data)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(parsed)
}

func (a *API) info() map[string]any {
	return map[string]any{"title": "Kubernetes", "version": a.version}
}

func (a *API) v2() (map[string]any, error) {
	b, paths, err := a.describe(refV2, func(Resource) bool { return true })
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"swagger": "2.0", "info": a.info(), "paths": paths, "definitions": b.schemas,
		"securityDefinitions": map[string]any{"BearerToken": bearerToken()}, "security": []any{map[string]any{"BearerToken": []any{}}},
	}, nil
}

func (a *API) v3(name string) (map[string]any, error) {
	b, paths, err := a.describe(refV3, func(r Resource) bool { return root(r.Resource.GroupVersion()) == name })
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"openapi": "3.0.0", "info": a.info(), "paths": paths,
		"components": map[string]any{"schemas": b.schemas, "securitySchemes": map[string]any{"BearerToken": bearerToken()}},
	}, nil
}

func bearerToken() map[string]any {
	return map[string]any{"type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication"}
}

// describe makes the schemas and the paths of some of the resources.
func (a *API) describe(refs string, wanted func(Resource) bool) (*builder, map[string]any, error) {
	b, err := newBuilder(refs)
	if err != nil {
		return nil, nil, err
	}
	paths := map[string]any{}
	v1 := schema.GroupVersion{Version: "v1"}
	for _, common := range []any{&metav1.Status{}, &metav1.DeleteOptions{}} {
		if _, err := b.kind(common, v1.WithKind(dereferencedName(common))); err != nil {
			return nil, nil, err
		}
	}
	for _, r := range a.resources {
		if !wanted(r) {
			continue
		}
		if err := b.resource(r, paths); err != nil {
			return nil, nil, fmt.Errorf("describe %s: %w", r.Resource, err)
		}
	}
	b.finish()
	return b, paths, nil
}

func dereferencedName(object any) string {
	full := fmt.Sprintf("%T", object)
	return full[strings.LastIndexByte(full, '.')+1:]
}

// schemaRef returns the reference to the schema of an object; a custom resource brings its own.
func (b *builder) schemaRef(r Resource, object runtime.Object, kind schema.GroupVersionKind) (string, error) {
	switch object.(type) {
	case *unstructured.Unstructured, *unstructured.UnstructuredList:
		return b.custom(r, kind), nil
	}
	return b.kind(object, kind)
}
