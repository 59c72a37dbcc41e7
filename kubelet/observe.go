package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/kubelet/runtime"
)

// observation is what the runtime says about one pod.
type observation struct {
	sandbox    *runtime.Sandbox // the newest, nil when there is none
	containers map[string][]runtime.Container
	any        bool // something of the pod exists in the runtime
}

// latest returns the newest container of a name, nil when there never was one.
func (o *observation) latest(name string) *runtime.Container {
	if list := o.containers[name]; len(list) > 0 {
		return &list[0]
	}
	return nil
}

// previous returns the one before the newest.
func (o *observation) previous(name string) *runtime.Container {
	if list := o.containers[name]; len(list) > 1 {
		return &list[1]
	}
	return nil
}

// running says whether any container of the pod runs.
func (o *observation) running() bool {
	for _, list := range o.containers {
		for i := range list {
			if list[i].State == runtime.Running {
				return true
			}
		}
	}
	return false
}

// up says whether the sandbox is there and runs.
func (o *observation) up() bool { return o.sandbox != nil && o.sandbox.Ready }

// observe asks the runtime about a pod.
func (s *session) observe(ctx context.Context, w *worker, _ *corev1.Pod) (*observation, error) {
	w.mu.Lock()
	stale := w.stale
	w.stale = false
	w.mu.Unlock()
	if stale {
		if err := s.refreshSandbox(ctx, w); err != nil {
			w.mu.Lock()
			w.stale = true
			w.mu.Unlock()
			return nil, err
		}
	}
	containers, err := s.runtime.ListContainers(ctx, string(w.key.uid))
	if err != nil {
		return nil, err
	}
	seen := &observation{any: len(containers) > 0}
	if len(containers) > 0 {
		seen.containers = make(map[string][]runtime.Container, len(containers))
	}
	for _, c := range containers {
		seen.containers[c.Name] = append(seen.containers[c.Name], c)
	}
	for _, list := range seen.containers {
		sort.SliceStable(list, func(i, j int) bool {
			if list[i].Attempt != list[j].Attempt {
				return list[i].Attempt > list[j].Attempt
			}
			return list[i].CreatedAt.After(list[j].CreatedAt)
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sandbox != nil {
		copied := *w.sandbox
		seen.sandbox, seen.any = &copied, true
	}
	for name, list := range seen.containers {
		w.current(name, list[0].ID)
	}
	return seen, nil
}

// refreshSandbox finds the pod's newest sandbox. It runs beside the pod's operation: one that was made while the runtime
// was asked about its predecessor stays.
func (s *session) refreshSandbox(ctx context.Context, w *worker) error {
	w.mu.Lock()
	known := w.sandbox
	w.mu.Unlock()
	var found *runtime.Sandbox
	if getter, ok := s.runtime.(sandboxGetter); ok && known != nil {
		sandbox, err := getter.PodSandbox(ctx, known.ID)
		if err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return err
		}
		if err == nil {
			found = &sandbox
		}
	} else {
		list, err := s.runtime.ListPodSandboxes(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].UID == string(w.key.uid) && (found == nil || list[i].Attempt >= found.Attempt) {
				found = &list[i]
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sandbox == known {
		w.sandbox = found
	}
	return nil
}

// relistPeriod is how often everything is looked at in case an event was lost.
const relistPeriod = 10 * time.Second

// adopt takes over what the runtime holds from before: sandboxes are remembered, and every pod that has something is
// looked at, also those that the API no longer knows.
func (s *session) adopt(ctx context.Context) {
	sandboxes, containers, err := s.listAll(ctx)
	for err != nil && ctx.Err() == nil {
		slog.Warn("the container runtime does not answer, trying again", "node", s.config.NodeName, "error", err)
		s.node.runtimeFailed(err)
		if !sleep(ctx, 2*time.Second) {
			return
		}
		sandboxes, containers, err = s.listAll(ctx)
	}
	s.node.runtimeFailed(nil)
	for i := range sandboxes {
		sandbox := sandboxes[i]
		w := s.worker(key{sandbox.Namespace, sandbox.Name, types.UID(sandbox.UID)})
		w.mu.Lock()
		if w.sandbox == nil || w.sandbox.Attempt <= sandbox.Attempt {
			w.sandbox = &sandbox
		}
		w.mu.Unlock()
		s.loop.Add(w.key, "found in the runtime")
	}
	for _, pod := range s.pods.List("", nil) {
		if w := s.worker(keyOf(pod)); w.taken() {
			s.holds(w, pod)
		}
	}
	for i := range containers {
		c := containers[i]
		s.loop.Add(key{c.PodNamespace, c.PodName, types.UID(c.PodUID)}, "found in the runtime")
	}
}

func (s *session) listAll(ctx context.Context) ([]runtime.Sandbox, []runtime.Container, error) {
	sandboxes, err := s.runtime.ListPodSandboxes(ctx)
	if err != nil {
		return nil, nil, err
	}
	containers, err := s.runtime.ListContainers(ctx, "")
	return sandboxes, containers, err
}

// watchRuntime asks for a pod when something of it changes in the runtime: by events, and by a look at everything now and
// then, which is the safety net and finds out whether the runtime still answers.
func (s *session) watchRuntime(ctx context.Context) {
	ticker := time.NewTicker(relistPeriod)
	defer ticker.Stop()
	seen := map[types.UID]string{}
	events, err := s.runtime.Events(ctx)
	for {
		select {
		case event, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			s.runtimeEvent(event)
			continue
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if seen, err = s.relist(ctx, seen); err == nil && events == nil {
			events, err = s.runtime.Events(ctx)
		}
		s.node.runtimeFailed(err)
	}
}

// runtimeEvent asks for the pod of an event; the event itself is not believed.
func (s *session) runtimeEvent(event runtime.Event) {
	s.mu.Lock()
	w := s.workers[types.UID(event.PodUID)]
	s.mu.Unlock()
	if w == nil {
		return
	}
	w.mu.Lock()
	w.stale = w.stale || w.sandbox != nil && event.Kind != "started"
	busy := w.operation != nil && event.Kind == "started"
	w.mu.Unlock()
	if !busy { // the operation that started it asks for the pod at its end
		s.loop.Add(w.key, "container "+event.Kind)
	}
}

// relist compares a short description of every pod in the runtime with the last one.
func (s *session) relist(ctx context.Context, before map[types.UID]string) (map[types.UID]string, error) {
	sandboxes, containers, err := s.listAll(ctx)
	if err != nil {
		if ctx.Err() == nil {
			slog.Warn("the container runtime does not answer", "node", s.config.NodeName, "error", err)
		}
		return before, err
	}
	after := make(map[types.UID]string, len(sandboxes))
	keys := make(map[types.UID]key, len(sandboxes))
	for _, sandbox := range sandboxes {
		uid := types.UID(sandbox.UID)
		after[uid] += fmt.Sprintf("%s %t;", sandbox.ID, sandbox.Ready)
		keys[uid] = key{sandbox.Namespace, sandbox.Name, uid}
	}
	sort.Slice(containers, func(i, j int) bool { return containers[i].ID < containers[j].ID })
	for _, c := range containers {
		uid := types.UID(c.PodUID)
		after[uid] += c.ID + " " + c.State + ";"
		keys[uid] = key{c.PodNamespace, c.PodName, uid}
	}
	for uid, text := range after {
		if before[uid] != text {
			s.changed(keys[uid])
		}
	}
	for uid := range before {
		if _, ok := after[uid]; !ok {
			s.mu.Lock()
			w := s.workers[uid]
			s.mu.Unlock()
			if w != nil {
				s.changed(w.key)
			}
		}
	}
	return after, nil
}

func (s *session) changed(key key) {
	w := s.worker(key)
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
	s.loop.Add(key, "relist")
}

// sleep waits, and returns false when the context ends before.
func sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
