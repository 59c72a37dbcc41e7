package sim

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"time"

	"kubette/kubelet/runtime"
)

// sandbox is a pod's surroundings: an address and a name. Its fields are guarded by the runtime's lock.
type sandbox struct {
	id      string
	config  *runtime.SandboxConfig
	address netip.Addr
	ready   bool
	created time.Time
}

// RunPodSandbox implements runtime.Runtime.
func (r *Runtime) RunPodSandbox(_ context.Context, config *runtime.SandboxConfig) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return "", err
	}
	address, err := r.takeAddress()
	if err != nil {
		return "", err
	}
	s := &sandbox{id: newID(), config: config, address: address, ready: true, created: time.Now()}
	r.sandboxes[s.id] = s
	r.config.Network.Attach(address)
	return s.id, nil
}

// takeAddress finds the next free address of the node's range. The first two of it (network, gateway) and the last are
// left out.
func (r *Runtime) takeAddress() (netip.Addr, error) {
	prefix := r.config.Prefix.Masked()
	first := prefix.Addr().Next().Next()
	candidate := r.last
	for range 1 << 16 {
		candidate = candidate.Next()
		if !prefix.Contains(candidate) || !prefix.Contains(candidate.Next()) || candidate.Less(first) {
			if candidate == first {
				break
			}
			candidate = first
		}
		if !r.addresses[candidate] {
			r.addresses[candidate] = true
			r.last = candidate
			return candidate, nil
		}
		if candidate == r.last {
			break
		}
	}
	return netip.Addr{}, fmt.Errorf("no pod address is left in %s", prefix)
}

// StopPodSandbox implements runtime.Runtime.
func (r *Runtime) StopPodSandbox(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return err
	}
	if s, ok := r.sandboxes[id]; ok {
		r.stopSandbox(s)
	}
	return nil
}

func (r *Runtime) stopSandbox(s *sandbox) {
	for _, c := range r.pods[s.config.UID] {
		if c.sandbox == s {
			r.kill(c, 137, false)
		}
	}
	if s.ready {
		s.ready = false
		r.config.Network.detach(s.address)
		delete(r.addresses, s.address)
		r.emit(runtime.Event{PodUID: s.config.UID, ContainerID: s.id, Kind: "died"})
	}
}

// RemovePodSandbox implements runtime.Runtime.
func (r *Runtime) RemovePodSandbox(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return err
	}
	s, ok := r.sandboxes[id]
	if !ok {
		return nil
	}
	r.stopSandbox(s)
	delete(r.sandboxes, id)
	others := false
	for _, c := range append([]*container(nil), r.pods[s.config.UID]...) {
		if c.sandbox == s {
			r.forget(c)
		}
	}
	for _, other := range r.sandboxes {
		others = others || other.config.UID == s.config.UID
	}
	if !others {
		r.removeVolumes(s.config.UID)
	}
	return nil
}

// ListPodSandboxes implements runtime.Runtime.
func (r *Runtime) ListPodSandboxes(context.Context) ([]runtime.Sandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return nil, err
	}
	list := make([]runtime.Sandbox, 0, len(r.sandboxes))
	for _, s := range r.sandboxes {
		list = append(list, s.view())
	}
	sort.Slice(list, func(i, j int) bool {
		if !list[i].CreatedAt.Equal(list[j].CreatedAt) {
			return list[i].CreatedAt.Before(list[j].CreatedAt)
		}
		return list[i].ID < list[j].ID
	})
	return list, nil
}

// PodSandbox returns one sandbox, or ErrNotFound: what a kubelet asks when it knows which.
func (r *Runtime) PodSandbox(_ context.Context, id string) (runtime.Sandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return runtime.Sandbox{}, err
	}
	s, ok := r.sandboxes[id]
	if !ok {
		return runtime.Sandbox{}, fmt.Errorf("sandbox %s: %w", id, runtime.ErrNotFound)
	}
	return s.view(), nil
}

func (s *sandbox) view() runtime.Sandbox {
	return runtime.Sandbox{
		ID: s.id, Namespace: s.config.Namespace, Name: s.config.Name, UID: s.config.UID, Attempt: s.config.Attempt,
		Address: s.address, Ready: s.ready, CreatedAt: s.created,
	}
}
