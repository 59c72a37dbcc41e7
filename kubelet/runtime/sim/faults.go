package sim

import (
	"fmt"

	"kubette/kubelet/runtime"
)

// Kill ends a container as `docker kill` from outside does: exit code 137.
func (r *Runtime) Kill(id string) error { return r.fault(id, 137, false) }

// OutOfMemory ends a container as the kernel does when it passes its memory limit.
func (r *Runtime) OutOfMemory(id string) error { return r.fault(id, 137, true) }

// Exit ends a container as if its program had returned a code.
func (r *Runtime) Exit(id string, code int) error { return r.fault(id, code, false) }

func (r *Runtime) fault(id string, code int, oom bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.running(id)
	if err != nil {
		return err
	}
	r.kill(c, code, oom)
	return nil
}

// Simulated says of a container that it is only a record: no program of it runs.
func (r *Runtime) Simulated(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	return ok && c.process == nil
}

// KillSandbox ends a pod's sandbox and all in it, as `docker rm -f` of the pause container does.
func (r *Runtime) KillSandbox(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sandboxes[id]
	if !ok {
		return fmt.Errorf("sandbox %s: %w", id, runtime.ErrNotFound)
	}
	r.stopSandbox(s)
	return nil
}

// PowerOff ends everything at once and makes every call fail, as when a machine loses its power. The records stay.
func (r *Runtime) PowerOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return
	}
	for _, s := range r.sandboxes {
		r.stopSandbox(s)
	}
	r.down = true
	for listener := range r.listeners {
		r.deafen(listener)
	}
}

// PowerOn makes the node answer again; nothing runs until the kubelet starts it.
func (r *Runtime) PowerOn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = false
}
