package apiserver_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver"
	"kubette/client"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	podsGVR    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func names(list *client.List) []string {
	names := []string{}
	for _, item := range list.Items {
		names = append(names, item.(client.Object).GetName())
	}
	return names
}

func TestListSelects(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	for name, tier := range map[string]string{"a": "web", "b": "db", "c": "web"} {
		must(maps.Create(t.Context(), configMap(name, map[string]string{"tier": tier})))(t)
	}
	for _, test := range []struct {
		options metav1.ListOptions
		want    []string
	}{
		{metav1.ListOptions{}, []string{"a", "b", "c"}},
		{metav1.ListOptions{LabelSelector: "tier=web"}, []string{"a", "c"}},
		{metav1.ListOptions{LabelSelector: "tier notin (web)"}, []string{"b"}},
		{metav1.ListOptions{FieldSelector: "metadata.name=b"}, []string{"b"}},
		{metav1.ListOptions{FieldSelector: "metadata.namespace!=default"}, []string{}},
		{metav1.ListOptions{FieldSelector: "metadata.name!=b", LabelSelector: "tier"}, []string{"a", "c"}},
	} {
		got := names(must(c.List(t.Context(), configMaps, "default", test.options))(t))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v: %s", test.options, diff)
		}
	}
}

func TestListRefuses(t *testing.T) {
	_, c := start(t)
	for name, test := range map[string]struct {
		resource schema.GroupVersionResource
		options  metav1.ListOptions
		code     int32
		message  string
	}{
		"unknown field": {configMaps, metav1.ListOptions{FieldSelector: "data.a=1"}, 400,
			`"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		"unknown field of a kind with fields": {podsGVR, metav1.ListOptions{FieldSelector: "spec.banana=1"}, 400,
			"field label not supported: spec.banana"},
		"bad revision": {configMaps, metav1.ListOptions{ResourceVersion: "x"}, 400,
			`invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax`},
		"revision to come": {configMaps, metav1.ListOptions{ResourceVersion: "1000000"}, 504,
			"Timeout: Too large resource version: 1000000, current: 1"},
		"match without revision": {configMaps, metav1.ListOptions{ResourceVersionMatch: "Exact"}, 422,
			`ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided`},
		"bad token": {configMaps, metav1.ListOptions{Continue: "%%"}, 400,
			"invalid continue token: continue key is not valid: illegal base64 data at input byte 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.List(t.Context(), test.resource, "default", test.options)
			wantStatus(t, err, test.code, test.message)
		})
	}
}

// wantStatus checks an API error.
func wantStatus(t *testing.T, err error, code int32, message string) {
	t.Helper()
	status, ok := err.(apierrors.APIStatus) //nolint:errorlint // it must be one itself
	if !ok {
		t.Fatalf("got %v, want an API status with code %d", err, code)
	}
	if got := status.Status(); got.Code != code || got.Message != message {
		t.Errorf("got %d %s\nwant %d %s", got.Code, got.Message, code, message)
	}
}

// A list in pages shows one moment, whatever is written in between.
func TestListInPages(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	for i := range 7 {
		must(maps.Create(t.Context(), configMap(fmt.Sprint("c", i), nil)))(t)
	}
	var got []string
	options := metav1.ListOptions{Limit: 3}
	revision := ""
	for page := range 3 {
		list := must(c.List(t.Context(), configMaps, "default", options))(t)
		got = append(got, names(list)...)
		if left := []int64{4, 1, 0}[page]; left != 0 && (list.RemainingItemCount == nil || *list.RemainingItemCount != left) {
			t.Errorf("page %d: %v items remain, want %d", page, list.RemainingItemCount, left)
		}
		if revision == "" {
			revision = list.ResourceVersion
		}
		if list.ResourceVersion != revision {
			t.Errorf("page %d is of revision %s, the first of %s", page, list.ResourceVersion, revision)
		}
		options.Continue = list.Continue
		must(maps.Create(t.Context(), configMap(fmt.Sprintf("c5-%d", page), nil)))(t)
		if page == 0 {
			if err := maps.Delete(t.Context(), "default", "c4", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if options.Continue != "" {
		t.Error("the last page has a token")
	}
	if diff := cmp.Diff([]string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestListAtRevision(t *testing.T) {
	server, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	first := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	changed := first.DeepCopy()
	changed.Data["a"] = "2"
	must(maps.Update(t.Context(), changed))(t)
	must(maps.Create(t.Context(), configMap("b", nil)))(t)

	old := metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}
	list := must(c.List(t.Context(), configMaps, "default", old))(t)
	if len(list.Items) != 1 || list.ResourceVersion != first.ResourceVersion {
		t.Fatalf("got %v at %s", names(list), list.ResourceVersion)
	}
	if diff := cmp.Diff(first, list.Items[0]); diff != "" {
		t.Errorf("the old object differs (-then +now): %s", diff)
	}
	notOlder := metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
	if got := names(must(c.List(t.Context(), configMaps, "default", notOlder))(t)); len(got) != 2 {
		t.Errorf("not older: got %v", got)
	}
	apiserver.CompactForTest(t, server)
	_, err := c.List(t.Context(), configMaps, "default", old)
	wantStatus(t, err, 410, "The resourceVersion for the provided list is too old.")
}

func TestListGoesOnAfterCompaction(t *testing.T) {
	server, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	for i := range 4 {
		must(maps.Create(t.Context(), configMap(fmt.Sprint("c", i), nil)))(t)
	}
	list := must(c.List(t.Context(), configMaps, "default", metav1.ListOptions{Limit: 2}))(t)
	must(maps.Create(t.Context(), configMap("c9", nil)))(t)
	apiserver.CompactForTest(t, server)

	_, err := c.List(t.Context(), configMaps, "default", metav1.ListOptions{Limit: 2, Continue: list.Continue})
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("got %v, want 410", err)
	}
	inconsistent := err.(apierrors.APIStatus).Status().Continue //nolint:errorlint // it is one
	list = must(c.List(t.Context(), configMaps, "default", metav1.ListOptions{Continue: inconsistent}))(t)
	if diff := cmp.Diff([]string{"c2", "c3", "c9"}, names(list)); diff != "" {
		t.Error(diff)
	}
}

func FuzzContinue(f *testing.F) {
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "metadata.name=a", "a in (b)")
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9hIn0", "a!=,", "!a,b")
	_, c := start(f)
	must(client.Of[*corev1.ConfigMap](c).Create(context.Background(), configMap("one", nil)))(f)
	f.Fuzz(func(t *testing.T, token, fields, labels string) {
		list, err := c.List(context.Background(), configMaps, "default", metav1.ListOptions{Continue: token, FieldSelector: fields, LabelSelector: labels})
		if err != nil {
			if _, ok := err.(apierrors.APIStatus); !ok { //nolint:errorlint // it must be one itself
				t.Errorf("not an API error: %v", err)
			}
			return
		}
		for _, item := range list.Items {
			if item.(*corev1.ConfigMap).Namespace != "default" {
				t.Errorf("the token leads to %v", item)
			}
		}
	})
}
