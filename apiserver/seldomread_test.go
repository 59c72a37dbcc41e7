package apiserver_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/apiserver"
	"kubette/client"
)

// Events are decoded when somebody lists them, and not before: neither reading nor patching one of them decodes all.
func TestEventsAreKeptEncoded(t *testing.T) {
	s, c := start(t)
	events := client.Of[*corev1.Event](c)
	for i := range 3 {
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", i), Namespace: "default"}, Type: "Normal", Reason: "Tested",
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"}, Count: 1}
		must(events.Create(t.Context(), event))(t)
	}
	if _, err := events.Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e1", Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{Namespace: "default"}}); err == nil {
		t.Error("there are two events of one name")
	}
	must(events.Patch(t.Context(), "default", "e1", types.MergePatchType, []byte(`{"count":2}`)))(t)
	if e := must(events.Get(t.Context(), "default", "e1"))(t); e.Count != 2 || e.Reason != "Tested" || e.UID == "" {
		t.Errorf("read back: %v", e)
	}
	if err := events.Delete(t.Context(), "default", "e2", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if apiserver.LoadedForTest(s, "events") {
		t.Error("all events were decoded, though nobody asked for them")
	}
	page := must(events.List(t.Context(), "", metav1.ListOptions{}))(t)
	if len(page) != 2 || page[0].Count != 1 || page[1].Count != 2 {
		t.Errorf("list: %v", page)
	}
	if !apiserver.LoadedForTest(s, "events") {
		t.Error("a list of events left nothing decoded for the next one")
	}
	must(events.Patch(t.Context(), "default", "e0", types.MergePatchType, []byte(`{"count":5}`)))(t)
	if e := must(events.Get(t.Context(), "default", "e0"))(t); e.Count != 5 {
		t.Errorf("read after the list: %v", e)
	}
}
