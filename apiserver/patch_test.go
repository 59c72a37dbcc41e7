package apiserver_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/apiserver"
	"kubette/client"
)

func TestPatchKinds(t *testing.T) {
	_, c := start(t)
	all := client.Of[*appsv1.Deployment](c)
	must(all.Create(t.Context(), deployment("web")))(t)
	for _, test := range []struct {
		kind  types.PatchType
		patch string
		image string
		env   int
	}{
		{types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"two"}]}}}}`, "two", 0},
		{types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}`, "two", 1},
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"three"}]`, "three", 1},
		{types.MergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"four"}]}}}}`, "four", 0},
	} {
		got := must(all.Patch(t.Context(), "default", "web", test.kind, []byte(test.patch)))(t).Spec.Template.Spec.Containers[0]
		if got.Image != test.image || len(got.Env) != test.env {
			t.Errorf("%s %s: image %s, env %v", test.kind, test.patch, got.Image, got.Env)
		}
	}
}

func TestPatchRefuses(t *testing.T) {
	_, c := start(t)
	must(client.Of[*corev1.ConfigMap](c).Create(t.Context(), configMap("a", nil)))(t)
	for name, test := range map[string]struct {
		kind    types.PatchType
		patch   string
		code    int32
		message string
	}{
		"another name":     {types.MergePatchType, `{"metadata":{"name":"b"}}`, 400, "the name of the object (b) does not match the name on the URL (a)"},
		"an old version":   {types.MergePatchType, `{"metadata":{"resourceVersion":"1"},"data":{"a":"9"}}`, 409, `Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`},
		"broken JSON":      {types.MergePatchType, `{`, 400, "invalid JSON patch"},
		"a missing path":   {types.JSONPatchType, `[{"op":"remove","path":"/data/none"}]`, 422, "the server rejected our request due to an error in our request"},
		"another kind":     {types.MergePatchType, `{"kind":"Pod"}`, 422, ""},
		"no JSON at all":   {types.JSONPatchType, `x`, 400, "invalid JSON patch"},
		"an unknown field": {types.MergePatchType, `{"dat":{"a":"1"}}`, 422, ""},
		"immutable uid":    {types.MergePatchType, `{"metadata":{"uid":"x"}}`, 422, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Patch(t.Context(), configMaps, "default", "a", test.kind, []byte(test.patch), metav1.PatchOptions{FieldValidation: "Strict"})
			if err == nil {
				t.Fatal("accepted")
			}
			if test.message == "" {
				if got := err.(apierrors.APIStatus).Status().Code; got != test.code { //nolint:errorlint // it is one
					t.Errorf("got %d %v", got, err)
				}
				return
			}
			wantStatus(t, err, test.code, test.message)
		})
	}
}

func TestPatchWarnsOfUnknownFields(t *testing.T) {
	server, c := start(t)
	must(client.Of[*corev1.ConfigMap](c).Create(t.Context(), configMap("a", nil)))(t)
	var said []string
	request := apiserver.Request{User: admin, Resource: configMaps, Namespace: "default", Name: "a", Warn: func(text string) { said = append(said, text) }}
	_, _, err := server.Patch(t.Context(), request, types.MergePatchType, []byte(`{"dat":{"a":"1"}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`unknown field "dat"`}, said); diff != "" {
		t.Error(diff)
	}
}

// apply is what `kubectl apply --server-side` sends.
func apply(t testing.TB, c client.Interface, manager, configuration string, force bool) (*corev1.ConfigMap, error) {
	t.Helper()
	object, err := c.Patch(t.Context(), configMaps, "default", "a", types.ApplyYAMLPatchType, []byte(configuration),
		metav1.PatchOptions{FieldManager: manager, Force: &force})
	if err != nil {
		return nil, err
	}
	return object.(*corev1.ConfigMap), nil
}

const appliedMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func TestServerSideApply(t *testing.T) {
	_, c := start(t)
	created := must(apply(t, c, "one", appliedMap+"data: {a: '1', b: '1'}", false))(t)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "1"}, created.Data); diff != "" {
		t.Error(diff)
	}
	// What a manager leaves out goes, if nobody else wants it.
	must(apply(t, c, "two", appliedMap+"data: {b: '1', c: '1'}", false))(t)
	after := must(apply(t, c, "one", appliedMap+"data: {}", false))(t)
	if diff := cmp.Diff(map[string]string{"b": "1", "c": "1"}, after.Data); diff != "" {
		t.Error(diff)
	}
	// The same again changes nothing.
	same := must(apply(t, c, "one", appliedMap+"data: {}", false))(t)
	if same.ResourceVersion != after.ResourceVersion {
		t.Errorf("version %s became %s", after.ResourceVersion, same.ResourceVersion)
	}
	_, err := apply(t, c, "one", appliedMap+"data: {b: '2'}", false)
	wantStatus(t, err, 409, `Apply failed with 1 conflict: conflict with "two": .data.b`)
	causes := err.(apierrors.APIStatus).Status().Details.Causes //nolint:errorlint // it is one
	want := []metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Message: `conflict with "two"`, Field: ".data.b"}}
	if diff := cmp.Diff(want, causes); diff != "" {
		t.Error(diff)
	}
	forced := must(apply(t, c, "one", appliedMap+"data: {b: '2'}", true))(t)
	if diff := cmp.Diff(map[string]string{"b": "2", "c": "1"}, forced.Data); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"one": `{"f:data":{"f:b":{}}}`, "two": `{"f:data":{"f:c":{}}}`}, owned(forced)); diff != "" {
		t.Error(diff)
	}
}

// owned is what each manager has set.
func owned(object metav1.Object) map[string]string {
	fields := map[string]string{}
	for _, entry := range object.GetManagedFields() {
		fields[entry.Manager] = string(entry.FieldsV1.GetRawBytes())
	}
	return fields
}

func TestServerSideApplyRefuses(t *testing.T) {
	_, c := start(t)
	for name, test := range map[string]struct {
		configuration string
		code          int32
		message       string
	}{
		"an unknown field": {appliedMap + "dat: {a: '1'}", 500,
			"failed to create typed patch object (default/a; /v1, Kind=ConfigMap): .dat: field not declared in schema"},
		"another version": {strings.Replace(appliedMap, "v1", "v2", 1), 400,
			"invalid object type: /v2, Kind=ConfigMap"},
		"managed fields": {appliedMap + "  managedFields: []", 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(t, c, "one", strings.Replace(test.configuration, "{name: a}", "\n  name: a\n  namespace: default", 1), false)
			if err == nil {
				t.Fatal("accepted")
			}
			if test.message != "" {
				wantStatus(t, err, test.code, test.message)
			}
		})
	}
}

func TestManagersTakeFieldsFromEachOther(t *testing.T) {
	_, c := start(t)
	create := metav1.CreateOptions{FieldManager: "creator"}
	must(c.Create(t.Context(), configMaps, "default", "", configMap("a", map[string]string{"l": "1"}), create))(t)
	_, err := c.Patch(t.Context(), configMaps, "default", "a", types.MergePatchType, []byte(`{"data":{"a":"2","b":"1"}}`), metav1.PatchOptions{FieldManager: "patcher"})
	if err != nil {
		t.Fatal(err)
	}
	object := must(client.Of[*corev1.ConfigMap](c).Get(t.Context(), "default", "a"))(t)
	want := map[string]string{
		"creator": `{"f:data":{},"f:metadata":{"f:labels":{".":{},"f:l":{}}}}`,
		"patcher": `{"f:data":{"f:a":{},"f:b":{}}}`,
	}
	if diff := cmp.Diff(want, owned(object)); diff != "" {
		t.Error(diff)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add(0, `{"data":{"a":null}}`)
	f.Add(1, `[{"op":"move","from":"/data/a","path":"/data/b"}]`)
	f.Add(2, `{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}}`)
	f.Add(3, `{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1"}}`)
	_, c := start(f)
	must(client.Of[*corev1.ConfigMap](c).Create(context.Background(), configMap("a", nil)))(f)
	patchKinds := []types.PatchType{types.MergePatchType, types.JSONPatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}
	f.Fuzz(func(t *testing.T, kind int, patch string) {
		_, err := c.Patch(context.Background(), configMaps, "default", "a", patchKinds[uint(kind)%4], []byte(patch), metav1.PatchOptions{FieldManager: "fuzz", DryRun: []string{"All"}})
		if err == nil {
			return
		}
		if _, ok := err.(apierrors.APIStatus); !ok { //nolint:errorlint // it must be one itself
			t.Errorf("not an API error: %v", err)
		}
	})
}
