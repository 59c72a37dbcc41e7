package scheduler_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func withFinalizer(p *corev1.Pod) { p.Finalizers = []string{"example.com/wait"} }

// expectOn says in a pod's status on which node it is expected, as an autoscaler may.
func expectOn(c *cluster, name, node string) {
	c.t.Helper()
	edit(c, "default", name, func(p *corev1.Pod) { p.Status.NominatedNodeName = node }, "status")
}

// Room is kept for a pod for which others are evicted; when it is deleted, those for which no room was left are tried again.
func TestNominatedPodIsDeleted(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		c.create(makePod("old", "3", onNode("worker-1")))
		c.settle()
		c.create(makePod("web", "3", priority(10)))
		c.settle()
		c.create(makePod("small", "1"))
		c.create(makePod("important", "2", priority(20), func(p *corev1.Pod) {
			never := corev1.PreemptNever
			p.Spec.PreemptionPolicy = &never
		}))
		c.wantNode("small", "")
		c.delete("web")
		c.wantNode("small", "worker-1")
		if got := c.attempts("important"); got != 1 {
			t.Errorf("one that is more important, and never left room for it, was tried %d times", got)
		}
	})
}

// What others say about where a pod is expected counts, and so does that they take it back.
func TestNominationByOthers(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		c.create(makePod("big", "3", priority(10), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }))
		expectOn(c, "big", "worker-1")
		c.create(makePod("small", "2"))
		c.create(makePod("dear", "2", priority(20)))
		c.wantNode("dear", "worker-1")
		c.delete("dear")
		c.wantNode("small", "")
		if got := c.attempts("small"); got != 2 {
			t.Errorf("the pod that has to leave room was tried %d times, want 2", got)
		}
		expectOn(c, "big", "")
		c.wantNode("small", "worker-1")
	})
}

// A pod that waits and is deleted, but kept by a finalizer, is not placed any more.
func TestPodOnItsWayOut(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		c.create(makePod("web", "", withFinalizer, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }))
		c.settle()
		c.delete("web")
		c.settle()
		c.updateNode("worker-1", func(n *corev1.Node) { n.Labels["disk"] = "ssd" })
		time.Sleep(2 * time.Second)
		c.wantNode("web", "")
		c.wantEvent("web", "FailedScheduling", "skip schedule deleting pod: default/web")
		if got := c.attempts("web"); got != 1 {
			t.Errorf("tried %d times, want 1", got)
		}
		c.updatePod("web", func(p *corev1.Pod) { p.Finalizers = nil })
		c.settle()
	})
}
