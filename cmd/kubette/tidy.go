package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// lookEvery is how often tidy looks whether the process has come to rest.
	lookEvery = 2 * time.Second
	// restful is how many bytes a cluster at rest allocates in that time at most.
	restful = 8 << 20
	// worthwhile is how much the heap must have grown, in bytes, for tidying to be worth a collection.
	worthwhile = 32 << 20
)

// tidy gives memory back to the system when work is over, until the context ends. A burst (thousands of pods made at once)
// leaves garbage, which Go collects when as much again has been allocated; in a cluster at rest that takes minutes. So
// when the heap has grown and little happens any more, it is collected now, and its free pages, and those of the
// executable, are given back.
func tidy(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	before := readUse()
	tidied := before.held
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := readUse()
		rests := now.allocated-before.allocated < restful
		if before = now; !rests || now.held < tidied+max(worthwhile, tidied/4) {
			continue
		}
		debug.FreeOSMemory()
		shrink()
		before = readUse()
		tidied = before.held
	}
}

// use is what the heap holds of the system's memory, and what was ever allocated in it, in bytes.
type use struct{ held, allocated uint64 }

func readUse() use {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	return use{
		held:      samples[0].Value.Uint64() + samples[1].Value.Uint64() + samples[2].Value.Uint64(),
		allocated: samples[3].Value.Uint64(),
	}
}
