package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// power is the node's switch.
type power struct {
	mu      sync.Mutex
	off     bool
	changed chan struct{} // closed and replaced at every change
	settle  chan struct{} // closed when a session has ended after a change
}

func (p *power) state() (on bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return !p.off, p.changed
}

// set turns the switch. It returns a channel that is closed once a running session has ended.
func (p *power) set(off bool) (settled <-chan struct{}, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off == off {
		return nil, false
	}
	p.off = off
	return p.endSession(), true
}

// blink makes a running session end and another begin: false while the node is off.
func (p *power) blink() (settled <-chan struct{}, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return nil, false
	}
	return p.endSession(), true
}

// endSession tells the running session to end; the lock is held.
func (p *power) endSession() (settled <-chan struct{}) {
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
	if p.settle == nil {
		p.settle = make(chan struct{})
	}
	return p.settle
}

func (p *power) settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settle != nil {
		close(p.settle)
		p.settle = nil
	}
}

// Powered says whether the node is on.
func (k *Kubelet) Powered() bool {
	on, _ := k.power.state()
	return on
}

// Restart ends the kubelet's process, as it were, and begins it anew while the node's containers go on running. It forgets
// all that it knew, and adopts what it finds. Run must be under way. It does nothing on a node that is off.
func (k *Kubelet) Restart(ctx context.Context) error {
	if _, err := k.current(); err != nil {
		return nil
	}
	settled, on := k.power.blink()
	if !on {
		return nil
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("restart the kubelet of node %s: %w", k.config.NodeName, ctx.Err())
	}
}

// Stop is a power cut: the kubelet falls silent at once and the node's containers are killed. The API is told nothing, as
// in a real one; it finds out by the missing heartbeats. Run must be under way. Stop of a node that is off does nothing.
func (k *Kubelet) Stop(ctx context.Context) error {
	settled, changed := k.power.set(true)
	if !changed {
		return nil
	}
	if _, err := k.current(); err == nil {
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("stop node %s: %w", k.config.NodeName, ctx.Err())
		}
	}
	if switched, ok := k.runtime.(powered); ok {
		switched.PowerOff()
		return nil
	}
	sandboxes, err := k.runtime.ListPodSandboxes(ctx)
	if err != nil {
		return fmt.Errorf("stop node %s: %w", k.config.NodeName, err)
	}
	var group sync.WaitGroup
	for _, sandbox := range sandboxes {
		group.Go(func() { k.cut(ctx, sandbox.ID, sandbox.UID) })
	}
	group.Wait()
	return nil
}

// cut kills what runs in one sandbox, and the sandbox.
func (k *Kubelet) cut(ctx context.Context, sandbox, podUID string) {
	containers, err := k.runtime.ListContainers(ctx, podUID)
	for i := 0; err == nil && i < len(containers); i++ {
		if containers[i].SandboxID == sandbox {
			err = k.runtime.StopContainer(ctx, containers[i].ID, 0)
		}
	}
	if err == nil {
		err = k.runtime.StopPodSandbox(ctx, sandbox)
	}
	if err != nil {
		slog.Warn("a container outlives its node's power cut", "node", k.config.NodeName, "sandbox", sandbox, "error", err)
	}
}

// Start switches the node on again: it comes back as after a reboot, removes what was replaced meanwhile and starts the
// pods that are still bound to it.
func (k *Kubelet) Start(context.Context) error {
	if switched, ok := k.runtime.(powered); ok {
		switched.PowerOn()
	}
	k.power.set(false)
	return nil
}

// Wipe removes what a node that is off has left in the runtime: its sandboxes, their containers and volumes. A node that
// is removed from its cluster has no use for them.
func (k *Kubelet) Wipe(ctx context.Context) error {
	if k.Powered() {
		return fmt.Errorf("node %s runs: stop it first", k.config.NodeName)
	}
	if switched, ok := k.runtime.(powered); ok {
		switched.PowerOn() // a runtime without power cannot remove anything
		defer switched.PowerOff()
	}
	sandboxes, err := k.runtime.ListPodSandboxes(ctx)
	if err != nil {
		return fmt.Errorf("remove the containers of node %s: %w", k.config.NodeName, err)
	}
	for _, sandbox := range sandboxes {
		err = errors.Join(err, k.runtime.RemovePodSandbox(ctx, sandbox.ID), k.runtime.RemoveVolumes(ctx, sandbox.UID))
	}
	return err
}

// Close ends what the runtime does for this node, once Run has returned.
func (k *Kubelet) Close() {
	if closer, ok := k.runtime.(interface{ Close() }); ok {
		closer.Close()
	}
}
