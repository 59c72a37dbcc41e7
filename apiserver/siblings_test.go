package apiserver_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// Pods that one controller makes share in memory what they have in common, also after their status was written; but what
// differs is each one's own, and so is everything of a stranger.
func TestSiblingsShareWhatTheyHaveInCommon(t *testing.T) {
	_, c := start(t)
	pods := client.Of[*corev1.Pod](c)
	made := func(name, owner, image string) *corev1.Pod {
		object := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Namespace: "default", Labels: map[string]string{"app": "web"}, OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: types.UID("uid-" + owner), Controller: new(true)},
			}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image, Env: []corev1.EnvVar{{Name: "A", Value: "1"}}}}},
		}
		return must(pods.Create(t.Context(), object))(t)
	}
	first := made("web", "web", "nginx")
	second := made("web", "web", "nginx")
	newer := made("web", "web", "httpd")
	stranger := made("web", "other", "nginx")
	changed := second.DeepCopy()
	changed.Status.Phase, changed.Status.PodIP = corev1.PodRunning, "10.0.0.7"
	changed.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.7"}}
	running := must(pods.UpdateStatus(t.Context(), changed))(t)

	for _, test := range []struct {
		name  string
		other *corev1.Pod
		want  bool
	}{{"a sibling", second, true}, {"a sibling that runs", running, true}, {"a sibling with another image", newer, false}, {"another controller's", stranger, false}} {
		if shared := &first.Spec.Containers[0] == &test.other.Spec.Containers[0]; shared != test.want {
			t.Errorf("%s shares the containers: %v, want %v", test.name, shared, test.want)
		}
	}
	if first.Name == second.Name || first.UID == second.UID || newer.Spec.Containers[0].Image != "httpd" || first.Spec.Containers[0].Image != "nginx" {
		t.Errorf("siblings share too much: %v, %v, %v", first.ObjectMeta, second.ObjectMeta, newer.Spec)
	}
	// The labels are one map: a map says nothing of where it is but by its address.
	if fmt.Sprintf("%p", first.Labels) != fmt.Sprintf("%p", running.Labels) {
		t.Error("a status that was written has given the pod labels of its own")
	}
	relabelled := running.DeepCopy()
	relabelled.Labels["app"] = "debug"
	relabelled = must(pods.Update(t.Context(), relabelled))(t)
	again := must(pods.Get(t.Context(), "default", first.Name))(t)
	if relabelled.Labels["app"] != "debug" || again.Labels["app"] != "web" {
		t.Errorf("the one pod is labelled %v, its sibling %v", relabelled.Labels, again.Labels)
	}
	if diff := cmp.Diff(second, running, cmpopts.IgnoreFields(corev1.Pod{}, "Status"), cmpopts.IgnoreFields(metav1.ObjectMeta{}, "ResourceVersion", "ManagedFields")); diff != "" {
		t.Errorf("writing the status changed more (-before +after):\n%s", diff)
	}
}
