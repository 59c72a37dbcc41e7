package kubelet

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/loop"
	"kubette/store"
)

// operation is what a pod is busy with: it may take long, so it runs beside the loop. A pod has at most one.
type operation struct {
	name   string // sync or kill
	grace  int64  // of a kill
	cancel context.CancelFunc
	done   chan struct{}
}

// quick is how long a reconcile waits for its operation, so that what is over at once is reported at once.
const quick = 100 * time.Millisecond

// begin starts an operation and gives it a moment. At its end the pod is looked at again; what the operation found out is
// in the worker and in the runtime.
func (s *session) begin(ctx context.Context, w *worker, name string, grace int64, do func(ctx context.Context)) {
	// The operation outlives this reconcile, and goes on in its cause's name.
	ctx, cancel := context.WithCancel(client.WithCause(s.ctx, store.CauseFrom(ctx)))
	op := &operation{name: name, grace: grace, cancel: cancel, done: make(chan struct{})}
	w.mu.Lock()
	w.operation = op
	w.mu.Unlock()
	s.operations.Go(func() {
		defer cancel()
		loop.MakeRoom()
		do(ctx)
		w.mu.Lock()
		w.operation = nil
		w.mu.Unlock()
		s.loop.Add(w.key, name+" done")
		close(op.done)
	})
	timer := time.NewTimer(quick)
	defer timer.Stop()
	select {
	case <-op.done:
	case <-timer.C:
	}
}

// busy returns the operation under way, if any.
func (w *worker) busy() *operation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.operation
}

// cancelOperations ends what is under way, when the kubelet stops.
func (s *session) cancelOperations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if op := w.busy(); op != nil {
			op.cancel()
		}
	}
}

// sync takes the next steps of a pod that is to run, and says whether there were any, and when to look again.
func (s *session) sync(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation) (acted bool, again time.Duration) {
	again = deadlineLeft(pod)
	if w.busy() != nil {
		return false, again
	}
	if seen.up() {
		// What is mounted follows its maps and secrets, and tokens are renewed.
		if err := s.refreshVolumes(ctx, w, pod); err != nil {
			slog.Debug("a volume could not be brought up to date", "pod", w.key, "error", err)
			again = soonest(again, 10*time.Second)
		}
	}
	w.mu.Lock()
	p := s.plan(w, pod, seen, time.Now())
	renew := time.Until(w.renew)
	if w.renew.IsZero() {
		renew = 0
	} else {
		renew = max(renew, time.Second)
	}
	w.mu.Unlock()
	acted = !p.empty() || len(p.wait) > 0 // to refuse a resize is a step, too, and a back-off is a new waiting reason
	if len(p.resize) > 0 && !s.allot(w, pod) {
		p.resize = nil
	}
	again = soonest(soonest(again, p.again), renew)
	p.say(ctx)
	if p.empty() {
		return acted, again
	}
	s.begin(ctx, w, "sync", 0, func(ctx context.Context) { s.carryOut(ctx, w, pod, seen, p) })
	// What failed meanwhile has its own time to be tried again.
	if w.busy() == nil {
		again = soonest(again, s.nextTry(w))
	}
	return true, again
}

// say notes the plan in the trace.
func (p *plan) say(ctx context.Context) {
	if p.sandbox {
		loop.Say(ctx, "NeedsSandbox")
	}
	for _, v := range p.kill {
		loop.Say(ctx, "Kill", "container", v.container.Name, "why", v.message)
	}
	for _, l := range p.start {
		loop.Say(ctx, "Start", "container", l.spec.Name, "restarts", l.attempt)
	}
	for _, r := range p.resize {
		loop.Say(ctx, "Resize", "container", r.spec.Name)
	}
	for _, w := range p.wait {
		loop.Say(ctx, "Wait", "container", w.container, "why", w.why, "seconds", w.left.Seconds())
	}
}

// nextTry is the soonest time at which something that failed may be tried again.
func (s *session) nextTry(w *worker) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	again := soonest(w.mountRetry.remaining(now), w.boxRetry.remaining(now))
	for _, c := range w.containers {
		again = soonest(again, c.retryAt.Sub(now))
		if c.pull.delay > 0 {
			again = soonest(again, pullNoticeAfter)
		}
	}
	return again
}

// carryOut does what a plan says, in order: kill, sandbox, start. It stops where the next step needs this one.
func (s *session) carryOut(ctx context.Context, w *worker, pod *corev1.Pod, seen *observation, p *plan) {
	for _, v := range p.kill {
		if err := s.killContainer(ctx, w, pod, seen.sandbox, v); err != nil {
			slog.Warn("a container could not be stopped", "pod", w.key, "container", v.container.Name, "error", err)
			sleep(ctx, time.Second) // before the loop tries again
			return
		}
	}
	if p.reset {
		s.reset(ctx, w, pod, seen, p.source)
		return
	}
	sandbox := seen.sandbox
	if p.sandbox {
		made, ok := s.makeSandbox(ctx, w, pod, seen)
		if !ok {
			return
		}
		sandbox = made
	}
	for _, r := range p.resize {
		s.resize(ctx, w, pod, r)
	}
	for _, l := range p.start {
		if ctx.Err() != nil {
			return
		}
		s.startContainer(ctx, w, pod, sandbox, seen, l)
	}
}
