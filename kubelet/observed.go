package kubelet

import (
	"context"
	"fmt"
	"time"

	"kubette/kubelet/runtime"
)

// Observed is what the container runtime has of a pod at this moment: what the pod's status is made from, a moment later.
type Observed struct {
	Address    string              `json:"address,omitempty"` // of the sandbox
	Containers []ObservedContainer `json:"containers"`        // of each name the newest
}

// ObservedContainer is one container as the runtime has it.
type ObservedContainer struct {
	Name     string     `json:"name"`
	ID       string     `json:"id"`
	State    string     `json:"state"`
	Image    string     `json:"image"`
	Restarts uint32     `json:"restarts"`
	ExitCode *int       `json:"exitCode,omitempty"` // once it has ended
	Started  *time.Time `json:"started,omitempty"`
	Error    string     `json:"error,omitempty"`
}

// Observe asks the runtime for a pod of this node. (On a node one would ask with crictl.)
func (k *Kubelet) Observe(ctx context.Context, podUID string) (*Observed, error) {
	sandboxes, err := k.runtime.ListPodSandboxes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := k.runtime.ListContainers(ctx, podUID)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	seen := &Observed{Containers: []ObservedContainer{}}
	for _, sandbox := range sandboxes {
		if sandbox.UID == podUID && sandbox.Ready && sandbox.Address.IsValid() {
			seen.Address = sandbox.Address.String()
		}
	}
	newest := map[string]*runtime.Container{}
	var names []string
	for i := range containers {
		c := &containers[i]
		old := newest[c.Name]
		if old == nil {
			names = append(names, c.Name)
		}
		if old == nil || c.Attempt > old.Attempt {
			newest[c.Name] = c
		}
	}
	for _, name := range names {
		c := newest[name]
		one := ObservedContainer{Name: name, ID: c.ID, State: c.State, Image: c.Image, Restarts: c.Attempt, Error: c.Error}
		if !c.StartedAt.IsZero() {
			one.Started = &c.StartedAt
		}
		if !c.EndedAt.IsZero() {
			one.ExitCode = &c.ExitCode
		}
		seen.Containers = append(seen.Containers, one)
	}
	return seen, nil
}
