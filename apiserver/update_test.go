package apiserver_test

import (
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver"
	"kubette/client"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("").Spec},
		},
	}
}

func TestUpdateNeedsTheNewestVersion(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	first := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	second := first.DeepCopy()
	second.Data["a"] = "2"
	must(maps.Update(t.Context(), second))(t)

	stale := first.DeepCopy()
	stale.Data["a"] = "3"
	_, err := maps.Update(t.Context(), stale)
	wantStatus(t, err, 409, `Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`)
	if first.Data["a"] != "1" {
		t.Error("the shared object was changed")
	}
	stale.ResourceVersion = ""
	if got := must(maps.Update(t.Context(), stale))(t); got.Data["a"] != "3" {
		t.Errorf("an update without a version gave %v", got.Data)
	}
}

func TestUpdateRefuses(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	for name, test := range map[string]struct {
		change  func(*corev1.ConfigMap)
		code    int32
		message string
	}{
		"another uid": {func(o *corev1.ConfigMap) { o.UID = "other" }, 409,
			`Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, ResourceVersion: 0, ` +
				`AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: ` + string(object.UID)},
		"a bad label": {func(o *corev1.ConfigMap) { o.Labels = map[string]string{"a": "b c"} }, 422, ""},
	} {
		t.Run(name, func(t *testing.T) {
			changed := object.DeepCopy()
			test.change(changed)
			_, err := maps.Update(t.Context(), changed)
			if test.message != "" {
				wantStatus(t, err, test.code, test.message)
			} else if apierrors.ReasonForError(err) != metav1.StatusReasonInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := c.Update(t.Context(), configMaps, "default", "other", object, metav1.UpdateOptions{})
	wantStatus(t, err, 400, "the name of the object (a) does not match the name on the URL (other)")
	_, err = c.Update(t.Context(), configMaps, "elsewhere", "a", object, metav1.UpdateOptions{})
	wantStatus(t, err, 400, "the namespace of the provided object does not match the namespace sent on the request")
	missing := configMap("missing", nil)
	_, err = maps.Update(t.Context(), missing)
	wantStatus(t, err, 404, `configmaps "missing" not found`)
}

func TestUpdateWithoutChangeWritesNothing(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	same := must(maps.Update(t.Context(), object.DeepCopy()))(t)
	if same.ResourceVersion != object.ResourceVersion {
		t.Errorf("the version went from %s to %s", object.ResourceVersion, same.ResourceVersion)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	_, c := start(t)
	dry := []string{metav1.DryRunAll}
	created := must(c.Create(t.Context(), configMaps, "default", "", configMap("a", nil), metav1.CreateOptions{DryRun: dry}))(t)
	if created.(*corev1.ConfigMap).UID == "" {
		t.Error("the answer lacks a uid")
	}
	maps := client.Of[*corev1.ConfigMap](c)
	if _, err := maps.Get(t.Context(), "default", "a"); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry create: %v", err)
	}
	object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
	changed := object.DeepCopy()
	changed.Data["a"] = "2"
	if got := must(c.Update(t.Context(), configMaps, "default", "a", changed, metav1.UpdateOptions{DryRun: dry}))(t); got.(*corev1.ConfigMap).Data["a"] != "2" {
		t.Error("the answer lacks the change")
	}
	if err := maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Fatal(err)
	}
	if got := must(maps.Get(t.Context(), "default", "a"))(t); got != object {
		t.Errorf("the object became %v", got)
	}
}

// Everybody who raises a number by compare-and-swap succeeds in the end.
func TestConcurrentUpdates(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	object := configMap("a", nil)
	object.Data = map[string]string{"n": ""}
	must(maps.Create(t.Context(), object))(t)
	var group sync.WaitGroup
	const workers, rounds = 4, 25
	for range workers {
		group.Go(func() {
			for done := 0; done < rounds; {
				object, err := maps.Get(t.Context(), "default", "a")
				if err != nil {
					t.Error(err)
					return
				}
				object = object.DeepCopy()
				object.Data["n"] += "x"
				_, err = maps.Update(t.Context(), object)
				if err == nil {
					done++
				} else if !apierrors.IsConflict(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := must(maps.Get(t.Context(), "default", "a"))(t); len(got.Data["n"]) != workers*rounds {
		t.Errorf("%d of %d updates are there", len(got.Data["n"]), workers*rounds)
	}
}

func TestStatusAndSpecAreApart(t *testing.T) {
	_, c := start(t)
	all := client.Of[*appsv1.Deployment](c)
	d := deployment("web")
	d.Status.Replicas = 7
	created := must(all.Create(t.Context(), d))(t)
	if created.Status.Replicas != 0 || created.Generation != 1 {
		t.Errorf("created with status %d, generation %d", created.Status.Replicas, created.Generation)
	}
	change := created.DeepCopy()
	change.Spec.Replicas, change.Status.Replicas = new(int32(3)), 7
	updated := must(all.Update(t.Context(), change))(t)
	if updated.Status.Replicas != 0 || *updated.Spec.Replicas != 3 || updated.Generation != 2 {
		t.Errorf("an update gave replicas %d, status %d, generation %d", *updated.Spec.Replicas, updated.Status.Replicas, updated.Generation)
	}
	change = updated.DeepCopy()
	change.Spec.Replicas, change.Status.Replicas = new(int32(9)), 2
	updated = must(all.UpdateStatus(t.Context(), change))(t)
	if updated.Status.Replicas != 2 || *updated.Spec.Replicas != 3 || updated.Generation != 2 {
		t.Errorf("a status update gave replicas %d, status %d, generation %d", *updated.Spec.Replicas, updated.Status.Replicas, updated.Generation)
	}
	entry := updated.ManagedFields[len(updated.ManagedFields)-1]
	if entry.Subresource != "status" || entry.Operation != metav1.ManagedFieldsOperationUpdate {
		t.Errorf("the status is managed by %+v", entry)
	}
}

func TestScale(t *testing.T) {
	_, c := start(t)
	all := client.Of[*appsv1.Deployment](c)
	must(all.Create(t.Context(), deployment("web")))(t)
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: 4}}
	got := must(c.Update(t.Context(), deployments, "default", "web", scale, metav1.UpdateOptions{}, "scale"))(t).(*autoscalingv1.Scale)
	if got.Spec.Replicas != 4 || got.Status.Selector != "app=web" {
		t.Errorf("got %+v", got)
	}
	patched := must(c.Patch(t.Context(), deployments, "default", "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":5}}`),
		metav1.PatchOptions{FieldManager: "kubectl-scale"}, "scale"))(t).(*autoscalingv1.Scale)
	d := must(all.Get(t.Context(), "default", "web"))(t)
	if patched.Spec.Replicas != 5 || *d.Spec.Replicas != 5 || d.Generation != 3 {
		t.Errorf("a patch gave %d, the deployment has %d at generation %d", patched.Spec.Replicas, *d.Spec.Replicas, d.Generation)
	}
	_, err := c.Patch(t.Context(), deployments, "default", "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{}, "scale")
	wantStatus(t, err, 422, `Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0`)
}

func TestAuthorizationJudgesEveryCall(t *testing.T) {
	server, _ := start(t, func(config *apiserver.Config) { config.Authorizer = readers{} })
	_, err := client.Of[*corev1.ConfigMap](client.InProcess(server, admin)).Create(t.Context(), configMap("a", nil))
	wantStatus(t, err, 403, `configmaps is forbidden: User "kubernetes-admin" cannot create resource "configmaps" in API group "" in the namespace "default": only reading`)
	if _, err := server.List(t.Context(), apiserver.Request{User: admin, Resource: configMaps, Namespace: "default"}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}
