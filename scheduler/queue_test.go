package scheduler

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

func queuedPod(name string, priority int32) *framework.Pod {
	return framework.NewPod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Priority: &priority}})
}

// order empties a queue and returns the names in the order in which they come.
func order(q *queue) []string {
	var names []string
	for {
		p, _ := q.next(time.Now())
		if p == nil {
			return names
		}
		q.take(p)
		names = append(names, p.pod.Name)
	}
}

func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(nil, nil)
		for i, priority := range []int32{0, 5, -1, 5} {
			q.add(queuedPod(fmt.Sprint(i), priority), "")
			time.Sleep(time.Second)
		}
		if got := fmt.Sprint(order(q)); got != "[1 3 0 2]" {
			t.Errorf("order %s", got)
		}
	})
}

// Failing pods back off from 1 s to 10 s when they are woken, and to the end of that second; while there is nothing else to do
// they are not kept waiting.
func TestQueueBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(nil, nil)
		pod := q.add(queuedPod("slow", 0), "")
		for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
			q.take(pod)
			q.wait(pod, nil)
			q.wake(&framework.Event{Kind: framework.NodeAdded})
			if got := pod.until.Sub(time.Now()); pod.place != backing || got != want*time.Second {
				t.Fatalf("attempt %d: place %d, backs off for %v, want %v", pod.attempts, pod.place, got, want*time.Second)
			}
			other := q.add(queuedPod("other", -100), "")
			if next, _ := q.next(time.Now()); next != other {
				t.Fatalf("attempt %d: next is %v although another pod is ready", pod.attempts, next.pod.Name)
			}
			q.remove("other")
			if next, _ := q.next(time.Now()); next != pod {
				t.Fatalf("attempt %d: nothing is next although there is nothing else to do", pod.attempts)
			}
			time.Sleep(want*time.Second + window - 1)
			if pod.until.Equal(time.Now().Truncate(window)) && !pod.backsOff(time.Now()) {
				t.Fatalf("attempt %d: its back-off is over too soon", pod.attempts)
			}
			time.Sleep(1)
			if next, _ := q.next(time.Now()); next != pod || pod.place != ready {
				t.Fatalf("attempt %d: not ready after its back-off", pod.attempts)
			}
		}
	})
}

// After an error the back-off is waited for.
func TestQueueErrorBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(nil, nil)
		pod := q.add(queuedPod("web", 0), "")
		q.take(pod)
		time.Sleep(300 * time.Millisecond)
		q.retry(pod, "")
		// From 0.3 s to 1.3 s, and to the end of that second.
		if next, wait := q.next(time.Now()); next != nil || wait != 1700*time.Millisecond {
			t.Errorf("next %v, wait %v", next, wait)
		}
		time.Sleep(1699 * time.Millisecond)
		if next, _ := q.next(time.Now()); next != nil {
			t.Error("ready before the end of its back-off")
		}
		time.Sleep(time.Millisecond)
		if next, _ := q.next(time.Now()); next != pod {
			t.Error("not ready after its back-off")
		}
	})
}

// Of pods whose back-off ends within the same second the most important comes first, though another failed before it.
func TestQueueBackoffByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(nil, nil)
		for i, priority := range []int32{0, 5, 9} {
			pod := q.add(queuedPod(fmt.Sprint(i), priority), "")
			q.take(pod)
			q.wait(pod, []string{"NodeAffinity"})
			time.Sleep(400 * time.Millisecond) // the last one fails a second later
			if i == 1 {
				time.Sleep(400 * time.Millisecond)
			}
		}
		q.wake(&framework.Event{Kind: framework.NodeAdded})
		if got := fmt.Sprint(order(q)); got != "[1 0 2]" {
			t.Errorf("order %s", got)
		}
	})
}

// What has waited for five minutes is tried again, at the next look for such pods.
func TestQueueFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(nil, nil)
		pod := q.add(queuedPod("web", 0), "")
		q.next(time.Now())
		q.take(pod)
		q.wait(pod, []string{"NodeAffinity"})
		begun := time.Now()
		for {
			next, wait := q.next(time.Now())
			if next == pod {
				break
			}
			if wait <= 0 || wait > lookEvery {
				t.Fatalf("after %s: look again in %s", time.Since(begun), wait)
			}
			time.Sleep(wait)
		}
		if waited := time.Since(begun); waited <= longest || waited > longest+lookEvery {
			t.Errorf("tried again after %s", waited)
		}
		if pod.cause != "waited for long" {
			t.Errorf("the cause is %q", pod.cause)
		}
	})
}

func TestQueueGatesAndChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue([]framework.Gate{plugins.SchedulingGates{}}, map[string]framework.Waker{"TaintToleration": plugins.TaintToleration{}})
		pod := queuedPod("web", 0)
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "a"}}
		held := q.add(pod, "")
		if got := order(q); len(got) != 0 {
			t.Errorf("a gated pod came out: %v", got)
		}
		time.Sleep(time.Second)
		q.add(queuedPod("later", 0), "")
		time.Sleep(time.Second)
		q.change(held, queuedPod("web", 0))
		if next, _ := q.next(time.Now()); next != held {
			t.Error("the pod did not come in its turn when its gate was gone")
		}
		q.remove("later")
		q.add(queuedPod("other", 5), "")
		q.change(held, queuedPod("web", 10))
		if got := fmt.Sprint(order(q)); got != "[web other]" {
			t.Errorf("order after a change of priority: %s", got)
		}
		q.wait(held, []string{"TaintToleration"})
		changed := queuedPod("web", 10)
		changed.Labels = map[string]string{"color": "red"}
		if q.change(held, changed); held.place != waiting || held.pod != changed {
			t.Error("a change that does not help was not taken over, or the pod is tried again")
		}
		changed = queuedPod("web", 10)
		changed.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		if q.change(held, changed); held.place == waiting {
			t.Error("a change that helps did not wake the pod")
		}
		q.remove("web")
		if len(q.all) != 1 || len(q.waiting) != 0 || q.depth() != 0 {
			t.Errorf("left: %d, waiting %d, ready %d", len(q.all), len(q.waiting), q.depth())
		}
	})
}

// The memory of details that were forgotten is used again; what was read of them before, and what is kept, is not touched.
func TestForgottenDetailsAreUsedAgain(t *testing.T) {
	d := newDecisions()
	nodes := make([]*framework.Node, detailsEach)
	for i := range nodes {
		nodes[i] = &framework.Node{Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)}}}
	}
	decide := func(i int) {
		points := make([]int64, len(nodes))
		for n := range points {
			points[n] = int64(i)
		}
		r := &record{attempt: i}
		r.rate(d.takeSpare(), nodes, points, []scores{{plugin: "Test", weight: 1, raw: points, normal: points}}, 0)
		d.keep(fmt.Sprint("default/", i), r)
	}
	const all = 3 * detailsAll / detailsEach
	for i := range all / 3 {
		decide(i)
	}
	early := d.of("default/0")
	for i := all / 3; i < all; i++ {
		decide(i)
	}
	for i, decision := range append(early, d.of(fmt.Sprint("default/", all-1))...) {
		want := int64(i * (all - 1))
		if len(decision.Nodes) != detailsEach || decision.Nodes[7].Total != want || decision.Nodes[7].Scores[0].Raw != want {
			t.Errorf("decision %d: %d nodes, of which one has %+v, want %d points", i, len(decision.Nodes), decision.Nodes[7], want)
		}
	}
	allocated := testing.AllocsPerRun(100, func() { decide(all) })
	if d.takeSpare().rated == nil || allocated > 40 {
		t.Errorf("a decision allocates %v times", allocated)
	}
}

// Decisions are bounded: for a pod, in all, and the details first.
func TestDecisionsAreBounded(t *testing.T) {
	d := newDecisions()
	details := func() []rated { return make([]rated, 50) }
	for i := range 50 {
		d.keep("default/often", &record{attempt: i + 1, ratings: ratings{rated: details()}})
	}
	got := d.of("default/often")
	if len(got) != perPod || got[perPod-1].Attempt != 50 || got[0].Attempt != 50-perPod+1 {
		t.Errorf("of one pod: %d decisions", len(got))
	}
	for i := range 3 * inAll {
		d.keep(fmt.Sprint("default/", i), &record{ratings: ratings{rated: details()}})
	}
	if len(d.order) > inAll+inAll/10 || len(d.byPod) > len(d.order) || d.nodes > detailsAll+50 {
		t.Errorf("kept %d decisions of %d pods with %d details", len(d.order), len(d.byPod), d.nodes)
	}
	sum := 0
	for _, k := range d.order {
		sum += k.size()
	}
	if sum != d.nodes {
		t.Errorf("%d details are kept, %d are counted", sum, d.nodes)
	}
	if len(d.of("default/0")) != 0 || len(d.of(fmt.Sprint("default/", 3*inAll-1))[0].Nodes) != 50 {
		t.Error("the oldest is kept or the newest is not")
	}
}
