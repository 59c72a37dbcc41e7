package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/loop"
	"kubette/scheduler/framework"
)

var podResource = client.ResourceOf[*corev1.Pod]()

// assume counts a pod as being on its node from now on, and sees to it that the API learns of it, while the next pods are
// placed.
func (s *Scheduler) assume(ctx context.Context, t *trial, node *framework.Node) {
	object := *t.cycle.Pod.Pod
	object.Spec.NodeName = node.Name
	pod := *t.cycle.Pod
	pod.Pod = &object

	binding, cancel := context.WithCancel(ctx)
	s.queue.remove(pod.UID)
	s.nominate(&pod, "")
	s.cluster.AddPod(&pod, node.Name)
	placed := &placement{pod: &pod, node: node.Name, assumed: t, cancel: cancel}
	s.placed[pod.UID] = placed
	t.record.node, t.record.outcome = node.Name, OutcomeAssigned

	var reservers []namedReserver
	for _, check := range t.checks {
		if reserver, ok := check.Check.(framework.Reserver); ok {
			if status := reserver.Reserve(node); status != nil {
				s.settle(&pod, t, fmt.Errorf("running Reserve plugin %q: %s", check.plugin, status.Message()))
				return
			}
			if reserver.PreBindPreFlight() {
				reservers = append(reservers, namedReserver{check.plugin, reserver})
			}
		}
	}
	name := node.Name
	if len(reservers) > 0 { // this may take long, so it does not hold one of the slots meanwhile
		placed.waits = &cancellable{cancel: cancel}
		s.work.Go(func() {
			s.announce(binding, &pod, name, t)
			err := prebind(binding, reservers)
			if err == nil && !placed.waits.finish() {
				err = errors.New("preempted by DefaultPreemption")
			}
			if err == nil && s.enter(binding) {
				err = s.bind(binding, &object, name)
				<-s.slots
			}
			s.inbox.post(func() { s.settle(&pod, t, err) })
		})
		return
	}
	if !s.enter(binding) {
		return // the scheduler stops
	}
	s.work.Go(func() {
		loop.MakeRoom()
		err := s.bind(binding, &object, name)
		<-s.slots
		s.inbox.post(func() { s.settle(&pod, t, err) })
	})
}

// announce says in a pod's status for which node it waits: a volume may have to be made there first, or the cluster to grow.
// The API takes it away when the pod is bound. In Kubernetes this is the feature NominatedNodeNameForExpectation (KEP-5278).
func (s *Scheduler) announce(ctx context.Context, pod *framework.Pod, node string, t *trial) {
	if err := s.write(ctx, report{pod: pod.Pod, nominate: &node, cause: t.record.trace}); err != nil && ctx.Err() == nil {
		slog.Warn("a pod's nominated node was not written", "pod", pod.Key(), "node", node, "error", err)
	}
}

// cancellable is a pod's wait for what was reserved for it. Either it is cancelled, or it is over and the pod will be bound.
type cancellable struct {
	mu              sync.Mutex
	over, cancelled bool
	cancel          context.CancelFunc
}

// finish ends the wait; false if it was cancelled.
func (c *cancellable) finish() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = !c.cancelled
	return c.over
}

// giveUp cancels the wait; false if it is over.
func (c *cancellable) giveUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.cancelled = true
	c.cancel()
	return true
}

// enter waits for a free slot; false when the context ended before.
func (s *Scheduler) enter(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

type namedReserver struct {
	plugin string
	framework.Reserver
}

// prebind waits until all is there that was reserved for a pod.
func prebind(ctx context.Context, reservers []namedReserver) error {
	for _, reserver := range reservers {
		if err := reserver.PreBind(ctx); err != nil {
			return fmt.Errorf("running PreBind plugin %q: %w", reserver.plugin, err)
		}
	}
	return nil
}

// bind writes the node into the pod. From then on the pod is its kubelet's.
func (s *Scheduler) bind(ctx context.Context, pod *corev1.Pod, node string) error {
	_, err := s.client.Create(ctx, podResource, pod.Namespace, pod.Name, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{}, "binding")
	if err != nil {
		return fmt.Errorf("running Bind plugin %q: %w", "DefaultBinder", err)
	}
	s.events.Event(pod, nil, corev1.EventTypeNormal, "Scheduled", "Binding", "Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, node)
	return nil
}

// settle takes note of how a binding ended.
func (s *Scheduler) settle(pod *framework.Pod, t *trial, err error) {
	p, ok := s.placed[pod.UID]
	if ok && p.assumed == t && p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
	if err == nil {
		return // the informer will say so, too, or has already
	}
	for _, check := range t.checks {
		if reserver, ok := check.Check.(framework.Reserver); ok {
			reserver.Unreserve()
		}
	}
	s.decisions.amend(t.record, func() { t.record.outcome, t.record.message = OutcomeError, err.Error() })
	if !ok || p.assumed != t {
		return // it is gone, or it was bound after all
	}
	s.cluster.RemovePod(pod.UID, p.node)
	delete(s.placed, pod.UID)
	s.wake(&framework.Event{Kind: framework.PodGone, Pod: p.pod})
	latest, there := s.pods.Get(pod.Namespace, pod.Name)
	if !there || latest.UID != pod.UID || latest.Spec.NodeName != "" {
		return
	}
	if !apierrors.IsNotFound(err) {
		slog.Warn("binding a pod failed", "pod", pod.Key(), "node", p.node, "error", err)
	}
	q := t.queued
	q.pod = framework.NewPod(latest)
	s.failed(q, t.record.trace, err)
}
