package docker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// A list from the engine lacks what a kubelet needs most: exit codes, times, errors. They come from looking at each
// container, which is remembered until an event says that the container changed, so that a list of a hundred containers
// that do nothing is one call.
type records struct {
	mu      sync.Mutex
	live    bool // events arrive; without them nothing is remembered
	changes uint64
	changed map[string]uint64 // when a container last changed, in the count of changes
	known   map[string]container.InspectResponse
}

// inspect returns a container's details, remembered or fresh. They are shared and must not be changed.
func (e *Engine) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	e.records.mu.Lock()
	known, ok := e.records.known[id]
	before := e.records.changes
	e.records.mu.Unlock()
	if ok {
		return known, nil
	}
	details, err := within(ctx, callTimeout, func(ctx context.Context) (container.InspectResponse, error) {
		return e.api.ContainerInspect(ctx, id)
	})
	if err != nil {
		return details, fmt.Errorf("look at the container %s: %w", short(id), explain(ctx, err))
	}
	e.records.mu.Lock()
	defer e.records.mu.Unlock()
	if e.records.live && e.records.changed[id] <= before {
		e.records.known[id] = details
	}
	return details, nil
}

// forget makes the next inspect a fresh one.
func (e *Engine) forget(id string) {
	e.records.mu.Lock()
	defer e.records.mu.Unlock()
	e.records.changes++
	e.records.changed[id] = e.records.changes
	delete(e.records.known, id)
}

// forgetAll is for when events may have been lost; live says whether they arrive from now on.
func (e *Engine) forgetAll(live bool) {
	e.records.mu.Lock()
	defer e.records.mu.Unlock()
	e.records.changes++
	e.records.live, e.records.changed = live, map[string]uint64{}
	e.records.known = map[string]container.InspectResponse{}
}

// drop is forget for a container that is gone.
func (e *Engine) drop(id string) {
	e.records.mu.Lock()
	defer e.records.mu.Unlock()
	delete(e.records.known, id)
	delete(e.records.changed, id)
}

// list returns the containers with all these labels, ended ones too.
func (e *Engine) list(ctx context.Context, labels ...string) ([]container.Summary, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]container.Summary, error) {
		return e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: scope(labels...)})
	})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", explain(ctx, err))
	}
	return there, nil
}

// ListContainers implements runtime.Runtime.
func (n *Node) ListContainers(ctx context.Context, podUID string) ([]runtime.Container, error) {
	labels := n.mine(roleContainer)
	if podUID != "" {
		labels = append(labels, labelUID+"="+podUID)
	}
	there, err := n.engine.list(ctx, labels...)
	if err != nil {
		return nil, err
	}
	containers := make([]runtime.Container, 0, len(there))
	for _, summary := range there {
		details, err := n.engine.inspect(ctx, summary.ID)
		if err == nil && details.State.Status != summary.State {
			n.engine.forget(summary.ID) // an event is on its way, or was lost
			details, err = n.engine.inspect(ctx, summary.ID)
		}
		if isGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		containers = append(containers, describe(summary, details))
	}
	return containers, nil
}

// describe puts a container into the runtime's words.
func describe(summary container.Summary, details container.InspectResponse) runtime.Container {
	labels, state := summary.Labels, details.State
	described := runtime.Container{
		ID: summary.ID, SandboxID: labels[labelSandbox],
		PodNamespace: labels[labelNamespace], PodName: labels[labelPod], PodUID: labels[labelUID],
		Name: labels[labelContainer], Attempt: attemptOf(labels), Image: labels[labelImage], ImageID: details.Image,
		CreatedAt: moment(details.Created), StartedAt: moment(state.StartedAt), EndedAt: moment(state.FinishedAt),
		ExitCode: state.ExitCode, OOMKilled: state.OOMKilled, Error: state.Error,
		Paused: state.Paused,
	}
	switch {
	case state.Running || state.Paused || state.Restarting:
		described.State = runtime.Running
		described.EndedAt = time.Time{}
	case state.Status == container.StateCreated && state.Error == "" && state.ExitCode == 0:
		described.State = runtime.Created
	default: // one that could not be started counts as ended, with the engine's code for it
		described.State = runtime.Exited
		if described.EndedAt.IsZero() {
			described.EndedAt = described.CreatedAt
		}
	}
	return described
}

// moment reads the engine's times, whose zero is the year 1.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
