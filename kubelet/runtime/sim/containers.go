package sim

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"kubette/kubelet/runtime"
)

// container is one container. Its fields are guarded by the runtime's lock; the log and the files have their own.
type container struct {
	state   runtime.Container
	config  *runtime.ContainerConfig
	sandbox *sandbox
	process *process      // nil for a container that is only a record
	log     *log          // nil until something is written or asked for
	files   *files        // nil until somebody looks
	used    usage         // up to the last look
	ended   chan struct{} // closed at the end; nil until somebody waits
}

// CreateContainer implements runtime.Runtime.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, config *runtime.ContainerConfig) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return "", err
	}
	s, ok := r.sandboxes[sandboxID]
	if !ok || !s.ready {
		return "", fmt.Errorf("sandbox %s is not running: %w", sandboxID, runtime.ErrNotFound)
	}
	for _, m := range config.Mounts {
		if m.Volume != "" && r.volumes[volumeKey{config.PodUID, m.Volume}] == nil {
			return "", fmt.Errorf("volume %q of pod %s: %w", m.Volume, config.PodName, runtime.ErrNotFound)
		}
	}
	c := &container{config: config, sandbox: s, state: runtime.Container{
		ID: newID(), SandboxID: s.id, PodNamespace: config.PodNamespace, PodName: config.PodName, PodUID: config.PodUID,
		Name: config.Name, Attempt: config.Attempt, Image: config.Image, ImageID: config.ImageID,
		State: runtime.Created, CreatedAt: time.Now(),
	}}
	r.containers[c.state.ID] = c
	r.pods[config.PodUID] = append(r.pods[config.PodUID], c)
	return c.state.ID, nil
}

// StartContainer implements runtime.Runtime. A command that is not there leaves the container Exited with code 128, as
// containerd does.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.find(id)
	if err != nil {
		return err
	}
	if c.state.State != runtime.Created {
		return fmt.Errorf("container %s is %s, it cannot be started", id, c.state.State)
	}
	program, args, err := r.programOf(c.config)
	if err != nil {
		c.state.State, c.state.ExitCode, c.state.Error = runtime.Exited, 128, err.Error()
		c.state.EndedAt = time.Now()
		return err
	}
	c.state.State, c.state.StartedAt = runtime.Running, time.Now()
	r.emit(runtime.Event{PodUID: c.state.PodUID, ContainerID: id, Kind: "started"})
	if program != nil {
		r.launch(c, program, args)
	} else {
		r.planEnd(c)
	}
	return nil
}

// Annotations of a pod that let its simulated containers end by themselves.
const (
	RunFor   = "sim.kubette/run-for"   // a duration, 30s
	ExitCode = "sim.kubette/exit-code" // 0 when absent
)

// planEnd makes a container that is only a record end when the pod's annotations say so; the lock is held.
func (r *Runtime) planEnd(c *container) {
	annotations := c.sandbox.config.Annotations
	life, err := time.ParseDuration(annotations[RunFor])
	if err != nil {
		return
	}
	code, _ := strconv.Atoi(annotations[ExitCode])
	time.AfterFunc(life, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kill(c, code, false)
	})
}

// StopContainer implements runtime.Runtime. A program sees its context end; what is only a record ends by itself.
func (r *Runtime) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	r.mu.Lock()
	if err := r.upLocked(); err != nil {
		r.mu.Unlock()
		return err
	}
	c, ok := r.containers[id]
	if !ok || c.state.State != runtime.Running {
		r.mu.Unlock()
		return nil
	}
	if grace <= 0 {
		r.kill(c, 137, false)
	} else if c.process != nil {
		c.process.cancel()
	} else if r.config.StopTime == 0 {
		r.finish(c, 0, false)
	}
	ended, record := c.wait(), c.process == nil
	r.mu.Unlock()

	timer := time.NewTimer(grace)
	defer timer.Stop()
	var byItself <-chan time.Time
	if record && r.config.StopTime > 0 {
		own := time.NewTimer(r.config.StopTime)
		defer own.Stop()
		byItself = own.C
	}
	code := 137
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-byItself:
		code = 0
	case <-timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill(c, code, false)
	return nil
}

// RemoveContainer implements runtime.Runtime.
func (r *Runtime) RemoveContainer(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return err
	}
	if c, ok := r.containers[id]; ok {
		r.kill(c, 137, false)
		r.forget(c)
	}
	return nil
}

// ListContainers implements runtime.Runtime.
func (r *Runtime) ListContainers(_ context.Context, podUID string) ([]runtime.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return nil, err
	}
	if podUID != "" {
		list := make([]runtime.Container, 0, len(r.pods[podUID]))
		for _, c := range r.pods[podUID] {
			list = append(list, c.state)
		}
		return list, nil
	}
	list := make([]runtime.Container, 0, len(r.containers))
	for _, containers := range r.pods {
		for _, c := range containers {
			list = append(list, c.state)
		}
	}
	return list, nil
}

// UpdateContainerResources implements runtime.Runtime.
func (r *Runtime) UpdateContainerResources(_ context.Context, id string, resources runtime.Resources) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.find(id)
	if err != nil {
		return err
	}
	changed := *c.config
	changed.Resources = resources
	c.config = &changed
	return nil
}

// find returns a container of a node that is up; the lock is held.
func (r *Runtime) find(id string) (*container, error) {
	if err := r.upLocked(); err != nil {
		return nil, err
	}
	c, ok := r.containers[id]
	if !ok {
		return nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	return c, nil
}

// running returns a container that runs; the lock is held.
func (r *Runtime) running(id string) (*container, error) {
	c, err := r.find(id)
	if err != nil {
		return nil, err
	}
	if c.state.State != runtime.Running {
		return nil, fmt.Errorf("container %s is not running", id)
	}
	return c, nil
}

// kill ends a running container at once: its program's context and connections end with it. The lock is held.
func (r *Runtime) kill(c *container, code int, oom bool) {
	if c.state.State != runtime.Running {
		return
	}
	r.finish(c, code, oom)
	if c.process != nil {
		c.process.cancel()
		c.process.closeSockets()
	}
}

// finish records the end of a container; the lock is held.
func (r *Runtime) finish(c *container, code int, oom bool) {
	c.state.State, c.state.EndedAt, c.state.ExitCode, c.state.OOMKilled = runtime.Exited, time.Now(), code, oom
	close(c.wait())
	if c.log != nil {
		c.log.close()
	}
	r.emit(runtime.Event{PodUID: c.state.PodUID, ContainerID: c.state.ID, Kind: "died"})
}

// wait returns the channel that is closed at the container's end; the lock is held.
func (c *container) wait() chan struct{} {
	if c.ended == nil {
		c.ended = make(chan struct{})
	}
	return c.ended
}

// output returns the container's log; the lock is held.
func (c *container) output() *log {
	if c.log == nil {
		c.log = newLog()
		if c.state.State == runtime.Exited {
			c.log.close()
		}
	}
	return c.log
}

// forget drops a container's record; the lock is held.
func (r *Runtime) forget(c *container) {
	delete(r.containers, c.state.ID)
	kept := r.pods[c.state.PodUID][:0:0]
	for _, other := range r.pods[c.state.PodUID] {
		if other != c {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(r.pods, c.state.PodUID)
	} else {
		r.pods[c.state.PodUID] = kept
	}
	r.emit(runtime.Event{PodUID: c.state.PodUID, ContainerID: c.state.ID, Kind: "removed"})
}
