package scheduler

import (
	"container/heap"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubette/scheduler/framework"
)

// A pod that has waited for longest is tried again even though nothing seems to help it, in case an event was overlooked; it
// is looked for such pods every so often.
const (
	longest   = 5 * time.Minute
	lookEvery = 30 * time.Second
)

// Back-off after a failed attempt: it begins with the shorter and doubles up to the longer.
const (
	minBackoff = 1 * time.Second
	maxBackoff = 10 * time.Second
)

// window is how exactly the end of a back-off is told. All pods whose back-off ends within the same one are let out when it
// is over, so that the most important of them is first.
const window = time.Second

// queue holds the pods that have no node, each in one of five places: ready to be tried; backing off, which is the same a
// little later, and may be cut short unless the pod failed by an error; waiting for something to happen; or held by a gate.
type queue struct {
	gates  []framework.Gate
	wakers map[string]framework.Waker

	all     map[types.UID]*queued
	waiting map[types.UID]*queued
	ready   heapOf
	backing heapOf
	failed  heapOf
	counter int64
	look    time.Time // when to look next for pods that have waited for longest
}

type place int

const (
	nowhere place = iota // being tried, or gone
	ready
	backing
	failed
	waiting
	gated
)

// queued is a pod that has no node yet.
type queued struct {
	pod   *framework.Pod
	place place
	index int // in the heap of its place
	cause string

	attempts int
	failures int       // attempts in a row after which it had to wait, for the back-off
	errors   int       // attempts in a row that ended in an error
	since    time.Time // when it was queued, or last failed
	until    time.Time // end of its back-off: it lasts to the end of the window that begins then
	number   int64     // in the order in which pods came

	refusedBy  []string  // plugins; an event helps the pod if it helps with one of them
	preempting bool      // pods are being evicted for it: that it is in vain to try before
	lastVictim types.UID // the pod that is evicted last
	missed     bool      // it is gone already
}

func newQueue(gates []framework.Gate, wakers map[string]framework.Waker) *queue {
	q := &queue{gates: gates, wakers: wakers, all: map[types.UID]*queued{}, waiting: map[types.UID]*queued{}}
	// The most important pod is next; of equals, the one that waits longest.
	q.ready.less = func(a, b *queued) bool {
		switch {
		case a.pod.Priority != b.pod.Priority:
			return a.pod.Priority > b.pod.Priority
		case !a.since.Equal(b.since):
			return a.since.Before(b.since)
		}
		return a.number < b.number
	}
	q.backing.less = func(a, b *queued) bool {
		if !a.until.Equal(b.until) {
			return a.until.Before(b.until)
		}
		return q.ready.less(a, b)
	}
	q.failed.less = q.backing.less
	return q
}

// add queues a pod that is new.
func (q *queue) add(pod *framework.Pod, cause string) *queued {
	q.counter++
	p := &queued{pod: pod, since: time.Now(), number: q.counter}
	q.all[pod.UID] = p
	if q.held(p) {
		p.place = gated
		return p
	}
	q.put(p, cause)
	return p
}

// held says whether a gate keeps the pod out.
func (q *queue) held(p *queued) bool {
	for _, gate := range q.gates {
		if gate.PreEnqueue(p.pod) != nil {
			return true
		}
	}
	return false
}

// change takes over a newer version of a pod. One that waits is tried again if what was changed can help it.
func (q *queue) change(p *queued, pod *framework.Pod) {
	event := &framework.Event{Kind: framework.OwnUpdate, OldPod: p.pod, Pod: pod}
	p.pod = pod
	switch p.place {
	case gated:
		if !q.held(p) {
			p.place = nowhere
			q.put(p, "gates removed")
		}
	case waiting:
		if q.helps(event, p) {
			q.move(p, event.String())
		}
	default:
		if h := q.heap(p.place); h != nil { // its priority decides where it stands
			heap.Fix(h, p.index)
		}
	}
}

// heap returns the heap of a place, nil if it has none.
func (q *queue) heap(place place) *heapOf {
	switch place {
	case ready:
		return &q.ready
	case backing:
		return &q.backing
	case failed:
		return &q.failed
	}
	return nil
}

// remove forgets a pod.
func (q *queue) remove(uid types.UID) {
	if p, ok := q.all[uid]; ok {
		q.leave(p)
		delete(q.all, uid)
	}
}

// leave takes a pod from its place.
func (q *queue) leave(p *queued) {
	if h := q.heap(p.place); h != nil {
		heap.Remove(h, p.index)
	}
	delete(q.waiting, p.pod.UID)
	p.place = nowhere
}

// put makes a pod ready, or lets it back off first if its time is not yet over.
func (q *queue) put(p *queued, cause string) {
	switch {
	case !p.backsOff(time.Now()):
		q.enter(ready, p, cause)
	case p.errors > 0:
		q.enter(failed, p, cause)
	default:
		q.enter(backing, p, cause)
	}
}

// enter puts a pod into a place that has a heap.
func (q *queue) enter(place place, p *queued, cause string) {
	p.place, p.cause = place, cause
	heap.Push(q.heap(place), p)
}

// backsOff says that a pod's back-off is not over.
func (p *queued) backsOff(now time.Time) bool { return !p.until.Before(now.Truncate(window)) }

// backOff has a pod back off after so many failures.
func (p *queued) backOff(failures int) {
	p.since = time.Now()
	p.until = p.since.Add(backoff(failures)).Truncate(window)
}

// next returns the pod to try next without taking it; or, when there is none, when to ask again, 0 for no time known.
func (q *queue) next(now time.Time) (*queued, time.Duration) {
	p, wait := q.nextTried(now)
	if p != nil || len(q.waiting) == 0 {
		return p, wait
	}
	if left := q.look.Sub(now); wait == 0 || left < wait {
		wait = max(left, time.Nanosecond)
	}
	return nil, wait
}

// flush has pods tried again that have waited for too long.
func (q *queue) flush(now time.Time) {
	if now.Before(q.look) {
		return
	}
	q.look = now.Add(lookEvery)
	for _, p := range q.waiting {
		if now.Sub(p.since) > longest {
			q.move(p, "waited for long")
		}
	}
}

func (q *queue) nextTried(now time.Time) (*queued, time.Duration) {
	q.flush(now)
	for _, h := range []*heapOf{&q.backing, &q.failed} {
		for len(h.pods) > 0 && !h.pods[0].backsOff(now) {
			p := h.pods[0]
			q.leave(p)
			q.enter(ready, p, p.cause)
		}
	}
	switch {
	case len(q.ready.pods) > 0:
		return q.ready.pods[0], 0
	case len(q.backing.pods) > 0: // with nothing else to do there is no point in waiting
		return q.backing.pods[0], 0
	case len(q.failed.pods) > 0: // but what failed by an error is given time to pass
		return nil, q.failed.pods[0].until.Add(window).Sub(now)
	}
	return nil, 0
}

// take takes a pod out to be tried; false if it is no longer to be.
func (q *queue) take(p *queued) bool {
	if p.place != ready && p.place != backing {
		return false
	}
	q.leave(p)
	p.attempts++
	return true
}

// wait puts a pod back that no node can run, until an event helps with one of the plugins that refused it.
func (q *queue) wait(p *queued, refusedBy []string) {
	p.refusedBy, p.errors = refusedBy, 0
	p.failures++
	p.backOff(p.failures)
	p.place = waiting
	q.waiting[p.pod.UID] = p
}

// retry puts a pod back whose attempt ended in an error that has nothing to do with it.
func (q *queue) retry(p *queued, cause string) {
	p.errors++
	p.backOff(p.errors)
	q.all[p.pod.UID] = p
	q.put(p, cause)
}

func backoff(failures int) time.Duration {
	delay := minBackoff
	for range failures - 1 {
		if delay *= 2; delay >= maxBackoff {
			return maxBackoff
		}
	}
	return delay
}

// wake moves the pods that an event can help.
func (q *queue) wake(event *framework.Event) { q.wakeUpTo(math.MaxInt32, event) }

// wakeUpTo is wake for pods that are not more important than so much.
func (q *queue) wakeUpTo(priority int32, event *framework.Event) {
	for _, p := range q.waiting {
		if p.pod.Priority > priority || !q.helps(event, p) {
			continue
		}
		if p.preempting && event.Kind == framework.PodGone && event.Pod.UID == p.lastVictim {
			p.missed = true
		}
		q.move(p, event.String())
	}
}

func (q *queue) helps(event *framework.Event, p *queued) bool {
	for _, plugin := range p.refusedBy {
		if waker, ok := q.wakers[plugin]; !ok || waker.Helps(event, p.pod) {
			return true
		}
	}
	return len(p.refusedBy) == 0
}

// move has a waiting pod tried again. While pods are being evicted for it that is in vain: it waits until they are gone.
func (q *queue) move(p *queued, cause string) {
	if p.place != waiting || p.preempting {
		return
	}
	q.leave(p)
	q.put(p, cause)
}

// activate has a pod tried again at once.
func (q *queue) activate(p *queued, cause string) {
	if p.place == waiting || p.place == backing || p.place == failed {
		q.leave(p)
		q.enter(ready, p, cause)
	}
}

// depth is how many pods could be tried now.
func (q *queue) depth() int { return len(q.ready.pods) + len(q.backing.pods) + len(q.failed.pods) }

// heapOf is a heap of pods by an order of its own.
type heapOf struct {
	pods []*queued
	less func(a, b *queued) bool
}

func (h *heapOf) Len() int           { return len(h.pods) }
func (h *heapOf) Less(i, j int) bool { return h.less(h.pods[i], h.pods[j]) }
func (h *heapOf) Swap(i, j int) {
	h.pods[i], h.pods[j] = h.pods[j], h.pods[i]
	h.pods[i].index, h.pods[j].index = i, j
}

// Push implements heap.Interface.
func (h *heapOf) Push(x any) {
	p := x.(*queued)
	p.index = len(h.pods)
	h.pods = append(h.pods, p)
}

// Pop implements heap.Interface.
func (h *heapOf) Pop() any {
	last := len(h.pods) - 1
	p := h.pods[last]
	h.pods[last] = nil
	h.pods = h.pods[:last]
	return p
}
