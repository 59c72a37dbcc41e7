package apiserver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver"
	"kubette/client"
)

// seen reads the events that are there: what each says, of which object.
func seen(w watch.Interface) []string {
	synctest.Wait()
	events := []string{}
	for {
		select {
		case e, open := <-w.ResultChan():
			if !open {
				return append(events, "END")
			}
			switch object := e.Object.(type) {
			case *metav1.Status:
				events = append(events, fmt.Sprintf("%s %d", e.Type, object.Code))
			case client.Object:
				events = append(events, fmt.Sprintf("%s %s", e.Type, object.GetName()))
			}
			synctest.Wait()
		default:
			return events
		}
	}
}

func wantSeen(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, seen(w)); diff != "" {
		t.Errorf("events (-want +got): %s", diff)
	}
}

// inBubble runs a test in virtual time, with a server whose watches have ended when it does.
func inBubble(t *testing.T, f func(t *testing.T, s *apiserver.Server, c client.Interface)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s, c := start(t)
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		f(t, s, c)
		stop()
		<-done
	})
}

func TestWatchFollows(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		a := must(maps.Create(t.Context(), configMap("a", nil)))(t)
		w := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: a.ResourceVersion}))(t)
		everything := must(maps.Watch(t.Context(), "", metav1.ListOptions{}))(t)
		elsewhere := must(maps.Watch(t.Context(), "other", metav1.ListOptions{}))(t)
		changed := a.DeepCopy()
		changed.Data["a"] = "2"
		must(maps.Update(t.Context(), changed))(t)
		must(maps.Create(t.Context(), configMap("b", nil)))(t)
		if err := maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		wantSeen(t, w, "MODIFIED a", "ADDED b", "DELETED a")
		wantSeen(t, everything, "ADDED a", "MODIFIED a", "ADDED b", "DELETED a")
		wantSeen(t, elsewhere)
		w.Stop()
		wantSeen(t, w, "END")
	})
}

// An object that begins to match is new to the watch; one that no longer does is gone.
func TestWatchSelects(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		w := must(maps.Watch(t.Context(), "default", metav1.ListOptions{LabelSelector: "tier=web"}))(t)
		object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
		for _, tier := range []string{"web", "web", "db", "web"} {
			object = object.DeepCopy()
			object.Labels = map[string]string{"tier": tier}
			object.Data = map[string]string{"at": object.ResourceVersion}
			object = must(maps.Update(t.Context(), object))(t)
		}
		wantSeen(t, w, "ADDED a", "MODIFIED a", "DELETED a", "ADDED a")
	})
}

func TestWatchDeletedCarriesLastStateAndItsRevision(t *testing.T) {
	inBubble(t, func(t *testing.T, s *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		object := must(maps.Create(t.Context(), configMap("a", nil)))(t)
		w := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: object.ResourceVersion}))(t)
		if err := maps.Delete(t.Context(), "default", "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		e := <-w.ResultChan()
		gone := e.Object.(*corev1.ConfigMap)
		if gone.Data["a"] != "1" || gone.ResourceVersion == object.ResourceVersion {
			t.Errorf("got %s %v at %s", e.Type, gone.Data, gone.ResourceVersion)
		}
		if object.ResourceVersion == gone.ResourceVersion {
			t.Error("the shared object was changed")
		}
	})
}

func TestWatchSaysWhenInitialObjectsAreSent(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		last := must(maps.Create(t.Context(), configMap("a", nil)))(t)
		w := must(maps.Watch(t.Context(), "default", metav1.ListOptions{SendInitialEvents: new(true), AllowWatchBookmarks: true,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}))(t)
		if e := <-w.ResultChan(); e.Type != watch.Added {
			t.Errorf("got %s first", e.Type)
		}
		mark := <-w.ResultChan()
		object := mark.Object.(*corev1.ConfigMap)
		if mark.Type != watch.Bookmark || object.Annotations[metav1.InitialEventsAnnotationKey] != "true" || object.ResourceVersion != last.ResourceVersion {
			t.Errorf("got %s %+v", mark.Type, object.ObjectMeta)
		}
		must(client.Of[*corev1.Namespace](c).Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}))(t)
		time.Sleep(time.Minute + time.Second)
		mark = <-w.ResultChan()
		if object := mark.Object.(*corev1.ConfigMap); mark.Type != watch.Bookmark || object.ResourceVersion == last.ResourceVersion {
			t.Errorf("a minute later: got %s at %s, %s is long past", mark.Type, object.ResourceVersion, last.ResourceVersion)
		}
	})
}

func TestWatchEndsAfterTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		w := must(c.Watch(t.Context(), configMaps, "default", metav1.ListOptions{TimeoutSeconds: new(int64(90))}))(t)
		time.Sleep(89 * time.Second)
		wantSeen(t, w)
		time.Sleep(2 * time.Second)
		wantSeen(t, w, "END")
	})
}

// A reader far behind gets every event from the store, and an error when they are gone there, too.
func TestWatchReadsSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		first := must(maps.Create(t.Context(), configMap("first", nil)))(t)
		slow := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: first.ResourceVersion}))(t)
		stuck := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: first.ResourceVersion}))(t)
		const many = 3000
		for i := range many {
			must(maps.Create(t.Context(), configMap(fmt.Sprint("c", i), nil)))(t)
			if i%1000 == 7 {
				must(client.Of[*corev1.Namespace](c).Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}}))(t)
			}
		}
		for i := range many {
			e := <-slow.ResultChan()
			if name := e.Object.(client.Object).GetName(); name != fmt.Sprint("c", i) {
				t.Fatalf("event %d is %s of %s", i, e.Type, name)
			}
		}
		wantSeen(t, slow)
		apiserver.CompactForTest(t, s)
		events := seen(stuck)
		if n := len(events); events[n-1] != "END" || events[n-2] != "ERROR 410" {
			t.Errorf("%d events, the last are %v", n, events[n-2:])
		}
	})
}

func TestWatchOfTheCompactedPast(t *testing.T) {
	inBubble(t, func(t *testing.T, s *apiserver.Server, c client.Interface) {
		maps := client.Of[*corev1.ConfigMap](c)
		first := must(maps.Create(t.Context(), configMap("a", nil)))(t)
		must(maps.Create(t.Context(), configMap("b", nil)))(t)
		past := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: first.ResourceVersion}))(t)
		wantSeen(t, past, "ADDED b")
		must(maps.Create(t.Context(), configMap("c", nil)))(t)
		apiserver.CompactForTest(t, s)
		late := must(maps.Watch(t.Context(), "default", metav1.ListOptions{ResourceVersion: "1"}))(t)
		wantSeen(t, late, "ERROR 410", "END")
	})
}

func TestEventsExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *apiserver.Server, c client.Interface) {
		events := client.Of[*corev1.Event](c)
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "default"}, Type: "Normal", Reason: "Tested",
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"}}
		must(events.Create(t.Context(), event))(t)
		time.Sleep(59 * time.Minute)
		must(events.Get(t.Context(), "default", "e"))(t)
		time.Sleep(3 * time.Minute)
		if _, err := events.Get(t.Context(), "default", "e"); err == nil {
			t.Error("the event is still there after an hour")
		}
	})
}
