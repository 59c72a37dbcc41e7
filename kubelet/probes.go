package kubelet

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// prober runs the probes of all containers of a node. One goroutine knows which probe is due next; each probe that is due
// runs in a goroutine of its own, so that a slow one holds up no other, and a quiet node has none. Kubernetes' kubelet
// keeps a goroutine per probe.
type prober struct {
	session *session
	wake    chan struct{}
	group   sync.WaitGroup

	mu     sync.Mutex
	byPod  map[*worker][]*probe
	queue  probeQueue
	closed bool
}

// probe is one probe of one container, with its counts.
type probe struct {
	kind    probeKind
	spec    *corev1.Probe
	w       *worker
	pod     *corev1.Pod
	sandbox *runtime.Sandbox
	about   *corev1.Container
	id      string // the container

	due     time.Time
	index   int // in the queue, -1 when it is not there
	running bool
	stopped bool
	held    bool // it has given its verdict; the container is on its way out or, for a startup probe, has started
	last    bool
	run     int32 // how often the last result came in a row
}

type probeKind string

const (
	startup   probeKind = "Startup"
	liveness  probeKind = "Liveness"
	readiness probeKind = "Readiness"
)

func newProber(s *session) *prober {
	return &prober{session: s, wake: make(chan struct{}, 1), byPod: map[*worker][]*probe{}}
}

// update makes the probes of a pod fit its running containers.
func (p *prober) update(w *worker, pod *corev1.Pod, seen *observation) {
	w.mu.Lock()
	sandbox := w.sandbox
	w.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.byPod[w]
	var kept []*probe
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			spec := &list[i]
			latest := seen.latest(spec.Name)
			if latest == nil || latest.State != runtime.Running || isInit(pod, spec.Name) && !isSidecar(spec) {
				continue
			}
			for _, each := range []probe{{kind: startup, spec: spec.StartupProbe}, {kind: readiness, spec: spec.ReadinessProbe}, {kind: liveness, spec: spec.LivenessProbe}} {
				if each.spec == nil {
					continue
				}
				if have := find(old, each.kind, latest.ID); have != nil {
					have.pod = pod
					kept = append(kept, have)
					continue
				}
				fresh := each
				fresh.w, fresh.pod, fresh.sandbox, fresh.about, fresh.id, fresh.index = w, pod, sandbox, spec, latest.ID, -1
				fresh.due = latest.StartedAt.Add(firstAfter(each.kind, each.spec))
				if now := time.Now(); fresh.due.Before(now) {
					fresh.due = now
				}
				kept = append(kept, &fresh)
				heap.Push(&p.queue, &fresh)
			}
		}
	}
	for _, each := range old {
		if find(kept, each.kind, each.id) == nil {
			p.drop(each)
		}
	}
	if len(kept) == 0 {
		delete(p.byPod, w)
	} else {
		p.byPod[w] = kept
	}
	p.poke()
}

// settleTime is how long a container has before its first probe when no initial delay is given.
const settleTime = 200 * time.Millisecond

// firstAfter is when a probe first runs after its container's start. Kubernetes asks about readiness as soon as it sees the
// container run, and about liveness at the next tick of a period that began about then.
func firstAfter(kind probeKind, spec *corev1.Probe) time.Duration {
	delay := max(time.Duration(spec.InitialDelaySeconds)*time.Second, settleTime)
	if kind == liveness {
		delay = max(delay, time.Duration(max(spec.PeriodSeconds, 1))*time.Second)
	}
	return delay
}

func find(probes []*probe, kind probeKind, id string) *probe {
	for _, each := range probes {
		if each.kind == kind && each.id == id {
			return each
		}
	}
	return nil
}

// ending keeps only the readiness probes of a pod that is being deleted: nothing of it will be restarted.
func (p *prober) ending(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.byPod[w][:0:0]
	for _, each := range p.byPod[w] {
		if each.kind == readiness {
			kept = append(kept, each)
		} else {
			p.drop(each)
		}
	}
	if len(kept) > 0 {
		p.byPod[w] = kept
	} else {
		delete(p.byPod, w)
	}
}

// stop ends the probes of a pod.
func (p *prober) stop(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range p.byPod[w] {
		p.drop(each)
	}
	delete(p.byPod, w)
}

func (p *prober) drop(each *probe) {
	each.stopped = true
	if each.index >= 0 {
		heap.Remove(&p.queue, each.index)
	}
}

func (p *prober) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run starts each probe when it is due, until the context ends; then it waits for those under way.
func (p *prober) run(ctx context.Context) {
	defer p.group.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.startDue(ctx))
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			return
		}
	}
}

// startDue starts what is due and returns how long nothing will be.
func (p *prober) startDue(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		next := p.queue[0]
		if wait := time.Until(next.due); wait > 0 {
			return wait
		}
		heap.Pop(&p.queue)
		if next.held {
			continue
		}
		next.running = true
		p.group.Go(func() { p.try(ctx, next) })
	}
	return time.Hour
}

// try runs a probe once and plans its next run, a period after this one was due.
func (p *prober) try(ctx context.Context, each *probe) {
	if each.kind == startup || each.startedUp() {
		ok, text := p.session.probeOnce(ctx, each)
		if ctx.Err() != nil {
			return
		}
		p.judge(each, ok, text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	each.running = false
	if each.stopped || each.held {
		return
	}
	period := time.Duration(max(each.spec.PeriodSeconds, 1)) * time.Second
	each.due = each.due.Add(period)
	if now := time.Now(); each.due.Before(now) {
		each.due = now // it took longer than its period
	}
	heap.Push(&p.queue, each)
	p.poke()
}

// startedUp says whether the container's startup probe, if it has one, has succeeded.
func (each *probe) startedUp() bool {
	if each.about.StartupProbe == nil {
		return true
	}
	each.w.mu.Lock()
	defer each.w.mu.Unlock()
	return each.w.current(each.about.Name, each.id).started
}

// judge counts a result, and when it has come often enough in a row, acts on it.
func (p *prober) judge(each *probe, ok bool, text string) {
	w, name := each.w, each.about.Name
	p.mu.Lock()
	pod := each.pod
	if !ok {
		p.session.event(pod, name, corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", each.kind, text)
	}
	if each.run > 0 && each.last == ok {
		each.run++
	} else {
		each.last, each.run = ok, 1
	}
	threshold := max(each.spec.FailureThreshold, 1)
	if ok {
		threshold = max(each.spec.SuccessThreshold, 1)
	}
	enough := each.run >= threshold && !each.stopped
	if enough && (!ok && each.kind != readiness || ok && each.kind == startup) {
		each.held = true
	}
	p.mu.Unlock()
	if !enough {
		return
	}
	w.mu.Lock()
	c := w.known(name)
	if c == nil || c.id != each.id {
		w.mu.Unlock()
		return
	}
	changed := false
	switch {
	case each.kind == readiness:
		changed, c.ready = c.ready != ok, ok
	case !ok && pod.DeletionTimestamp == nil:
		c.unhealthy = &unhealthy{text: fmt.Sprintf("%s probe", lower(each.kind)), grace: each.spec.TerminationGracePeriodSeconds}
		changed = true
	case each.kind == startup:
		changed, c.started = !c.started, true
	}
	w.mu.Unlock()
	if !changed {
		return
	}
	if each.kind == startup && ok {
		p.hurry(each)
	}
	p.session.loop.Add(w.key, fmt.Sprintf("%s probe of container %s: %s", lower(each.kind), name, outcome(ok)))
}

// hurry lets the other probes of a container begin as soon as it has started.
func (p *prober) hurry(started *probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, each := range p.byPod[started.w] {
		if each.id == started.id && each.index >= 0 && each.due.After(now) && each.run == 0 {
			each.due = now
			heap.Fix(&p.queue, each.index)
		}
	}
	p.poke()
}

func lower(kind probeKind) string {
	switch kind {
	case startup:
		return "startup"
	case liveness:
		return "liveness"
	}
	return "readiness"
}

func outcome(ok bool) string {
	if ok {
		return "succeeded"
	}
	return "failed"
}

// probeQueue is a heap by due time.
type probeQueue []*probe

func (q probeQueue) Len() int           { return len(q) }
func (q probeQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q probeQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *probeQueue) Push(x any) {
	each := x.(*probe)
	each.index = len(*q)
	*q = append(*q, each)
}
func (q *probeQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.index = -1
	return last
}
