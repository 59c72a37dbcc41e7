package loop

import (
	"context"
	"sync"
)

// Gate stands before each step of a component. It is open by default; a nil gate is always open.
type Gate struct {
	mu     sync.Mutex
	paused bool
	steps  int           // steps granted while paused
	change chan struct{} // closed and replaced at every change
}

// Wait returns when a step may be taken, or the context's error.
func (g *Gate) Wait(ctx context.Context) error {
	if g == nil {
		return ctx.Err()
	}
	for {
		g.mu.Lock()
		if !g.paused {
			g.mu.Unlock()
			return ctx.Err()
		}
		if g.steps > 0 {
			g.steps--
			g.mu.Unlock()
			return ctx.Err()
		}
		if g.change == nil {
			g.change = make(chan struct{})
		}
		change := g.change
		g.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Pause holds the component before its next step.
func (g *Gate) Pause() { g.set(func() { g.paused, g.steps = true, 0 }) }

// Resume opens the gate.
func (g *Gate) Resume() { g.set(func() { g.paused, g.steps = false, 0 }) }

// Step lets a paused component take n steps; it is a no-op for one that runs.
func (g *Gate) Step(n int) {
	g.set(func() {
		if g.paused {
			g.steps += n
		}
	})
}

// Paused says whether the gate is shut.
func (g *Gate) Paused() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused
}

func (g *Gate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	if g.change != nil {
		close(g.change)
		g.change = nil
	}
}
