package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/cluster"
)

// follower prints what happens to pods and deployments, and knows how they are.
type follower struct {
	story       *story
	mu          sync.Mutex
	deployments map[string]*appsv1.Deployment
	pods        map[string]*corev1.Pod
	said        map[string]string
	changed     chan struct{} // closed and replaced at every change
}

// follow begins to follow the default namespace; stop ends it.
func (s *story) follow(ctx context.Context, c *cluster.Cluster) (f *follower, stop func()) {
	f = &follower{story: s, deployments: map[string]*appsv1.Deployment{}, pods: map[string]*corev1.Pod{},
		said: map[string]string{}, changed: make(chan struct{})}
	informers := client.NewInformers(c.AdminClient(), nil)
	client.InformerFor[*appsv1.Deployment](informers).Handle(client.Handler[*appsv1.Deployment]{
		Add: f.deployment, Update: func(_, d *appsv1.Deployment) { f.deployment(d) },
	})
	client.InformerFor[*corev1.Pod](informers).Handle(client.Handler[*corev1.Pod]{
		Add: f.pod, Update: func(_, p *corev1.Pod) { f.pod(p) }, Delete: f.podGone,
	})
	client.InformerFor[*corev1.Event](informers).Handle(client.Handler[*corev1.Event]{Add: f.event})
	watching, cancel := context.WithCancel(ctx)
	informers.Start(watching)
	return f, func() {
		cancel()
		informers.Wait()
	}
}

func (f *follower) deployment(d *appsv1.Deployment) {
	f.update(func() { f.deployments[d.Name] = d })
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	colour := ""
	if d.Status.AvailableReplicas == wanted {
		colour = green
	}
	f.tell("deployment/"+d.Name, fmt.Sprintf("wanted %d, there %d, ready %d", wanted, d.Status.Replicas, d.Status.ReadyReplicas), colour)
}

func (f *follower) pod(p *corev1.Pod) {
	f.update(func() { f.pods[p.Name] = p })
	state, colour := podState(p)
	f.tell("pod/"+p.Name, state, colour)
}

func (f *follower) podGone(p *corev1.Pod) {
	f.update(func() { delete(f.pods, p.Name) })
	f.tell("pod/"+p.Name, "gone", "")
}

// standInReason is the kubelet's event when one of kubette's own images runs in place of the one asked for.
const standInReason = "StandInImage"

// event prints what went wrong, and when an image was replaced by a stand-in.
func (f *follower) event(e *corev1.Event) {
	if e.Type == corev1.EventTypeWarning || e.Reason == standInReason {
		f.tell(strings.ToLower(e.InvolvedObject.Kind)+"/"+e.InvolvedObject.Name, e.Message, faint)
	}
}

func (f *follower) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// tell prints a state once.
func (f *follower) tell(object, state, colour string) {
	f.mu.Lock()
	repeated := f.said[object] == state
	f.said[object] = state
	f.mu.Unlock()
	if !repeated {
		f.story.moment(object, state, colour)
	}
}

// podState is a pod in a few words.
func podState(p *corev1.Pod) (state, colour string) {
	switch {
	case p.DeletionTimestamp != nil:
		return "Terminating", ""
	case p.Spec.NodeName == "":
		return "Pending: no node yet", ""
	}
	where := " on " + p.Spec.NodeName
	for _, c := range p.Status.ContainerStatuses {
		restarts := ""
		if c.RestartCount > 0 {
			restarts = fmt.Sprintf(", restarted %d times", c.RestartCount)
			if c.RestartCount == 1 {
				restarts = ", restarted once"
			}
		}
		switch {
		case c.State.Waiting != nil:
			return c.State.Waiting.Reason + where + restarts, ""
		case c.State.Terminated != nil:
			return fmt.Sprintf("%s, exit code %d%s", c.State.Terminated.Reason, c.State.Terminated.ExitCode, where), red
		case c.State.Running != nil && c.Ready:
			return "Running and ready" + where + restarts, green
		case c.State.Running != nil:
			return "Running, not ready yet" + where + restarts, ""
		}
	}
	return "Scheduled" + where, ""
}

// patience bounds how long the demo waits for a step.
const patience = 2 * time.Minute

// until returns when a condition holds.
func (f *follower) until(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		f.mu.Lock()
		done, changed := holds(), f.changed
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, ctx.Err())
		}
	}
}

// available holds when the deployments have all the pods that they want.
func (f *follower) available(names ...string) func() bool {
	return func() bool {
		for _, name := range names {
			d := f.deployments[name]
			if d == nil || d.Status.ObservedGeneration < d.Generation || d.Spec.Replicas == nil || d.Status.AvailableReplicas < *d.Spec.Replicas {
				return false
			}
		}
		return true
	}
}

// running returns the pod of an application, if it is ready.
func (f *follower) running(app string) *corev1.Pod {
	for _, p := range f.pods {
		if p.Labels["app"] == app && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].Ready && p.DeletionTimestamp == nil {
			return p
		}
	}
	return nil
}

// crash kills the back end's container, and waits until it is back.
func (s *story) crash(ctx context.Context, c *cluster.Cluster, f *follower) error {
	f.mu.Lock()
	pod := f.running("backend")
	f.mu.Unlock()
	if pod == nil {
		return fmt.Errorf("no ready pod of the back end to crash")
	}
	before := pod.Status.ContainerStatuses[0].RestartCount
	s.moment("container backend", "killed from outside (SIGKILL)", red)
	killed := time.Now()
	if err := c.KillContainer(ctx, pod.Namespace, pod.Name, "backend"); err != nil {
		return err
	}
	err := f.until(ctx, "the container was running again", func() bool {
		now := f.pods[pod.Name]
		return now != nil && len(now.Status.ContainerStatuses) == 1 && now.Status.ContainerStatuses[0].RestartCount > before &&
			now.Status.ContainerStatuses[0].Ready
	})
	if err != nil {
		return err
	}
	s.line("back after %.2f s: the kubelet of %s saw it end and started it again", time.Since(killed).Seconds(), pod.Spec.NodeName)
	return f.until(ctx, "the deployment was available again", f.available("backend"))
}
