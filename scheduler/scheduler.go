package scheduler

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/loop"
	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// Config is what a scheduler is made from.
type Config struct {
	// Client acts as system:kube-scheduler.
	Client client.Interface
	// Informers are started after New and synced before Run.
	Informers *client.Informers
	// Events tells people where pods went, or why they did not; nil says nothing.
	Events *client.SeriesRecorder
	// Machine is where the scheduler can be paused, stepped pod by pod, and traced; nil for neither.
	Machine *loop.Machine
	// Name is what pods have in spec.schedulerName; empty means default-scheduler.
	Name string
	// Strategy says whether pods are spread over nodes or packed; empty means spread.
	Strategy plugins.Strategy
	// Random chooses between equally good nodes; nil for a new one.
	Random *rand.Rand
}

// bindings is how many pods may be on their way into the API at once.
const bindings = 32

// Scheduler places pods until its Run ends. Decisions may be called at any time, all else is one goroutine's.
type Scheduler struct {
	client    client.Interface
	events    *client.SeriesRecorder
	machine   *loop.Machine
	name      string
	random    *rand.Rand
	profile   profile
	decisions *decisions

	pods       client.Informer[*corev1.Pod]
	nodes      client.Informer[*corev1.Node]
	namespaces client.Informer[*corev1.Namespace]
	budgets    client.Informer[*policyv1.PodDisruptionBudget]

	inbox mailbox[func()] // notes from elsewhere, to be read by the scheduling goroutine
	slips mailbox[report] // what is to be written into pods' status

	cluster   *framework.Cluster
	queue     *queue
	placed    map[types.UID]*placement
	nominated map[types.UID]nomination
	expected  map[string]int // how many pods are nominated, by node
	sibling   *framework.Pod // the pod that came last: the next one is often of the same controller
	scratch   scratch
	start     int // where among the nodes the next search begins

	waiting atomic.Int64 // how many pods are in the queue, for others to read

	slots chan struct{}  // one for each binding under way
	work  sync.WaitGroup // goroutines that Run waits for
}

// placement is a pod on a node.
type placement struct {
	pod     *framework.Pod
	node    string
	assumed *trial             // while the API does not know yet
	cancel  context.CancelFunc // stops the binding; nil when there is none
	waits   *cancellable       // what it waits for before it is bound; nil when there is nothing
}

// New makes a scheduler.
func New(config Config) *Scheduler {
	s := &Scheduler{
		client:    config.Client,
		events:    config.Events,
		machine:   config.Machine,
		name:      config.Name,
		random:    config.Random,
		decisions: newDecisions(),
		inbox:     newMailbox[func()](),
		slips:     newMailbox[report](),
		cluster:   framework.NewCluster(),
		placed:    map[types.UID]*placement{},
		nominated: map[types.UID]nomination{},
		expected:  map[string]int{},
		slots:     make(chan struct{}, bindings),
	}
	if s.name == "" {
		s.name = corev1.DefaultSchedulerName
	}
	if s.random == nil {
		s.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	s.machine.Register(s.name, func() int { return int(s.waiting.Load()) })
	siblings := newSiblings(config.Informers)
	volumes := plugins.NewVolumes(config.Client, config.Informers)
	s.profile = defaultProfile(siblings.of, volumes, config.Strategy)
	s.queue = newQueue(s.profile.gates, s.profile.wakers())
	s.watch(config.Informers)
	return s
}

// Run places pods until the context ends, and returns when all that it started has ended.
func (s *Scheduler) Run(ctx context.Context) {
	s.work.Go(func() { s.writeReports(ctx) })
	s.recall()
	for ctx.Err() == nil {
		s.readInbox()
		s.waiting.Store(int64(s.queue.depth()))
		next, wait := s.queue.next(time.Now())
		if next == nil {
			s.idle(ctx, wait)
			continue
		}
		_ = loop.Step(ctx, s.machine, s.name, next.pod.Key(), next.cause, func(ctx context.Context) error {
			s.readInbox() // the gate may have been shut for long
			if !s.queue.take(next) {
				return nil // no longer there, or no longer to be scheduled
			}
			return s.schedule(ctx, next)
		})
	}
	s.work.Wait()
}

// idle waits for a note, or for a pod whose back-off ends after some time; 0 is none.
func (s *Scheduler) idle(ctx context.Context, wait time.Duration) {
	var alarm <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-s.inbox.filled:
	case <-alarm:
	case <-ctx.Done():
	}
}

func (s *Scheduler) readInbox() {
	for _, note := range s.inbox.take() {
		note()
	}
}

// Decisions returns what was decided about a pod, oldest first. Only so many decisions are kept, for one pod and for all.
func (s *Scheduler) Decisions(namespace, name string) []Decision {
	return s.decisions.of(namespace + "/" + name)
}
