package custom_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"kubette/apiserver"
	"kubette/apiserver/custom"
	"kubette/client"
	"kubette/store"
)

var (
	definitions = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	cronTabsV1  = schema.GroupVersionResource{Group: "stable.example.com", Version: "v1", Resource: "crontabs"}
	cronTabsV1b = schema.GroupVersionResource{Group: "stable.example.com", Version: "v1beta1", Resource: "crontabs"}
)

// world is an API server with its definitions at work, in virtual time.
type world struct {
	client.Interface
	server *apiserver.Server
	store  store.Store
}

// inWorld runs a test beside an API server on a store.
func inWorld(t *testing.T, stored store.Store, test func(t *testing.T, w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, services, err := net.ParseCIDR("10.96.0.0/16")
		if err != nil {
			t.Fatal(err)
		}
		server, err := apiserver.New(apiserver.Config{Store: stored, ServiceCIDR: services})
		if err != nil {
			t.Fatal(err)
		}
		c := client.InProcess(server, &user.DefaultInfo{Name: "system:apiserver", Groups: []string{"system:masters"}})
		d := custom.New(server, c, nil)
		if err := d.Load(t.Context()); err != nil {
			t.Error(err) // and go on, so that what runs ends
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { server.Run(ctx) })
		running.Go(func() { d.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, world{c, server, stored})
	})
}

// settle lets everything happen that does not need anybody.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func (w world) define(t testing.TB, text string) {
	t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(text), definition); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(t.Context(), definitions, "", "", definition, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	settle()
}

func (w world) definition(t testing.TB, name string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	got, err := w.Get(t.Context(), definitions, "", name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.(*apiextensionsv1.CustomResourceDefinition)
}

// change updates a definition.
func (w world) change(t testing.TB, name string, change func(d *apiextensionsv1.CustomResourceDefinition)) {
	t.Helper()
	changed := w.definition(t, name).DeepCopy()
	change(changed)
	if _, err := w.Update(t.Context(), definitions, "", name, changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	settle()
}

// conditions are a definition's, as type=status(reason).
func (w world) conditions(t testing.TB, name string) (all []string) {
	t.Helper()
	for _, c := range w.definition(t, name).Status.Conditions {
		all = append(all, string(c.Type)+"="+string(c.Status)+"("+c.Reason+")")
	}
	slices.Sort(all)
	return all
}

func (w world) namespace(t testing.TB) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.Of[*corev1.Namespace](w).Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}

func (w world) create(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	created, err := w.Create(t.Context(), cronTabsV1, "default", "", object(t, text), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created.(*unstructured.Unstructured)
}

func wantNotServed(t testing.TB, err error) {
	t.Helper()
	if !apierrors.IsNotFound(err) || apierrors.ReasonForError(err) != metav1.StatusReasonNotFound {
		t.Errorf("got %v", err)
	}
}

func TestServeDefinition(t *testing.T) {
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		w.namespace(t)
		_, err := w.List(t.Context(), cronTabsV1, "default", metav1.ListOptions{})
		wantNotServed(t, err)
		w.define(t, cronTabs)

		const name = "crontabs.stable.example.com"
		if diff := cmp.Diff([]string{"Established=True(InitialNamesAccepted)", "NamesAccepted=True(NoConflicts)"}, w.conditions(t, name)); diff != "" {
			t.Fatal(diff)
		}
		status := w.definition(t, name).Status
		if diff := cmp.Diff([]string{"v1"}, status.StoredVersions); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(w.definition(t, name).Spec.Names, status.AcceptedNames); diff != "" {
			t.Error(diff)
		}
		created := w.create(t, `spec: {image: a, colour: red}`)
		want := map[string]any{"cronSpec": "5 0 * * *", "image": "a", "replicas": int64(1)}
		if diff := cmp.Diff(want, created.Object["spec"]); diff != "" {
			t.Error(diff)
		}
		if created.GetGeneration() != 1 || created.GetUID() == "" {
			t.Errorf("metadata is %v", created.Object["metadata"])
		}
		_, err = w.Create(t.Context(), cronTabsV1, "default", "", object(t, `spec: {replicas: 11}`), metav1.CreateOptions{})
		const wantErr = `CronTab.stable.example.com "x" is invalid: spec.replicas: Invalid value: too many`
		if err == nil || err.Error() != wantErr {
			t.Errorf("got %v", err)
		}

		// The other version shows the same object.
		shown, err := w.Get(t.Context(), cronTabsV1b, "default", "x", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := shown.(*unstructured.Unstructured); got.GetAPIVersion() != "stable.example.com/v1beta1" || got.GetUID() != created.GetUID() {
			t.Errorf("got %v", got.Object)
		}
		selected, err := w.List(t.Context(), cronTabsV1, "", metav1.ListOptions{FieldSelector: "spec.image=a"})
		if err != nil || len(selected.Items) != 1 {
			t.Errorf("selected %v, %v", selected, err)
		}
		scaled, err := w.Patch(t.Context(), cronTabsV1, "default", "x", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{}, "scale")
		if err != nil {
			t.Fatal(err)
		}
		if object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(scaled); err != nil || cmp.Diff(map[string]any{"replicas": int64(3)}, object["spec"]) != "" {
			t.Errorf("got %v, %v", object, err)
		}
	})
}

func TestApplyKnowsLists(t *testing.T) {
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		w.namespace(t)
		w.define(t, cronTabs)
		apply := func(manager, text string) *unstructured.Unstructured {
			t.Helper()
			o := object(t, text)
			o.SetNamespace("default")
			data, err := yaml.Marshal(o.Object)
			if err != nil {
				t.Fatal(err)
			}
			applied, err := w.Patch(t.Context(), cronTabsV1, "default", "x", types.ApplyYAMLPatchType, data, metav1.PatchOptions{FieldManager: manager})
			if err != nil {
				t.Fatal(err)
			}
			return applied.(*unstructured.Unstructured)
		}
		apply("one", `spec: {ports: [{name: a}], tags: [x], pod: {apiVersion: v1, kind: Pod, metadata: {labels: {a: b}}}}`)
		both := apply("two", `{metadata: {name: x, finalizers: [example.com/two]}, spec: {ports: [{name: b}], tags: ["y"]}}`)
		spec := both.Object["spec"].(map[string]any)
		if diff := cmp.Diff([]any{map[string]any{"name": "a", "port": int64(80)}, map[string]any{"name": "b", "port": int64(80)}}, spec["ports"]); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]any{"x", "y"}, spec["tags"]); diff != "" {
			t.Error(diff)
		}
		one := apply("two", `spec: {tags: ["y"]}`)
		if diff := cmp.Diff([]any{map[string]any{"name": "a", "port": int64(80)}}, one.Object["spec"].(map[string]any)["ports"]); diff != "" {
			t.Error(diff)
		}
		if len(one.GetFinalizers()) > 0 {
			t.Errorf("finalizers stay: %v", one.GetFinalizers())
		}
	})
}

// What changes in a definition changes what is served.
func TestChangeDefinition(t *testing.T) {
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		w.namespace(t)
		w.define(t, cronTabs)
		w.create(t, `spec: {replicas: 2}`)
		const name = "crontabs.stable.example.com"
		w.change(t, name, func(d *apiextensionsv1.CustomResourceDefinition) {
			d.Spec.Versions[1].Served = false
			d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["extra"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		})
		_, err := w.Get(t.Context(), cronTabsV1b, "default", "x", metav1.GetOptions{})
		wantNotServed(t, err)
		patched, err := w.Patch(t.Context(), cronTabsV1, "default", "x", types.MergePatchType, []byte(`{"extra":"yes"}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := patched.(*unstructured.Unstructured).Object["extra"]; got != "yes" {
			t.Errorf("extra is %v", got)
		}

		// The version that stores changes: both show the objects as before.
		w.change(t, name, func(d *apiextensionsv1.CustomResourceDefinition) {
			d.Spec.Versions[0].Storage, d.Spec.Versions[1].Storage, d.Spec.Versions[1].Served = false, true, true
		})
		for _, resource := range []schema.GroupVersionResource{cronTabsV1, cronTabsV1b} {
			shown, err := w.Get(t.Context(), resource, "default", "x", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := shown.(*unstructured.Unstructured); got.GetAPIVersion() != resource.GroupVersion().String() || got.Object["extra"] != "yes" {
				t.Errorf("%s shows %v", resource.Version, got.Object)
			}
		}
		if diff := cmp.Diff([]string{"v1", "v1beta1"}, w.definition(t, name).Status.StoredVersions); diff != "" {
			t.Error(diff)
		}
	})
}

// A definition takes its objects with it, and waits for those that something holds.
func TestDeleteDefinition(t *testing.T) {
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		w.namespace(t)
		w.define(t, cronTabs)
		w.create(t, `metadata: {name: free}`)
		w.create(t, `metadata: {name: held, finalizers: [example.com/hold]}`)
		const name = "crontabs.stable.example.com"
		if err := w.Delete(t.Context(), definitions, "", name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		_, err := w.Get(t.Context(), cronTabsV1, "default", "free", metav1.GetOptions{})
		wantNotServed(t, err)
		held, err := w.Get(t.Context(), cronTabsV1, "default", "held", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if held.(*unstructured.Unstructured).GetDeletionTimestamp() == nil {
			t.Error("the object that is held is not being deleted")
		}
		if got := w.conditions(t, name); !slices.Contains(got, "Terminating=True(InstanceDeletionPending)") {
			t.Errorf("conditions are %v", got)
		}
		_, err = w.Create(t.Context(), cronTabsV1, "default", "", object(t, `{}`), metav1.CreateOptions{})
		const refused = `crontabs.stable.example.com "x" is forbidden: create not allowed while custom resource definition is terminating`
		if err == nil || err.Error() != refused {
			t.Errorf("got %v", err)
		}

		if _, err := w.Patch(t.Context(), cronTabsV1, "default", "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		settle()
		_, err = w.Get(t.Context(), definitions, "", name, metav1.GetOptions{})
		wantNotServed(t, err)
		_, err = w.List(t.Context(), cronTabsV1, "default", metav1.ListOptions{})
		wantNotServed(t, err)

		// The same kind can be defined anew, and has no objects.
		w.define(t, cronTabs)
		list, err := w.List(t.Context(), cronTabsV1, "default", metav1.ListOptions{})
		if err != nil || len(list.Items) > 0 {
			t.Errorf("listed %v, %v", list, err)
		}
	})
}

const plain = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.stable.example.com}
spec:
  group: stable.example.com
  scope: Cluster
  names: {plural: PLURAL, singular: SINGULAR, kind: KIND}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

func TestNameConflict(t *testing.T) {
	named := func(plural, singular, kind string) string {
		text := plain
		for old, replacement := range map[string]string{"PLURAL": plural, "SINGULAR": singular, "KIND": kind} {
			text = strings.ReplaceAll(text, old, replacement)
		}
		return text
	}
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		w.define(t, cronTabs)
		w.define(t, named("tabs", "ct", "Tab"))
		w.define(t, named("jobs", "job", "CronTab"))
		for name, want := range map[string][]string{
			"tabs.stable.example.com": {"Established=False(NotAccepted)", "NamesAccepted=False(SingularConflict)"},
			"jobs.stable.example.com": {"Established=False(NotAccepted)", "NamesAccepted=False(ListKindConflict)"},
		} {
			if diff := cmp.Diff(want, w.conditions(t, name)); diff != "" {
				t.Errorf("%s (-want +got): %s", name, diff)
			}
		}
		tabs := schema.GroupVersionResource{Group: "stable.example.com", Version: "v1", Resource: "tabs"}
		_, err := w.List(t.Context(), tabs, "", metav1.ListOptions{})
		wantNotServed(t, err)

		// When the names are free again, the others get them.
		if err := w.Delete(t.Context(), definitions, "", "crontabs.stable.example.com", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		for _, name := range []string{"tabs.stable.example.com", "jobs.stable.example.com"} {
			if diff := cmp.Diff([]string{"Established=True(InitialNamesAccepted)", "NamesAccepted=True(NoConflicts)"}, w.conditions(t, name)); diff != "" {
				t.Errorf("%s (-want +got): %s", name, diff)
			}
		}
		if _, err := w.List(t.Context(), tabs, "", metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// A server that starts again serves what was defined, before anything else happens.
func TestLoad(t *testing.T) {
	stored := store.NewMemory()
	inWorld(t, stored, func(t *testing.T, w world) {
		w.namespace(t)
		w.define(t, cronTabs)
		w.create(t, `spec: {replicas: 2}`)
	})
	inWorld(t, stored, func(t *testing.T, w world) {
		got, err := w.Get(t.Context(), cronTabsV1, "default", "x", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		replicas, _, _ := unstructured.NestedInt64(got.(*unstructured.Unstructured).Object, "spec", "replicas")
		if replicas != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// Definitions in Kubernetes' own groups must say that they were approved there.
func TestApproval(t *testing.T) {
	inWorld(t, store.NewMemory(), func(t *testing.T, w world) {
		text := strings.ReplaceAll(cronTabs, "stable.example.com", "stable.k8s.io")
		text = strings.ReplaceAll(text, "metadata: {name: crontabs.stable.k8s.io}",
			`metadata: {name: crontabs.stable.k8s.io, annotations: {api-approved.kubernetes.io: "unapproved, a test"}}`)
		w.define(t, text)
		want := []string{
			"Established=True(InitialNamesAccepted)", "KubernetesAPIApprovalPolicyConformant=False(UnapprovedAnnotation)", "NamesAccepted=True(NoConflicts)",
		}
		if diff := cmp.Diff(want, w.conditions(t, "crontabs.stable.k8s.io")); diff != "" {
			t.Error(diff)
		}
	})
}
