package apiserver_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/store"
)

// A server on a store that was closed shows every object as it was, and goes on from there.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	first := must(store.OpenBolt(file, store.BoltOptions{}))(t)
	_, c := start(t, func(config *apiserver.Config) { config.Store = first })
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	before := must(client.Of[*corev1.Service](c).Create(t.Context(), service))(t)
	p := must(client.Of[*corev1.Pod](c).Create(t.Context(), pod("p")))(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := must(store.OpenBolt(file, store.BoltOptions{}))(t)
	defer second.Close()
	server, err := apiserver.New(apiserver.Config{Store: second})
	if err != nil {
		t.Fatal(err)
	}
	c = client.InProcess(server, admin)
	if diff := cmp.Diff(before, must(client.Of[*corev1.Service](c).Get(t.Context(), "default", "web"))(t)); diff != "" {
		t.Errorf("the service changed: %s", diff)
	}
	after := must(client.Of[*corev1.Pod](c).Get(t.Context(), "default", "p"))(t)
	if diff := cmp.Diff(p, after); diff != "" {
		t.Errorf("the pod changed: %s", diff)
	}
	changed := after.DeepCopy()
	changed.Status.Phase = corev1.PodRunning
	if changed = must(client.Of[*corev1.Pod](c).UpdateStatus(t.Context(), changed))(t); changed.ResourceVersion <= after.ResourceVersion {
		t.Errorf("versions went from %s to %s", after.ResourceVersion, changed.ResourceVersion)
	}
}

// widgets are a kind without a Go type, as a CustomResourceDefinition makes one.
func widgets() *kinds.Kind {
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	return &kinds.Kind{
		Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Plural: "widgets", Singular: "widget", Namespaced: true,
		New: func() kinds.Object {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(kind)
			return u
		},
		NewList: func() runtime.Object { return &unstructured.UnstructuredList{} },
	}
}

func TestServeAnotherKind(t *testing.T) {
	server, c := start(t)
	resource := widgets().Resource()
	widget := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w"}, "spec": map[string]any{"size": int64(1)}}}
	_, err := c.Create(t.Context(), resource, "default", "", widget, metav1.CreateOptions{})
	wantStatus(t, err, 404, "the server could not find the requested resource")

	if err := server.Serve(widgets()); err != nil {
		t.Fatal(err)
	}
	must(c.Create(t.Context(), resource, "default", "", widget, metav1.CreateOptions{}))(t)
	w := must(c.Watch(t.Context(), resource, "default", metav1.ListOptions{}))(t)
	if e := <-w.ResultChan(); e.Type != watch.Added {
		t.Errorf("got %s", e.Type)
	}
	_, err = c.Patch(t.Context(), resource, "default", "w", types.MergePatchType, []byte(`{"spec":{"size":2}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := <-w.ResultChan(); e.Type != watch.Modified {
		t.Errorf("got %s", e.Type)
	}
	applied := "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: default}\nspec: {colour: red}"
	got := must(c.Patch(t.Context(), resource, "default", "w", types.ApplyYAMLPatchType, []byte(applied), metav1.PatchOptions{FieldManager: "m"}))(t)
	spec := got.(*unstructured.Unstructured).Object["spec"]
	if diff := cmp.Diff(map[string]any{"size": int64(2), "colour": "red"}, spec); diff != "" {
		t.Error(diff)
	}
	_, err = c.Patch(t.Context(), resource, "default", "w", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if status := err.(interface{ Status() metav1.Status }).Status(); status.Code != 415 { //nolint:errorlint // it is one
		t.Errorf("a strategic merge patch: %v", err)
	}
	if err := server.Withdraw(resource); err != nil {
		t.Fatal(err)
	}
	for e := range w.ResultChan() {
		if e.Type != watch.Modified && e.Type != watch.Error {
			t.Errorf("got %s", e.Type)
		}
	}
	// What was stored is there again when the kind is.
	if err := server.Serve(widgets()); err != nil {
		t.Fatal(err)
	}
	must(c.Get(t.Context(), resource, "default", "w", metav1.GetOptions{}))(t)
}

func TestReviews(t *testing.T) {
	_, c := start(t, func(config *apiserver.Config) { config.Authorizer = reviewers{} })
	attributes := &authorizationv1.ResourceAttributes{Verb: "delete", Resource: "pods", Namespace: "default"}
	ask := func(kind client.Object, resource string) (any, error) {
		return c.Create(t.Context(), schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: resource}, "", "", kind, metav1.CreateOptions{})
	}
	own := must(ask(&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes}},
		"selfsubjectaccessreviews"))(t).(*authorizationv1.SelfSubjectAccessReview)
	if own.Status.Allowed || own.Status.Reason != "only reading" {
		t.Errorf("got %+v", own.Status)
	}
	_, err := ask(&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes}}, "subjectaccessreviews")
	wantStatus(t, err, 422, `SubjectAccessReview.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified`)
	self := must(c.Create(t.Context(), schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "selfsubjectreviews"}, "", "",
		&authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}))(t).(*authenticationv1.SelfSubjectReview)
	if self.Status.UserInfo.Username != admin.Name {
		t.Errorf("I am %+v", self.Status.UserInfo)
	}
}
