package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/loop"
	"kubette/scheduler/framework"
)

// Messages that are no plugin's.
const (
	noNodes = "no nodes available to schedule pods"
	// notFound is what kube-scheduler's plugin for resource claims says when a pod was refused before any node was looked
	// at. kubette has no such claims, but the same words.
	notFound = "not found"
)

// trial is one attempt to place one pod.
type trial struct {
	queued *queued
	cycle  *framework.Cycle
	checks []namedCheck
	only   []string // the only nodes in question; nil for all
	onlyBy []string // the plugins that said so

	verdicts []verdict // of the nodes that were looked at; until the next cycle only
	record   *record
}

type namedCheck struct {
	plugin string
	framework.Check
}

// verdict is whether a node can run the pod: status is nil if so.
type verdict struct {
	node   *framework.Node
	plugin string // that refused
	status *framework.Status
}

// unfit is the error of a pod that no node can run.
type unfit struct {
	message   string
	refusedBy []string
	earlier   bool // refused before any node was looked at
}

func (e *unfit) Error() string { return e.message }

// schedule tries to place a pod: the choice in two rounds, then the binding, or else the search for pods to evict.
func (s *Scheduler) schedule(ctx context.Context, q *queued) error {
	if q.pod.Terminating() {
		s.queue.remove(q.pod.UID)
		s.events.Event(q.pod.Pod, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", "skip schedule deleting pod: %s", q.pod.Key())
		return nil
	}
	t := &trial{queued: q, cycle: &framework.Cycle{Pod: q.pod, Cluster: s.cluster}}
	t.record = &record{attempt: q.attempts, began: time.Now(), trace: traceID(ctx)}
	node, err := s.choose(t)
	t.record.took = time.Since(t.record.began)
	t.record.note(t, len(s.cluster.Nodes()))

	var none *unfit
	switch {
	case err == nil:
		loop.Say(ctx, "NodeChosen", "node", node.Name, "feasible", t.feasible(), "nodes", len(s.cluster.Nodes()))
		s.assume(ctx, t, node)
		s.decisions.keep(q.pod.Key(), t.record)
		return nil
	case errors.As(err, &none):
		s.refused(ctx, t, none)
		return nil
	}
	loop.Say(ctx, "SchedulingFailed")
	s.failed(q, t.record.trace, err)
	t.record.outcome, t.record.message = OutcomeError, err.Error()
	s.decisions.keep(q.pod.Key(), t.record)
	return err
}

// choose finds the best node. It returns *unfit when there is none.
func (s *Scheduler) choose(t *trial) (*framework.Node, error) {
	if len(s.cluster.Nodes()) == 0 {
		return nil, &unfit{message: noNodes, earlier: true}
	}
	if err := s.prepare(t); err != nil {
		return nil, err
	}
	nodes, err := s.filter(t)
	switch {
	case err != nil:
		return nil, err
	case len(nodes) == 0:
		return nil, t.explain(len(s.cluster.Nodes()))
	case len(nodes) == 1:
		return nodes[0], nil // nothing to compare
	}
	return s.best(t, nodes), nil
}

// prepare has every filter look at the pod.
func (s *Scheduler) prepare(t *trial) error {
	for _, filter := range s.profile.filters {
		check, status := filter.PreFilter(t.cycle)
		if status != nil {
			if status.Code == framework.Error {
				return fmt.Errorf("running PreFilter plugin %q: %s", filter.Name(), status.Message())
			}
			t.record.refusal = &verdict{plugin: filter.Name(), status: status}
			return &unfit{
				message:   fmt.Sprintf("0/%d nodes are available: %s.", len(s.cluster.Nodes()), status.Message()),
				refusedBy: []string{filter.Name()}, earlier: true,
			}
		}
		if check == nil {
			continue
		}
		t.checks = append(t.checks, namedCheck{filter.Name(), check})
		if narrower, ok := check.(framework.Narrower); ok {
			if names, ok := narrower.OnlyNodes(); ok {
				t.only, t.onlyBy = names, append(t.onlyBy, filter.Name())
			}
		}
	}
	return nil
}

// filter returns the nodes that can run the pod, as many as are worth comparing.
func (s *Scheduler) filter(t *trial) ([]*framework.Node, error) {
	all := s.cluster.Nodes()
	if name := s.nominated[t.cycle.Pod.UID].node; name != "" {
		// Pods were evicted from this node for the pod, so it is likely to be the one.
		if node, ok := s.cluster.Node(name); ok {
			if plugin, status := s.check(t, node); status == nil {
				t.verdicts = append(t.verdicts, verdict{node, plugin, nil})
				return []*framework.Node{node}, nil
			}
		}
	}
	nodes := all
	if t.only != nil {
		nodes = nil
		for _, name := range t.only {
			if node, ok := s.cluster.Node(name); ok {
				nodes = append(nodes, node)
			}
		}
	}
	enough := worthComparing(len(nodes))
	found := slices.Grow(s.scratch.found[:0], enough)
	t.verdicts = slices.Grow(s.scratch.verdicts[:0], len(nodes))
	defer func() { s.scratch.found, s.scratch.verdicts = found, t.verdicts }()
	for i := 0; i < len(nodes) && len(found) < enough; i++ {
		node := nodes[(s.start+i)%len(nodes)]
		plugin, status := s.check(t, node)
		if status != nil && status.Code == framework.Error {
			return nil, fmt.Errorf("running %q filter plugin: %s", plugin, status.Message())
		}
		t.verdicts = append(t.verdicts, verdict{node, plugin, status})
		if status == nil {
			found = append(found, node)
		}
	}
	// The next search goes on from here, so that every node gets its turn.
	s.start = (s.start + len(t.verdicts)) % len(all)
	return found, nil
}

// worthComparing is how many nodes that can run a pod are found before the search ends: all of up to a hundred, then
// fewer and fewer of a hundred.
func worthComparing(nodes int) int {
	if nodes < 100 {
		return nodes
	}
	percent := max(50-nodes/125, 5)
	return max(nodes*percent/100, 100)
}

// check asks every filter about a node. Room is kept for pods for which others are being evicted there, if they are as
// important: the pod must fit both with them, who may yet go elsewhere, and without.
func (s *Scheduler) check(t *trial, node *framework.Node) (string, *framework.Status) {
	if len(s.expected) == 0 {
		return ask(t.checks, node)
	}
	if coming := s.comingTo(node.Name, t.cycle.Pod); len(coming) > 0 {
		imagined, checks := node.Clone(), cloneChecks(t.checks)
		for _, pod := range coming {
			imagine(pod, imagined, checks)
		}
		if plugin, status := ask(checks, imagined); status != nil {
			return plugin, status
		}
	}
	return ask(t.checks, node)
}

func ask(checks []namedCheck, node *framework.Node) (string, *framework.Status) {
	for i := range checks {
		if status := checks[i].Check.Check(node); status != nil {
			return checks[i].plugin, status
		}
	}
	return "", nil
}

func cloneChecks(checks []namedCheck) []namedCheck {
	copied := slices.Clone(checks)
	for i, check := range copied {
		if simulator, ok := check.Check.(framework.Simulator); ok {
			copied[i].Check = simulator.Clone()
		}
	}
	return copied
}

// imagine puts a pod on a node that is a clone, and tells cloned checks of it.
func imagine(pod *framework.Pod, node *framework.Node, checks []namedCheck) {
	node.Add(pod)
	for _, check := range checks {
		if simulator, ok := check.Check.(framework.Simulator); ok {
			simulator.Add(pod, node)
		}
	}
}

// imagineGone takes one away.
func imagineGone(pod *framework.Pod, node *framework.Node, checks []namedCheck) {
	node.Remove(pod.UID)
	for _, check := range checks {
		if simulator, ok := check.Check.(framework.Simulator); ok {
			simulator.Remove(pod, node)
		}
	}
}

// explain says why no node can run the pod, in kube-scheduler's words: each reason with how many nodes have it.
func (t *trial) explain(all int) *unfit {
	reasons := map[string]int{}
	e := &unfit{}
	for _, v := range t.verdicts {
		for _, reason := range v.status.Reasons {
			reasons[reason]++
		}
		if !slices.Contains(e.refusedBy, v.plugin) {
			e.refusedBy = append(e.refusedBy, v.plugin)
		}
	}
	if t.only != nil {
		if others := all - len(t.verdicts); others > 0 {
			reasons[fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", t.onlyBy)] += others
		}
		for _, plugin := range t.onlyBy {
			if !slices.Contains(e.refusedBy, plugin) {
				e.refusedBy = append(e.refusedBy, plugin)
			}
		}
	}
	e.message = histogram(all, reasons)
	return e
}

// histogram words how many nodes have which reason.
func histogram(all int, reasons map[string]int) string {
	counted := make([]string, 0, len(reasons))
	for reason, count := range reasons {
		counted = append(counted, fmt.Sprintf("%d %s", count, reason))
	}
	sort.Strings(counted)
	message := fmt.Sprintf("0/%d nodes are available:", all)
	if len(counted) > 0 {
		message += " " + strings.Join(counted, ", ") + "."
	}
	return message
}

func (t *trial) feasible() int {
	n := 0
	for _, v := range t.verdicts {
		if v.status == nil {
			n++
		}
	}
	return n
}

// refused deals with a pod that no node can run: it looks for pods to evict for it, says why it was refused, and lets it
// wait for events that can help.
func (s *Scheduler) refused(ctx context.Context, t *trial, none *unfit) {
	q, message := t.queued, none.message
	var nominate *string
	switch {
	case none.message == noNodes:
		nominate = new(string)
	case none.earlier:
		message += " " + notFound
	default:
		t.record.preemption, nominate = s.preempt(ctx, t)
		message += " " + t.record.preemption.words()
	}
	loop.Say(ctx, "Unschedulable", "message", message, "refusedBy", none.refusedBy)
	t.record.outcome, t.record.message = OutcomeUnschedulable, message
	s.decisions.keep(q.pod.Key(), t.record)
	if none.message == noNodes {
		s.queue.retry(q, "retry without nodes") // no plugin refused it that could tell what helps
	} else {
		s.queue.wait(q, none.refusedBy)
	}
	if nominate != nil {
		s.nominate(q.pod, *nominate)
	}
	s.sayUnschedulable(q.pod, t.record.trace, unschedulable, message, nominate)
}

// failed deals with an attempt that ended in an error: the pod is tried again after a while.
func (s *Scheduler) failed(q *queued, cause string, err error) {
	s.queue.retry(q, "retry after an error")
	s.nominate(q.pod, "")
	s.sayUnschedulable(q.pod, cause, schedulerError, err.Error(), new(string))
}
