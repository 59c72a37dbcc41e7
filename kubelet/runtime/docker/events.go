package docker

import (
	"context"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"

	"kubette/kubelet/runtime"
)

// fanout hands the engine's events, which come in one stream for the whole cluster, to the nodes.
type fanout struct {
	mu          sync.Mutex
	subscribers map[*subscriber]bool
	live        bool
	opened      chan struct{} // closed when the stream is open for the first time
}

type subscriber struct {
	node   string
	events chan runtime.Event
}

// kinds are the engine's events that a kubelet hears of, in the runtime's words.
var kinds = map[events.Action]string{
	events.ActionCreate: "created", events.ActionStart: "started", events.ActionDie: "died", events.ActionDestroy: "removed",
	events.ActionOOM: "oom", events.ActionPause: "paused", events.ActionUnPause: "unpaused", events.ActionUpdate: "updated",
}

// startEvents keeps the stream open for as long as the engine is used.
func (e *Engine) startEvents() {
	e.events.subscribers, e.events.opened = map[*subscriber]bool{}, make(chan struct{})
	e.forgetAll(false)
	e.start(func(ctx context.Context) {
		wait := 100 * time.Millisecond
		for ctx.Err() == nil {
			began := time.Now()
			err := e.follow(ctx)
			e.forgetAll(false)
			e.events.closeAll()
			if time.Since(began) > 10*time.Second {
				wait = 100 * time.Millisecond
			}
			if ctx.Err() == nil {
				e.log.Warn("the engine's events stopped; asking again", "error", err, "in", wait)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, 5*time.Second)
		}
	})
}

// follow reads events until the stream breaks.
func (e *Engine) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filter := scope(labelCluster + "=" + e.config.Name)
	filter.Add("type", string(events.ContainerEventType))
	// It returns when the engine has begun to answer, so what happens from now on is in the stream.
	messages, errs := e.api.Events(ctx, events.ListOptions{Filters: filter})
	select {
	case err := <-errs:
		return err
	default:
	}
	e.forgetAll(true)
	e.events.open()
	for {
		select {
		case message := <-messages:
			e.deliver(message)
		case err := <-errs:
			return err
		}
	}
}

func (e *Engine) deliver(message events.Message) {
	kind, ok := kinds[message.Action]
	if !ok {
		return
	}
	if message.Action == events.ActionDestroy {
		e.drop(message.Actor.ID)
	} else {
		e.forget(message.Actor.ID)
	}
	labels := message.Actor.Attributes
	if role := labels[labelRole]; role != roleContainer && role != roleSandbox {
		return
	}
	e.events.send(labels[labelNode], runtime.Event{PodUID: labels[labelUID], ContainerID: message.Actor.ID, Kind: kind})
}

func (f *fanout) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = true
	select {
	case <-f.opened:
	default:
		close(f.opened)
	}
}

// send never waits: a node that does not keep up loses its channel, and lists again.
func (f *fanout) send(node string, event runtime.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subscribers {
		if s.node != node {
			continue
		}
		select {
		case s.events <- event:
		default:
			f.end(s)
		}
	}
}

func (f *fanout) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = false
	for s := range f.subscribers {
		f.end(s)
	}
}

func (f *fanout) end(s *subscriber) {
	if f.subscribers[s] {
		delete(f.subscribers, s)
		close(s.events)
	}
}

// Events implements runtime.Runtime.
func (n *Node) Events(ctx context.Context) (<-chan runtime.Event, error) {
	f := &n.engine.events
	s := &subscriber{node: n.config.Name, events: make(chan runtime.Event, 1024)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.live {
		return nil, runtime.ErrUnavailable
	}
	f.subscribers[s] = true
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.end(s)
	})
	return s.events, nil
}
