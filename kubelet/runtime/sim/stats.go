package sim

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"kubette/kubelet/runtime"
)

// Annotations of a pod that say what each of its simulated containers uses. They count from the moment on at which they
// are set, so that a load can be made to come and go.
const (
	UseCPU    = "sim.kubette/cpu"    // a quantity, 250m
	UseMemory = "sim.kubette/memory" // a quantity, 64Mi
)

// usage is what a container has used up to a moment.
type usage struct {
	at  time.Time
	cpu uint64 // nanoseconds
}

// Stats implements runtime.Runtime, with the annotations that the pod had at its start.
func (r *Runtime) Stats(_ context.Context, id string) (runtime.Stats, error) {
	return r.SimulatedStats(id, nil)
}

// SimulatedStats returns what a container uses when its pod has these annotations; nil takes those of its start. The cpu
// grows by what the annotations say since the last call.
func (r *Runtime) SimulatedStats(id string, annotations map[string]string) (runtime.Stats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.running(id)
	if err != nil {
		return runtime.Stats{}, err
	}
	if annotations == nil {
		annotations = c.sandbox.config.Annotations
	}
	milli, memory := int64(1), int64(4<<20)
	if c.process != nil {
		milli, memory = 2, 12<<20
	}
	if c.files != nil {
		memory += c.files.root.size()
	}
	if asked, err := resource.ParseQuantity(annotations[UseCPU]); err == nil {
		milli = max(0, asked.MilliValue())
	}
	if asked, err := resource.ParseQuantity(annotations[UseMemory]); err == nil {
		memory = max(0, asked.Value())
	}
	now := time.Now()
	if c.used.at.IsZero() {
		c.used.at = c.state.StartedAt
	}
	c.used.cpu += uint64(now.Sub(c.used.at)) / 1000 * uint64(milli)
	c.used.at = now
	return runtime.Stats{Time: now, CPUNanos: c.used.cpu, MemoryBytes: uint64(memory)}, nil
}
