package main

import (
	"runtime/debug"
	"testing"
	"time"
)

// In a burst the heap may grow to what it takes after one, however little is alive; at rest, and when more is alive, by half.
func TestPaceOfTheCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	p := &pacer{percent: heapGrowth, over: time.NewTimer(time.Hour)}
	now, allocated := time.Now(), uint64(0)
	for _, step := range []struct {
		what      string
		live      uint64
		allocates uint64 // since the step before
		in        time.Duration
		goal      uint64 // that the heap may reach
	}{
		{"at rest", 10 << 20, 5 << 20, 5 * time.Second, 17 << 20},
		{"a burst begins", 20 << 20, 10 << 20, 100 * time.Millisecond, 128 << 20},
		{"it goes on", 60 << 20, 100 << 20, 400 * time.Millisecond, 128 << 20},
		{"much is alive", 110 << 20, 60 << 20, 400 * time.Millisecond, 167 << 20},
		{"more than the limit", 200 << 20, 60 << 20, 400 * time.Millisecond, 302 << 20},
		{"at rest again", 60 << 20, 20 << 20, 10 * time.Second, 92 << 20},
	} {
		const roots = 4 << 20
		now, allocated = now.Add(step.in), allocated+step.allocates
		p.collected(now, heap{live: step.live, roots: roots, allocated: allocated})
		goal := step.live + (step.live+roots)*uint64(p.percent)/100
		if goal > step.goal || goal < step.goal-step.goal/50 {
			t.Errorf("%s: the heap may grow by %d %% to %d MB, want %d MB", step.what, p.percent, goal>>20, step.goal>>20)
		}
	}
}
