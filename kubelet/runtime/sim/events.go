package sim

import (
	"context"

	"kubette/kubelet/runtime"
)

// eventQueue bounds how many events wait for a kubelet; further ones are lost, and found by its next look at all.
const eventQueue = 256

// Events implements runtime.Runtime. The channel closes when the context ends or the node loses its power.
func (r *Runtime) Events(ctx context.Context) (<-chan runtime.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return nil, err
	}
	events := make(chan runtime.Event, eventQueue)
	r.listeners[events] = struct{}{}
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.deafen(events)
	})
	return events, nil
}

// emit tells every listener; the lock is held.
func (r *Runtime) emit(event runtime.Event) {
	for listener := range r.listeners {
		select {
		case listener <- event:
		default:
		}
	}
}

// deafen closes a listener's channel once; the lock is held.
func (r *Runtime) deafen(events chan runtime.Event) {
	if _, ok := r.listeners[events]; ok {
		delete(r.listeners, events)
		close(events)
	}
}
