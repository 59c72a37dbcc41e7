package apiserver_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
	"kubette/client"
)

func bindPod(t *testing.T, c client.Interface, name, node string) {
	t.Helper()
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	must(c.Create(t.Context(), podsGVR, "default", name, binding, metav1.CreateOptions{}, "binding"))(t)
}

func label(t *testing.T, c client.Interface, name, value string) {
	t.Helper()
	p := must(client.Of[*corev1.Pod](c).Get(t.Context(), "default", name))(t).DeepCopy()
	p.Labels = map[string]string{"n": value}
	must(client.Of[*corev1.Pod](c).Update(t.Context(), p))(t)
}

// A kubelet watches the pods of its node: they begin to be its own when they are bound to it.
func TestWatchOfOneNode(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		pods := client.Of[*corev1.Pod](c)
		of := func(selector string) watch.Interface {
			return must(pods.Watch(t.Context(), "", metav1.ListOptions{FieldSelector: selector}))(t)
		}
		one, two, named := of("spec.nodeName=one"), of("spec.nodeName=two"), of("metadata.name=b")
		for _, name := range []string{"a", "b"} {
			must(pods.Create(t.Context(), pod(name)))(t)
		}
		wantSeen(t, one)
		bindPod(t, c, "a", "one")
		bindPod(t, c, "b", "two")
		label(t, c, "a", "1")
		late := of("spec.nodeName=one,metadata.namespace=default")
		zero := int64(0)
		if err := pods.Delete(t.Context(), "default", "a", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			t.Fatal(err)
		}
		// A deletion without any grace is seen in two steps.
		wantSeen(t, one, "ADDED a", "MODIFIED a", "MODIFIED a", "DELETED a")
		wantSeen(t, two, "ADDED b")
		wantSeen(t, named, "ADDED b", "MODIFIED b")
		wantSeen(t, late, "ADDED a", "MODIFIED a", "DELETED a")
	})
}

// Who watches one node and does not read misses nothing, however much happens on it and elsewhere.
func TestSlowWatchOfOneNode(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		const changes = 1500
		pods := client.Of[*corev1.Pod](c)
		for name, node := range map[string]string{"mine": "one", "other": "two"} {
			must(pods.Create(t.Context(), pod(name)))(t)
			bindPod(t, c, name, node)
		}
		w := must(pods.Watch(t.Context(), "", metav1.ListOptions{FieldSelector: "spec.nodeName=one"}))(t)
		for i := range changes {
			label(t, c, "mine", fmt.Sprint(i))
			label(t, c, "other", fmt.Sprint(i))
		}
		want := 0
		if first := <-w.ResultChan(); first.Type != watch.Added {
			t.Fatalf("first came %v", first)
		}
		for want < changes {
			event := <-w.ResultChan()
			if got := event.Object.(*corev1.Pod); got.Name != "mine" || got.Labels["n"] != fmt.Sprint(want) {
				t.Fatalf("after %d changes came %s %s %v", want, event.Type, got.Name, got.Labels)
			}
			want++
		}
		wantSeen(t, w)
	})
}

// Pods are found by their node, as they are now.
func TestPodsOfOneNode(t *testing.T) {
	s, c := start(t)
	pods := client.Of[*corev1.Pod](c)
	for name, node := range map[string]string{"a": "one", "b": "two", "c": "one"} {
		must(pods.Create(t.Context(), pod(name)))(t)
		bindPod(t, c, name, node)
	}
	must(pods.Create(t.Context(), pod("d")))(t)
	for selector, want := range map[string]string{
		"spec.nodeName=one": "[a c]", "spec.nodeName=": "[d]", "spec.nodeName=three": "[]", "metadata.name=b": "[b]", "spec.nodeName!=one": "[b d]",
		"metadata.name=b,spec.nodeName=one": "[]",
	} {
		for _, namespace := range []string{"", "default"} {
			var names []string
			for _, p := range must(pods.List(t.Context(), namespace, metav1.ListOptions{FieldSelector: selector}))(t) {
				names = append(names, p.Name)
			}
			if got := fmt.Sprint(names); got != want {
				t.Errorf("%s in %q: %s, not %s", selector, namespace, got, want)
			}
		}
	}
	indexed := s.Cluster().(kinds.Indexed)
	if got := len(indexed.ListIndexed("", "pods", "", "one")); got != 2 {
		t.Errorf("%d pods by their index", got)
	}
}
