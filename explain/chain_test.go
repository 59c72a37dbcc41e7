package explain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/loop"
)

// recorded is what a small cluster recorded of a Deployment that a user applied.
func recorded() Journal {
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	object := func(resource, name string) Ref { return Ref{Resource: resource, Namespace: "default", Name: name} }
	writes := []Write{
		{Revision: 1, Time: at(0), Actor: "kubernetes-admin", Verb: "create", Object: object("deployments", "web"), Created: true},
		{Revision: 2, Time: at(1), Actor: "system:serviceaccount:kube-system:deployment-controller", Verb: "create", Object: object("replicasets", "web-1"), Created: true, Cause: "deployment-controller/1"},
		{Revision: 3, Time: at(2), Actor: "system:serviceaccount:kube-system:replicaset-controller", Verb: "create", Object: object("pods", "web-1-a"), Created: true, Cause: "replicaset-controller/3"},
		{Revision: 4, Time: at(3), Actor: "system:kube-scheduler", Verb: "create/binding", Object: object("pods", "web-1-a"), Cause: "default-scheduler/4"},
		{Revision: 5, Time: at(4), Actor: "system:node:worker-1", Verb: "update/status", Object: object("pods", "web-1-a"), Cause: "kubelet-worker-1/5"},
		{Revision: 6, Time: at(5), Actor: "system:node:worker-1", Verb: "update/status", Object: object("pods", "web-1-a"), Cause: "kubelet-worker-1/lost"},
	}
	steps := map[string]*loop.Record{
		"deployment-controller/1": {ID: "deployment-controller/1", Component: "deployment-controller", Key: "default/web", Cause: "deployments/default/web added", Time: at(1)},
		"replicaset-controller/2": {ID: "replicaset-controller/2", Component: "replicaset-controller", Key: "default/web-1", Cause: "replicasets/default/web-1 added", Time: at(2), Error: "conflict"},
		"replicaset-controller/3": {ID: "replicaset-controller/3", Component: "replicaset-controller", Key: "default/web-1", Cause: "retry of replicaset-controller/2", Time: at(2)},
		"default-scheduler/4":     {ID: "default-scheduler/4", Component: "default-scheduler", Key: "default/web-1-a", Cause: "pod added", Time: at(3)},
		"kubelet-worker-1/5":      {ID: "kubelet-worker-1/5", Component: "kubelet-worker-1", Key: "default/web-1-a", Cause: "pods/default/web-1-a bound to this node", Time: at(4)},
	}
	return Journal{
		Writes: func(of Ref) (found []Write) {
			for _, w := range writes {
				if w.Object.Resource == of.Resource && w.Object.Name == of.Name {
					found = append(found, w)
				}
			}
			return found
		},
		Step: func(id string) *loop.Record { return steps[id] },
	}
}

// A pod's chain goes from its newest write back to its creation, and from there, over a step that was repeated, up to the
// user. What is not recorded is said to be unknown.
func TestChain(t *testing.T) {
	started := &corev1.Event{Reason: "Started", Message: "Container started", Type: "Normal", LastTimestamp: metav1.NewTime(now.Add(3500 * time.Millisecond)),
		Source: corev1.EventSource{Component: "kubelet", Host: "worker-1"}}
	var got []string
	for _, link := range Chain(recorded(), Ref{Resource: "pods", Namespace: "default", Name: "web-1-a"}, []*corev1.Event{started}) {
		switch {
		case link.Event != nil:
			got = append(got, link.Event.Who+" says "+link.Event.Reason)
		default:
			line := Who(link.Write.Actor) + " " + link.Write.Verb + " " + link.Write.Object.String()
			if link.Unknown {
				line += " (unknown)"
			}
			if link.Above {
				line = "above: " + line
			}
			got = append(got, line)
		}
	}
	want := []string{
		"kubelet worker-1 update/status pods/default/web-1-a (unknown)",
		"kubelet worker-1 update/status pods/default/web-1-a",
		"kubelet worker-1 says Started",
		"kube-scheduler create/binding pods/default/web-1-a",
		"replicaset-controller create pods/default/web-1-a",
		"above: deployment-controller create replicasets/default/web-1",
		"above: kubernetes-admin create deployments/default/web",
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("the chain (-want +got):\n%s", difference)
	}
}

func TestExplainNamesTheTrigger(t *testing.T) {
	j := recorded()
	for _, c := range []struct {
		object  Ref
		at      int
		trigger int64
		because string
	}{
		{Ref{Resource: "replicasets", Name: "web-1"}, 0, 1, "deployments/default/web added"},
		{Ref{Resource: "pods", Name: "web-1-a"}, 0, 2, "retry of replicaset-controller/2"},
		{Ref{Resource: "pods", Name: "web-1-a"}, 1, 3, "pod added"},
		{Ref{Resource: "pods", Name: "web-1-a"}, 3, 0, ""},
	} {
		w := j.Writes(c.object)[c.at]
		j.Explain(&w)
		if w.Trigger != c.trigger || w.Because != c.because {
			t.Errorf("revision %d: because %q of %d, want %q of %d", w.Revision, w.Because, w.Trigger, c.because, c.trigger)
		}
	}
}

// Of an object that was written thousands of times, the newest writes are shown, and its creation.
func TestChainOfABusyObject(t *testing.T) {
	quota := Ref{Resource: "resourcequotas", Namespace: "default", Name: "q"}
	writes := []Write{{Revision: 1, Time: now, Actor: "kubernetes-admin", Verb: "create", Object: quota, Created: true}}
	for i := range 5000 {
		writes = append(writes, Write{Revision: int64(i + 2), Time: now.Add(time.Duration(i) * time.Second), Actor: "system:apiserver", Verb: "update/status", Object: quota,
			Changes: []Change{{Path: "status.used." + string(rune('a'+i%2))}}})
	}
	j := Journal{Writes: func(Ref) []Write { return writes }, Step: func(string) *loop.Record { return nil }}
	links := Chain(j, quota, nil)
	if len(links) != ChainWrites+1 {
		t.Fatalf("%d links, want %d", len(links), ChainWrites+1)
	}
	if first, last := links[0].Write.Revision, links[len(links)-1].Write; first != 5001 || !last.Created || links[len(links)-1].Omitted != 4800 {
		t.Errorf("from revision %d to %+v, %d left out", first, last, links[len(links)-1].Omitted)
	}
}

// An event of the newer kind says in its series when it happened last, and how often.
func TestChainOfASeries(t *testing.T) {
	pod := Ref{Resource: "pods", Namespace: "default", Name: "web-1-a"}
	event := &corev1.Event{Reason: "FailedScheduling", Type: "Warning", ReportingController: "default-scheduler", EventTime: metav1.NewMicroTime(now),
		Series: &corev1.EventSeries{Count: 5, LastObservedTime: metav1.NewMicroTime(now.Add(time.Minute))}}
	newest := Chain(recorded(), pod, []*corev1.Event{event})[0]
	if newest.Event == nil || newest.Event.Who != "default-scheduler" || newest.Event.Count != 5 || !newest.Time.Equal(now.Add(time.Minute)) {
		t.Errorf("the newest link is %+v", newest)
	}
}
