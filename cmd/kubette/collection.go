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
	// burstHeap, in bytes, is what the heap may grow to in a burst all the same, somewhat less than 5,000 pods take.
	burstHeap = 128 << 20
	// burstPace, in bytes a second: who allocates more is in a burst. A cluster at rest allocates a tenth of it.
	burstPace = 32 << 20
	// burstEnd is how long after its last collection a burst is over.
	burstEnd = 2 * time.Second
)

// pacer sets, after each collection, how far the heap may grow until the next.
type pacer struct {
	mu      sync.Mutex
	percent int
	last    time.Time // of the latest collection
	before  uint64    // what had been allocated by then
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
		p.collected(time.Now(), readHeap())
		p.watch()
	}, p)
}

func (p *pacer) collected(now time.Time, h heap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pace := float64(h.allocated-p.before) / now.Sub(p.last).Seconds()
	p.last, p.before = now, h.allocated
	if pace < burstPace {
		p.set(heapGrowth)
		return
	}
	p.set(h.burstPercent())
	p.over.Reset(burstEnd)
}

func (p *pacer) set(percent int) {
	if percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// heap is what there was at the latest collection, in bytes: what was alive, what was gone through beside it, and all that
// had ever been allocated.
type heap struct{ live, roots, allocated uint64 }

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return heap{
		live: samples[0].Value.Uint64(), roots: samples[1].Value.Uint64() + samples[2].Value.Uint64(), allocated: samples[3].Value.Uint64(),
	}
}

// burstPercent is by how many percent the heap may grow to reach burstHeap. Go counts the roots in when it takes the share.
func (h heap) burstPercent() int {
	if h.live >= burstHeap {
		return heapGrowth
	}
	return max(heapGrowth, int((burstHeap-h.live)*100/max(h.live+h.roots, 1)))
}
