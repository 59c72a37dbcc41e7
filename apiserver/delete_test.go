package apiserver_test

import (
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

func TestDeleteAnswers(t *testing.T) {
	server, c := start(t)
	object := must(client.Of[*corev1.ConfigMap](c).Create(t.Context(), configMap("a", nil)))(t)
	request := apiserver.Request{User: admin, Resource: configMaps, Namespace: "default", Name: "a"}
	answer, completed, err := server.Delete(t.Context(), request, metav1.DeleteOptions{})
	if err != nil || !completed {
		t.Fatal(completed, err)
	}
	want := &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success",
		Details: &metav1.StatusDetails{Name: "a", Kind: "configmaps", UID: object.UID}}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
	_, _, err = server.Delete(t.Context(), request, metav1.DeleteOptions{})
	wantStatus(t, err, 404, `configmaps "a" not found`)

	p := must(client.Of[*corev1.Pod](c).Create(t.Context(), pod("p")))(t)
	answer, completed, err = server.Delete(t.Context(), apiserver.Request{User: admin, Resource: podsGVR, Namespace: "default", Name: "p"}, metav1.DeleteOptions{})
	if gone, ok := answer.(*corev1.Pod); err != nil || !completed || !ok || gone.UID != p.UID {
		t.Errorf("got %T, completed %v, %v", answer, completed, err)
	}
}

func TestDeletePreconditions(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	err := maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(types.UID("x"))}})
	wantStatus(t, err, 409, `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (x) does not match the UID in record (`+
		string(object.UID)+`). The object might have been deleted and then recreated`)
	err = maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: new("1")}})
	if !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	err = maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &object.ResourceVersion}})
	if err != nil {
		t.Error(err)
	}
}

func TestFinalizersHoldADeletion(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	held := configMap("a", nil)
	held.Finalizers = []string{"example.com/held"}
	must(maps.Create(t.Context(), held))(t)
	for range 2 {
		if err := maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	object := must(maps.Get(t.Context(), "default", "a"))(t)
	if object.DeletionTimestamp == nil || *object.DeletionGracePeriodSeconds != 0 {
		t.Errorf("not marked: %+v", object.ObjectMeta)
	}
	_, err := maps.Create(t.Context(), configMap("a", nil))
	wantStatus(t, err, 409, `object is being deleted: configmaps "a" already exists`)

	more := object.DeepCopy()
	more.Finalizers = append(more.Finalizers, "example.com/late")
	if _, err := maps.Update(t.Context(), more); apierrors.ReasonForError(err) != metav1.StatusReasonInvalid {
		t.Errorf("a new finalizer on an object that goes: %v", err)
	}
	free := object.DeepCopy()
	free.Finalizers = nil
	must(maps.Update(t.Context(), free))(t)
	if _, err := maps.Get(t.Context(), "default", "a"); !apierrors.IsNotFound(err) {
		t.Errorf("after its last finalizer went: %v", err)
	}
}

func TestPropagation(t *testing.T) {
	_, c := start(t)
	all := client.Of[*appsv1.Deployment](c)
	for name, test := range map[string]struct {
		options metav1.DeleteOptions
		want    []string // finalizers, nil when it is gone
	}{
		"default":    {metav1.DeleteOptions{}, nil},
		"background": {metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}, nil},
		"foreground": {metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}, []string{"foregroundDeletion"}},
		"orphan":     {metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationOrphan)}, []string{"orphan"}},
		"old orphan": {metav1.DeleteOptions{OrphanDependents: new(true)}, []string{"orphan"}}, //nolint:staticcheck // still served
	} {
		t.Run(name, func(t *testing.T) {
			d := deployment("d")
			d.Name, d.GenerateName = "", "d-"
			d = must(all.Create(t.Context(), d))(t)
			if err := all.Delete(t.Context(), "default", d.Name, test.options); err != nil {
				t.Fatal(err)
			}
			after, err := all.Get(t.Context(), "default", d.Name)
			if test.want == nil {
				if !apierrors.IsNotFound(err) {
					t.Errorf("still there: %v", err)
				}
				return
			}
			if diff := cmp.Diff(test.want, must(after, err)(t).Finalizers); diff != "" {
				t.Error(diff)
			}
			if after.Generation != 2 {
				t.Errorf("generation %d", after.Generation)
			}
		})
	}
}

// A pod on a node gets its grace; only the kubelet's own deletion, with none left, removes it.
func TestPodsEndWithGrace(t *testing.T) {
	_, c := start(t)
	pods := client.Of[*corev1.Pod](c)
	p := pod("p")
	p.Spec.NodeName = "worker-1"
	must(pods.Create(t.Context(), p))(t)
	grace := func() int64 {
		t.Helper()
		p := must(pods.Get(t.Context(), "default", "p"))(t)
		if p.DeletionGracePeriodSeconds == nil {
			return -1
		}
		return *p.DeletionGracePeriodSeconds
	}
	for _, step := range []struct {
		asked *int64
		want  int64
	}{{nil, 30}, {nil, 30}, {new(int64(60)), 30}, {new(int64(5)), 5}, {new(int64(-1)), 1}} {
		if err := pods.Delete(t.Context(), "default", "p", metav1.DeleteOptions{GracePeriodSeconds: step.asked}); err != nil {
			t.Fatal(err)
		}
		if got := grace(); got != step.want {
			t.Errorf("the grace is %d, want %d", got, step.want)
		}
	}
	if err := pods.Delete(t.Context(), "default", "p", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), "default", "p"); !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestDeleteCollection(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	for name, tier := range map[string]string{"a": "web", "b": "db", "c": "web"} {
		must(maps.Create(t.Context(), configMap(name, map[string]string{"tier": tier})))(t)
	}
	if err := c.DeleteCollection(t.Context(), configMaps, "default", metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "tier=web"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b"}, names(must(c.List(t.Context(), configMaps, "default", metav1.ListOptions{}))(t))); diff != "" {
		t.Error(diff)
	}
}

func TestNamespacesAreFinalized(t *testing.T) {
	_, c := start(t)
	all := client.Of[*corev1.Namespace](c)
	must(all.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))(t)
	if err := all.Delete(t.Context(), "", "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ns := must(all.Get(t.Context(), "", "shop"))(t)
	if ns.Status.Phase != corev1.NamespaceTerminating || ns.DeletionTimestamp == nil {
		t.Fatalf("got %+v", ns)
	}
	done := ns.DeepCopy()
	done.Spec.Finalizers = nil
	must(c.Update(t.Context(), client.ResourceOf[*corev1.Namespace](), "", "shop", done, metav1.UpdateOptions{}, "finalize"))(t)
	if _, err := all.Get(t.Context(), "", "shop"); !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
}
