package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Go collects what nobody needs any more when the heap has grown by a share of what is alive in it (GOGC, a hundred percent).
// Two things are wrong with a share here. The whole of what is alive is too much at the end of a burst of pods: a cluster shares
// a laptop with what its user works on, so half of it must do. And it is too little at its beginning: with few pods alive
// there is next to nothing to fill, and the collector, which goes through all that is alive each time, never rests.

const (
	// heapGrowth is by how many percent the heap grows before it is collected.
	heapGrowth = 50
	// burstHeap, in bytes, is what the heap may grow to in a burst all the same: about what it takes after 5,000 pods.
	burstHeap = 144 << 20
	// burstPace: when the heap is collected more often than this, there is a burst.
	burstPace = 250 * time.Millisecond
	// burstEnd is how long after its last collection a burst is over.
	burstEnd = 2 * time.Second
)

// pacer sets, after each collection, how far the heap may grow until the next.
type pacer struct {
	mu      sync.Mutex
	last    time.Time // of the latest collection
	percent int
	over    *time.Timer
}

// pace keeps the collector at the pace that the heap's use asks for, as long as the program runs.
func pace() {
	p := &pacer{percent: heapGrowth}
	debug.SetGCPercent(heapGrowth)
	p.over = time.AfterFunc(burstEnd, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.set(heapGrowth)
	})
	p.watch()
}

// watch is called after the next collection: that finds an object which nobody needs.
func (p *pacer) watch() {
	runtime.AddCleanup(new([16]byte), func(p *pacer) {
		p.collected(time.Now())
		p.watch()
	}, p)
}

func (p *pacer) collected(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := now.Sub(p.last)
	p.last = now
	if since > burstPace {
		p.set(heapGrowth)
		return
	}
	p.set(percentFor(scanned()))
	p.over.Reset(burstEnd)
}

func (p *pacer) set(percent int) {
	if percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor is by how many percent the heap may grow to reach burstHeap. Go counts the stacks and the globals
// among what is alive when it takes the share.
func percentFor(live, roots uint64) int {
	if live >= burstHeap {
		return heapGrowth
	}
	return max(heapGrowth, int((burstHeap-live)*100/max(live+roots, 1)))
}

// scanned is how much was alive in the heap at the latest collection, and how much there is beside it that was gone through.
func scanned() (live, roots uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64()
}
