package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/client"
	"kubette/scheduler"
)

// three are a control plane that takes no pods, and two workers.
func three() []*corev1.Node {
	return []*corev1.Node{
		makeNode("control-plane", "4", "8Gi", tainted("node-role.kubernetes.io/control-plane")),
		makeNode("worker-1", "4", "8Gi"), makeNode("worker-2", "4", "8Gi"),
	}
}

func TestAssign(t *testing.T) {
	inBubble(t, three()[:2], func(c *cluster) {
		c.create(makePod("web", "1"))
		c.wantNode("web", "worker-1")
		c.wantEvent("web", "Scheduled", "Successfully assigned default/web to worker-1")
		got := c.scheduler.Decisions("default", "web")
		if len(got) != 1 || got[0].Outcome != scheduler.OutcomeAssigned || got[0].Node != "worker-1" || got[0].Attempt != 1 || len(got[0].Nodes) != 2 {
			c.t.Fatalf("decisions %+v", got)
		}
		if refusal := got[0].Nodes[1].Refusal; refusal == nil || refusal.Plugin != "TaintToleration" {
			t.Errorf("the control plane: %+v", got[0].Nodes[1])
		}
	})
}

func TestMessages(t *testing.T) {
	full := func(c *cluster) { // both workers are taken
		c.create(makePod("a", "3", onNode("worker-1")))
		c.create(makePod("b", "3", onNode("worker-2")))
		c.settle()
	}
	for name, test := range map[string]struct {
		before func(c *cluster)
		pod    *corev1.Pod
		want   string
	}{
		"too little left": {full, makePod("web", "2"), "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. " +
			"preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."},
		"too big for any node": {nil, makePod("web", "5"), "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. " +
			"preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."},
		"two things too little": {nil, makePod("web", "5", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("9Gi")
		}), "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu, 2 Insufficient memory. " +
			"preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."},
		"no such label": {nil, makePod("web", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
			"0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector. " +
				"preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."},
		"a node by name": {full, makePod("web", "2", func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"worker-1"}}}}},
			}}}
		}), "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. " +
			"preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."},
		"a claim that is not there": {nil, makePod("web", "", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		}), `0/3 nodes are available: persistentvolumeclaim "data" not found. not found`},
		"never evicts": {full, makePod("web", "2", priority(10), func(p *corev1.Pod) {
			never := corev1.PreemptNever
			p.Spec.PreemptionPolicy = &never
		}), "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. " +
			"preemption: not eligible due to preemptionPolicy=Never."},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, three(), func(c *cluster) {
				if test.before != nil {
					test.before(c)
				}
				c.create(test.pod)
				c.wantNode("web", "")
				c.wantReason("web", test.want)
				c.wantEvent("web", "FailedScheduling", test.want)
			})
		})
	}
}

func TestNoNodes(t *testing.T) {
	inBubble(t, nil, func(c *cluster) {
		c.create(makePod("web", ""))
		c.wantReason("web", "no nodes available to schedule pods")
		// Nothing says what helps, so that it is tried again and again, as after an error.
		time.Sleep(time.Minute)
		if got := c.attempts("web"); got != 8 { // backing off for 1, 2, 4, 8, 10, 10, 10 seconds, each to the end of the second
			t.Errorf("tried %d times in a minute", got)
		}
		c.addNode(makeNode("worker-1", "1", "1Gi"))
		c.wantNode("web", "")
		time.Sleep(11 * time.Second)
		c.wantNode("web", "worker-1")
	})
}

// attempts is how often a pod was tried.
func (c *cluster) attempts(name string) int {
	c.settle()
	decisions := c.scheduler.Decisions("default", name)
	return decisions[len(decisions)-1].Attempt
}

func TestWaitingPodsWakeForWhatHelpsOnly(t *testing.T) {
	inBubble(t, three(), func(c *cluster) {
		c.create(makePod("a", "4", onNode("worker-1")))
		c.create(makePod("b", "4", onNode("worker-2")))
		c.settle()
		c.create(makePod("web", "2"))
		c.create(makePod("selective", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }))
		want := func(when string, web, selective int) {
			t.Helper()
			if got := c.attempts("web"); got != web {
				t.Errorf("%s: web was tried %d times, want %d", when, got, web)
			}
			if got := c.attempts("selective"); got != selective {
				t.Errorf("%s: selective was tried %d times, want %d", when, got, selective)
			}
		}
		want("at first", 1, 1)
		time.Sleep(2 * time.Minute)
		want("after a while", 1, 1)
		c.create(makePod("small", "", onNode("worker-1")))
		want("after another pod came", 1, 1)
		c.updateNode("worker-1", func(n *corev1.Node) { n.Labels["color"] = "red" })
		want("after a label that nobody asks for", 1, 1)
		c.updateNode("worker-2", func(n *corev1.Node) { n.Labels["disk"] = "ssd" })
		want("after the right label", 1, 2)
		c.wantNode("selective", "worker-2")
		c.delete("small")
		want("after a pod went, which others may have to do, too", 2, 2)
		c.delete("b")
		want("after room was made", 3, 2)
		c.wantNode("web", "worker-2")
	})
}

func TestCordon(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		c.updateNode("worker-1", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		c.create(makePod("web", ""))
		c.wantReason("web", "0/1 nodes are available: 1 node(s) were unschedulable. "+
			"preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
		c.updateNode("worker-1", func(n *corev1.Node) { n.Spec.Unschedulable = false })
		c.wantNode("web", "worker-1")
	})
}

func TestGates(t *testing.T) {
	inBubble(t, three(), func(c *cluster) {
		c.create(makePod("web", "", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/quota"}} }))
		c.wantNode("web", "")
		if got := c.scheduler.Decisions("default", "web"); len(got) != 0 {
			t.Errorf("a gated pod was tried: %+v", got)
		}
		c.updatePod("web", func(p *corev1.Pod) { p.Spec.SchedulingGates = nil })
		if c.pod("web").Spec.NodeName == "" {
			t.Error("the pod has no node after its gate was removed")
		}
	})
}

func TestOtherSchedulersPods(t *testing.T) {
	inBubble(t, three(), func(c *cluster) {
		c.create(makePod("web", "", func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }))
		c.wantNode("web", "")
	})
}

func TestImportantPodsFirstAndStepByStep(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		gate := c.machine.Gate("default-scheduler")
		gate.Pause()
		c.create(makePod("first", "3"))
		c.settle() // it waits at the gate already
		c.create(makePod("low", "3", priority(1)))
		c.create(makePod("high", "3", priority(5)))
		c.wantNode("first", "")
		c.delete("first")
		gate.Step(1) // finds that it is gone
		c.wantNode("high", "")
		gate.Step(1)
		c.wantNode("high", "worker-1")
		if got := c.scheduler.Decisions("default", "low"); len(got) != 0 {
			t.Errorf("two steps tried three pods: %+v", got)
		}
		gate.Resume()
		c.wantNode("low", "")
	})
}

func TestPreemption(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		c.create(makePod("dear", "3", onNode("worker-1"), priority(5)))
		c.create(makePod("cheap", "3", onNode("worker-2"), priority(1)))
		c.create(makePod("cheaper", "500m", onNode("worker-2")))
		c.settle()
		c.create(makePod("web", "3500m", priority(10)))
		c.wantNode("web", "")
		web := c.pod("web")
		if web.Status.NominatedNodeName != "worker-2" {
			c.t.Fatalf("nominated for %q; %+v", web.Status.NominatedNodeName, c.scheduler.Decisions("default", "web"))
		}
		c.wantReason("web", "0/2 nodes are available: 2 Insufficient cpu. preemption: found a potential placement for pod on node worker-2, preempting 1 victims")
		c.wantEvent("cheap", "Preempted", "Preempted by pod "+string(web.UID)+" on node worker-2")
		cheap := c.pod("cheap")
		condition := cheap.Status.Conditions[len(cheap.Status.Conditions)-1]
		if cheap.DeletionTimestamp == nil || condition.Type != corev1.DisruptionTarget || condition.Reason != "PreemptionByScheduler" ||
			condition.Message != "default-scheduler: preempting to accommodate a higher priority pod" {
			t.Errorf("victim deleted %v, condition %+v", cheap.DeletionTimestamp, condition)
		}
		if c.pod("dear").DeletionTimestamp != nil || c.pod("cheaper").DeletionTimestamp != nil {
			t.Error("a pod had to go that was not in the way")
		}
		// Room is kept for it while the victims go.
		c.create(makePod("cuckoo", "1"))
		c.wantNode("cuckoo", "worker-1")
		c.create(makePod("cuckoo-2", "1"))
		c.wantNode("cuckoo-2", "")
		c.delete("cheap")
		c.wantNode("web", "worker-2")
		c.wantNode("cuckoo-2", "")
	})
}

// An event that comes while victims are being told to go does not make the scheduler evict more of them.
func TestPreemptsOnce(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		for _, node := range []string{"worker-1", "worker-2"} {
			c.create(makePod("old-"+node, "3", onNode(node)))
		}
		c.settle()
		c.create(makePod("web", "3", priority(10)))
		c.settle()
		c.updateNode("worker-1", func(n *corev1.Node) { n.Labels["color"] = "red" })
		gone := 0
		for _, name := range []string{"old-worker-1", "old-worker-2"} {
			if c.pod(name).DeletionTimestamp != nil {
				gone++
			}
		}
		if gone != 1 {
			t.Errorf("%d pods were evicted, want 1", gone)
		}
	})
}

func TestSpreadByDefault(t *testing.T) {
	inBubble(t, []*corev1.Node{makeNode("big", "64", "64Gi"), makeNode("small", "4", "4Gi")}, func(c *cluster) {
		c.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}},
		}})
		c.settle()
		for _, name := range []string{"web-1", "web-2", "web-3", "web-4"} {
			c.create(makePod(name, "100m"))
			c.settle()
		}
		nodes := map[string]int{}
		for _, name := range []string{"web-1", "web-2", "web-3", "web-4"} {
			nodes[c.pod(name).Spec.NodeName]++
		}
		if nodes["big"] != 2 || nodes["small"] != 2 {
			t.Errorf("four pods of a service are on %v", nodes)
		}
	})
}

func TestStartsWithPodsThatAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, three()[1:])
		t.Cleanup(stop)
		c.settle = synctest.Wait
		c.create(makePod("a", "3"))
		c.create(makePod("b", "3"))
		first, second := c.pod("a").Spec.NodeName, c.pod("b").Spec.NodeName
		if first == "" || second == "" || first == second {
			t.Errorf("a is on %q, b on %q", first, second)
		}
	})
}

// flaky fails the next bindings.
type flaky struct {
	client.Interface
	failures int
}

func (f *flaky) Create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.CreateOptions, subresource ...string) (runtime.Object, error) {
	if len(subresource) > 0 && f.failures > 0 {
		f.failures--
		return nil, errors.New("the network is down")
	}
	return f.Interface.Create(ctx, resource, namespace, name, object, options, subresource...)
}

func TestRetriesBinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, three()[1:2], func(config *scheduler.Config) {
			config.Client = &flaky{config.Client, 3}
		})
		t.Cleanup(stop)
		c.settle = synctest.Wait
		c.create(makePod("web", "3"))
		c.wantNode("web", "")
		pod := c.pod("web")
		if condition := pod.Status.Conditions[0]; condition.Reason != "SchedulerError" || condition.Message != `running Bind plugin "DefaultBinder": the network is down` {
			t.Errorf("condition %+v", condition)
		}
		for _, step := range []struct {
			after time.Duration
			node  string
		}{{1800 * time.Millisecond, ""}, {3 * time.Second, ""}, {5 * time.Second, ""}, {200 * time.Millisecond, "worker-1"}} {
			time.Sleep(step.after) // back-off of 1, 2 and 4 seconds, each to the end of the second
			c.wantNode("web", step.node)
		}
		if got := c.attempts("web"); got != 4 {
			t.Errorf("tried %d times, want 4", got)
		}
	})
}
