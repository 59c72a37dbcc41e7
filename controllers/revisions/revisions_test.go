package revisions_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/revisions"
)

// historian plays the controller of a DaemonSet that has revisions.
type historian struct {
	*controllertest.Cluster
	informer client.Informer[*appsv1.ControllerRevision]
	owner    *appsv1.DaemonSet
}

func start(t *testing.T) *historian {
	h := &historian{}
	h.Cluster = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		h.informer = client.InformerFor[*appsv1.ControllerRevision](base.Informers)
		controllers.IndexByOwner(h.informer)
		return nil
	})
	template := controllertest.Template("web", "nginx:1")
	h.owner = controllertest.Create(h.Cluster, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template}})
	return h
}

func (h *historian) history() *revisions.History {
	h.T.Helper()
	h.Settle()
	selector, err := metav1.LabelSelectorAsSelector(h.owner.Spec.Selector)
	if err != nil {
		h.T.Fatal(err)
	}
	past, err := revisions.Of(context.Background(), h.Client, h.informer, h.owner, selector)
	if err != nil {
		h.T.Fatal(err)
	}
	return past
}

func (h *historian) revision(image string, number int64) *appsv1.ControllerRevision {
	h.T.Helper()
	template := controllertest.Template("web", image)
	made, err := revisions.New(h.owner, &template, number, nil)
	if err != nil {
		h.T.Fatal(err)
	}
	return made
}

// write stores the revision of an image as the next one.
func (h *historian) write(image string) *appsv1.ControllerRevision {
	h.T.Helper()
	past := h.history()
	created, collided, err := past.Create(context.Background(), h.revision(image, past.Next()))
	if err != nil || collided {
		h.T.Fatalf("collided %v, %v", collided, err)
	}
	return created
}

func numbers(past *revisions.History) map[int64]string {
	all := map[int64]string{}
	for _, revision := range past.Revisions {
		template, _ := revisions.Template(revision)
		all[revision.Revision] = template.Spec.Containers[0].Image
	}
	return all
}

func TestHistoryGrowsAndIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		first := h.write("nginx:1")
		h.write("nginx:2")
		if owner := metav1.GetControllerOf(first); owner == nil || owner.UID != h.owner.UID || first.Name != "web-"+first.Labels[revisions.HashLabel] {
			t.Errorf("the first revision is %+v", first.ObjectMeta)
		}
		past := h.history()
		if diff := cmp.Diff(map[int64]string{1: "nginx:1", 2: "nginx:2"}, numbers(past)); diff != "" {
			t.Fatal(diff)
		}
		// The template of long ago comes again: its revision becomes the newest, and keeps its name.
		same := past.Equal(h.revision("nginx:1", 9))
		if same == nil || same.Name != first.Name {
			t.Fatalf("equal to the first is %v", same)
		}
		if _, err := past.Raise(t.Context(), same, past.Next()); err != nil {
			t.Fatal(err)
		}
		past = h.history()
		if diff := cmp.Diff(map[int64]string{2: "nginx:2", 3: "nginx:1"}, numbers(past)); diff != "" {
			t.Error(diff)
		}
		if past.Equal(h.revision("nginx:3", 1)) != nil || past.Named(first.Name) == nil || past.Next() != 4 {
			t.Error("looking into the history fails")
		}
	})
}

func TestTruncateKeepsWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		for _, image := range []string{"a", "b", "c", "d", "e"} {
			h.write(image)
		}
		past := h.history()
		used := func(r *appsv1.ControllerRevision) bool { return r.Revision == 1 || r.Revision == 5 }
		if err := past.Truncate(t.Context(), 1, used); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[int64]string{1: "a", 4: "d", 5: "e"}, numbers(h.history())); diff != "" {
			t.Error(diff)
		}
	})
}

// A name that another content has is told to the caller, who counts the collision; the same content is taken over.
func TestNamesThatAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		other := h.revision("nginx:2", 1)
		other.Name = h.revision("nginx:1", 1).Name
		controllertest.Create(h.Cluster, other)
		past := h.history()
		if _, collided, err := past.Create(t.Context(), h.revision("nginx:1", 1)); err != nil || !collided {
			t.Errorf("collided: %v, %v", collided, err)
		}
		template := controllertest.Template("web", "nginx:1")
		counted, err := revisions.New(h.owner, &template, 1, ptr.To[int32](1))
		if err != nil || counted.Name == other.Name {
			t.Errorf("with the collision counted the name is %s, %v", counted.Name, err)
		}
		first := h.write("nginx:3")
		stale := &revisions.History{}
		*stale = *past // does not know of it
		taken, collided, err := stale.Create(t.Context(), h.revision("nginx:3", 7))
		if err != nil || collided || taken.UID != first.UID {
			t.Errorf("the same content: %v, collided %v, %v", taken, collided, err)
		}
	})
}

func TestOrphansAreAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		orphan := h.revision("nginx:1", 1)
		orphan.OwnerReferences = nil
		controllertest.Create(h.Cluster, orphan)
		foreign := h.revision("nginx:2", 2)
		foreign.OwnerReferences[0].UID = "another"
		controllertest.Create(h.Cluster, foreign)
		if diff := cmp.Diff(map[int64]string{1: "nginx:1"}, numbers(h.history())); diff != "" {
			t.Fatal(diff)
		}
		if owner := metav1.GetControllerOf(controllertest.Get[*appsv1.ControllerRevision](h.Cluster, "default", orphan.Name)); owner == nil || owner.UID != h.owner.UID {
			t.Errorf("the owner is %v", owner)
		}
	})
}

// What is restored is the template as a whole: fields that were added since go.
func TestPatchReplacesTheTemplate(t *testing.T) {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}}
	patch, err := revisions.Patch(&template)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"b"}},"spec":{"containers":null}}}}`; string(patch) != want {
		t.Errorf("the patch is %s", patch)
	}
}
