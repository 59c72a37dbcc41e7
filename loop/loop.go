package loop

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"kubette/store"
)

// Loop calls a reconcile function for the keys added to it: one call at a time for a key, failed keys again later with a
// growing delay.
type Loop[K comparable] struct {
	name      string
	reconcile Reconcile[K]
	options   Options
	queue     workqueue.TypedRateLimitingInterface[K]

	mu     sync.Mutex
	causes map[K]string // the newest cause for each waiting key
}

// Reconcile brings one key's actual state nearer to the desired one. It reads state, never an event. A positive Duration
// asks to be called for the key again after it; an error asks for it with back-off.
type Reconcile[K comparable] func(ctx context.Context, key K) (time.Duration, error)

// Options of a loop; the zero value has one worker, no gate, no trace, and backs off from 5 ms to 1000 s, which are the
// defaults of Kubernetes' controllers.
type Options struct {
	Workers int
	Machine *Machine // where the component can be paused and traced; nil for neither
	// MinBackoff and MaxBackoff bound the delay after an error, which doubles each time.
	MinBackoff, MaxBackoff time.Duration
}

// New makes a loop. Its name is the component's, for example "replicaset-controller".
func New[K comparable](name string, reconcile Reconcile[K], options Options) *Loop[K] {
	if options.Workers == 0 {
		options.Workers = 1
	}
	if options.MinBackoff == 0 {
		options.MinBackoff = 5 * time.Millisecond
	}
	if options.MaxBackoff == 0 {
		options.MaxBackoff = 1000 * time.Second
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](options.MinBackoff, options.MaxBackoff)
	queue := workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[K]{
		Name: name, Clock: clock.RealClock{},
	})
	options.Machine.Register(name, func() int { return queue.Len() })
	return &Loop[K]{name: name, reconcile: reconcile, options: options, queue: queue, causes: map[K]string{}}
}

// Add asks for a key to be reconciled. The cause says what changed ("pods/default/web-1 deleted"); it goes into the
// trace and, through the context, into the store with every write of that reconciliation.
func (l *Loop[K]) Add(key K, cause string) {
	l.note(key, cause)
	l.queue.Add(key)
}

// AddAfter asks for a key after a delay.
func (l *Loop[K]) AddAfter(key K, delay time.Duration, cause string) {
	l.note(key, cause)
	l.queue.AddAfter(key, delay)
}

func (l *Loop[K]) note(key K, cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.causes[key] = cause
}

// Run reconciles until the context ends, and returns when the last call has. In Kubernetes so many goroutines wait for keys;
// here one waits, and starts the others for keys, for there is a loop on each of many nodes.
func (l *Loop[K]) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	free := make(chan struct{}, l.options.Workers)
	for {
		free <- struct{}{}
		key, stopped := l.queue.Get()
		if stopped {
			return
		}
		calls.Go(func() {
			MakeRoom()
			l.call(ctx, key)
			<-free
		})
	}
}

// noteFirst gives a key a cause unless it has a newer one already.
func (l *Loop[K]) noteFirst(key K, cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.causes[key]; !ok {
		l.causes[key] = cause
	}
}

// call reconciles a key that was taken from the queue.
func (l *Loop[K]) call(ctx context.Context, key K) {
	defer l.queue.Done(key)
	if err := l.options.Machine.Gate(l.name).Wait(ctx); err != nil {
		return
	}
	l.mu.Lock()
	cause := l.causes[key]
	delete(l.causes, key)
	l.mu.Unlock()

	record := l.options.Machine.begin(l.name, fmt.Sprint(key), cause)
	again, err := l.reconcile(record.into(ctx), key)
	if apierrors.IsConflict(err) {
		// The copy that the write was made from was old. That is no failure: the next try has a fresher one.
		record.say("StaleCopy", "error", err.Error())
		record.end(0, nil)
		l.noteFirst(key, cause)
		l.queue.AddRateLimited(key)
		return
	}
	record.end(again, err)
	switch {
	case err != nil && ctx.Err() == nil:
		l.note(key, "retry of "+record.ID)
		l.queue.AddRateLimited(key)
	case again > 0:
		l.queue.Forget(key)
		l.note(key, "timer of "+record.ID)
		l.queue.AddAfter(key, again)
	default:
		l.queue.Forget(key)
	}
}

// Step runs a function as one traced step of a component that has a queue of its own, such as the scheduler: it waits at
// the gate, and records what the function notes.
func Step(ctx context.Context, machine *Machine, component, key, cause string, step func(ctx context.Context) error) error {
	if err := machine.Gate(component).Wait(ctx); err != nil {
		return err
	}
	record := machine.begin(component, key, cause)
	err := step(record.into(ctx))
	record.end(0, err)
	return err
}

func (r *Record) into(ctx context.Context) context.Context {
	return store.WithCause(context.WithValue(ctx, recordKey{}, r), r.ID)
}
