package test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const tanks = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tanks.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: tanks, singular: tank, kind: Tank, listKind: TankList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}`

// TestPropagationAcrossKinds deletes a custom object that owns another one, which owns a config map that something holds.
func TestPropagationAcrossKinds(t *testing.T) {
	u := admin(t)
	u.apply(t, "customresourcedefinitions", tanks)
	eventually(t, "the new kind", func() bool {
		_, err := u.at("example.com", "v1", "tanks").List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
	tank, maps := u.at("example.com", "v1", "tanks"), u.at("", "v1", "configmaps")
	owned := func(kind, version, name string, owner *unstructured.Unstructured, finalizers ...string) *unstructured.Unstructured {
		object := &unstructured.Unstructured{}
		object.SetAPIVersion(version)
		object.SetKind(kind)
		object.SetName(name)
		object.SetFinalizers(finalizers)
		if owner != nil {
			object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(),
				UID: owner.GetUID(), BlockOwnerDeletion: new(true)}})
		}
		at := tank
		if kind == "ConfigMap" {
			at = maps
		}
		made, err := at.Create(t.Context(), object, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	left := func() []string {
		names := []string{}
		for _, at := range []interface {
			List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error)
		}{tank, maps} {
			list, err := at.List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range list.Items {
				if item := &list.Items[i]; item.GetName() != "kube-root-ca.crt" {
					names = append(names, fmt.Sprintf("%s %v", item.GetName(), item.GetFinalizers()))
				}
			}
		}
		return names
	}
	for _, c := range []struct {
		policy     metav1.DeletionPropagation
		held, free []string // what is left while the last dependent is held, and after it is let go
	}{
		{metav1.DeletePropagationBackground, []string{"held [example.com/hold]"}, []string{}},
		{metav1.DeletePropagationForeground,
			[]string{"child [foregroundDeletion]", "owner [foregroundDeletion]", "held [example.com/hold]"}, []string{}},
		{metav1.DeletePropagationOrphan, []string{"child []", "held [example.com/hold]", "plain []"}, []string{"child []", "held []", "plain []"}},
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			owner := owned("Tank", "example.com/v1", "owner", nil)
			child := owned("Tank", "example.com/v1", "child", owner)
			owned("ConfigMap", "v1", "plain", owner)
			owned("ConfigMap", "v1", "held", child, "example.com/hold")
			if c.policy == metav1.DeletePropagationForeground {
				// The tree goes from its leaves up as far as the collector has seen it. It has, when it has collected what came later.
				nobody := owner.DeepCopy()
				nobody.SetName("nobody")
				nobody.SetUID("nobody")
				owned("ConfigMap", "v1", "stray", nobody)
				owned("Tank", "example.com/v1", "stray", nobody)
				eventually(t, "the end of the strays", func() bool { return !slices.Contains(left(), "stray []") })
			}
			if err := tank.Delete(t.Context(), "owner", metav1.DeleteOptions{PropagationPolicy: &c.policy}); err != nil {
				t.Fatal(err)
			}
			settled := func(when string, want []string) {
				var got []string
				eventually(t, fmt.Sprint(when, want), func() bool { got = left(); return cmp.Equal(got, want) })
			}
			settled("while it is held: ", c.held)
			if c.policy == metav1.DeletePropagationOrphan {
				if object, err := maps.Get(t.Context(), "plain", metav1.GetOptions{}); err != nil || len(object.GetOwnerReferences()) > 0 {
					t.Errorf("the orphan still names its owner: %v, %v", object, err)
				}
			}
			if _, err := maps.Patch(t.Context(), "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			settled("after that: ", c.free)
			for _, at := range []string{"child", "owner"} {
				_ = tank.Delete(t.Context(), at, metav1.DeleteOptions{})
			}
			for _, at := range []string{"plain", "held"} {
				_ = maps.Delete(t.Context(), at, metav1.DeleteOptions{})
			}
			settled("at the end: ", []string{})
		})
	}
}

// TestDryRunOfEveryVerb sends each write as a dry run, over HTTPS. Each is judged and answered as in earnest, and leaves nothing.
func TestDryRunOfEveryVerb(t *testing.T) {
	u := admin(t)
	ctx, all := t.Context(), []string{metav1.DryRunAll}
	maps, pods, deployments := u.CoreV1().ConfigMaps("default"), u.CoreV1().Pods("default"), u.AppsV1().Deployments("default")
	u.apply(t, "configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: there, labels: {a: b}}, data: {k: v}}")
	u.apply(t, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: waits}, spec: {nodeSelector: {no: such}, containers: [{name: c, image: nginx}]}}")
	u.apply(t, "deployments", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 0, selector: {matchLabels: {a: b}},
		template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}}`)
	eventually(t, "the deployment's controller", func() bool {
		d, err := deployments.Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == 1
	})
	eventually(t, "the scheduler's word", func() bool {
		p, err := pods.Get(ctx, "waits", metav1.GetOptions{})
		return err == nil && len(p.Status.Conditions) > 0
	})
	// What controllers may still write is not compared: the deployment's status, but for what a dry run here tries to set.
	state := func() map[string]any {
		seen := map[string]any{}
		for _, resource := range [][3]string{{"", "v1", "configmaps"}, {"", "v1", "pods"}, {"apps", "v1", "deployments"}, {"", "v1", "serviceaccounts"}} {
			list, err := u.at(resource[0], resource[1], resource[2]).List(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range list.Items {
				if resource[2] == "deployments" {
					observed, _, _ := unstructured.NestedInt64(item.Object, "status", "observedGeneration")
					item.Object["status"] = observed
					item.SetResourceVersion("")
					item.SetManagedFields(nil)
					item.SetAnnotations(nil)
				}
				seen[resource[2]+"/"+item.GetName()] = item.Object
			}
		}
		return seen
	}
	before := state()
	there, err := maps.Get(ctx, "there", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed := there.DeepCopy()
	changed.Data["k"] = "w"
	for name, write := range map[string]func() error{
		"create": func() error {
			made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "new-"}}, metav1.CreateOptions{DryRun: all})
			if err == nil && (made.UID == "" || made.Name == "new-") {
				t.Errorf("a created object is answered as %v", made)
			}
			return err
		},
		"update": func() error {
			made, err := maps.Update(ctx, changed, metav1.UpdateOptions{DryRun: all})
			if err == nil && made.Data["k"] != "w" {
				t.Errorf("the change is not answered: %v", made)
			}
			return err
		},
		"merge patch": func() error {
			_, err := maps.Patch(ctx, "there", types.MergePatchType, []byte(`{"data":{"k":"w"}}`), metav1.PatchOptions{DryRun: all})
			return err
		},
		"json patch": func() error {
			_, err := maps.Patch(ctx, "there", types.JSONPatchType, []byte(`[{"op":"remove","path":"/data/k"}]`), metav1.PatchOptions{DryRun: all})
			return err
		},
		"strategic patch": func() error {
			_, err := deployments.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{DryRun: all})
			return err
		},
		"apply to what is there": func() error {
			_, err := maps.Patch(ctx, "there", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},"data":{"z":"1"}}`),
				metav1.PatchOptions{DryRun: all, FieldManager: "dry"})
			return err
		},
		"apply of something new": func() error {
			_, err := maps.Patch(ctx, "fresh", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fresh"}}`),
				metav1.PatchOptions{DryRun: all, FieldManager: "dry"})
			return err
		},
		"delete":       func() error { return maps.Delete(ctx, "there", metav1.DeleteOptions{DryRun: all}) },
		"delete a pod": func() error { return pods.Delete(ctx, "waits", metav1.DeleteOptions{DryRun: all}) },
		"foreground delete": func() error {
			return deployments.Delete(ctx, "web", metav1.DeleteOptions{DryRun: all, PropagationPolicy: new(metav1.DeletePropagationForeground)})
		},
		"delete collection": func() error {
			return maps.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: all}, metav1.ListOptions{LabelSelector: "a=b"})
		},
		"status": func() error {
			_, err := deployments.Patch(ctx, "web", types.MergePatchType, []byte(`{"status":{"observedGeneration":7}}`), metav1.PatchOptions{DryRun: all}, "status")
			return err
		},
		"scale": func() error {
			_, err := deployments.UpdateScale(ctx, "web", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
				Spec: autoscalingv1.ScaleSpec{Replicas: 4}}, metav1.UpdateOptions{DryRun: all})
			return err
		},
		"eviction": func() error {
			return pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "waits"}, DeleteOptions: &metav1.DeleteOptions{DryRun: all}})
		},
		"binding": func() error {
			return pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "waits"}, Target: corev1.ObjectReference{Kind: "Node", Name: "worker-1"}},
				metav1.CreateOptions{DryRun: all})
		},
		"ephemeral container": func() error {
			pod, err := pods.Get(ctx, "waits", metav1.GetOptions{})
			if err != nil {
				return err
			}
			pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "busybox"}}}
			_, err = pods.UpdateEphemeralContainers(ctx, "waits", pod, metav1.UpdateOptions{DryRun: all})
			return err
		},
		"token": func() error {
			_, err := u.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{DryRun: all})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := write(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, state()); diff != "" {
				t.Errorf("it is written (-before +after):\n%s", diff)
			}
		})
	}
	// A dry run is judged as the real thing is.
	there.ResourceVersion = ""
	if _, err := maps.Create(ctx, there, metav1.CreateOptions{DryRun: all}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("an object that exists: %v", err)
	}
	stale := changed.DeepCopy()
	stale.ResourceVersion = "1"
	if _, err := maps.Update(ctx, stale, metav1.UpdateOptions{DryRun: all}); !apierrors.IsConflict(err) {
		t.Errorf("an old version: %v", err)
	}
}
