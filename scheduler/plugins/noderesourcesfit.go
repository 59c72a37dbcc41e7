package plugins

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler/framework"
)

// Strategy says which nodes NodeResourcesFit likes best.
type Strategy string

const (
	// LeastAllocated spreads pods: the emptier a node, the better. It is the default.
	LeastAllocated Strategy = "LeastAllocated"
	// MostAllocated packs pods: the fuller a node, the better, so that other nodes may stay empty.
	MostAllocated Strategy = "MostAllocated"
)

// NodeResourcesFit keeps a pod off nodes that have too little left of what it requests. Only requests count, never what
// pods really use: a node may be idle and full.
type NodeResourcesFit struct {
	Strategy Strategy // LeastAllocated if empty
}

// Name implements framework.Plugin.
func (NodeResourcesFit) Name() string { return "NodeResourcesFit" }

// PreFilter implements framework.Filter.
func (NodeResourcesFit) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	return &fitCheck{wanted: &c.Pod.Requests}, nil
}

type fitCheck struct{ wanted *framework.Resources }

func (c *fitCheck) Check(node *framework.Node) *framework.Status {
	if roomy(c.wanted, node) {
		return nil // nearly always; what follows only finds the words
	}
	var reasons []string
	code := framework.Unschedulable
	if int64(len(node.Pods)) >= node.Allocatable.Pods {
		reasons = append(reasons, "Too many pods")
	}
	need := func(name corev1.ResourceName, wanted int64) {
		allocatable := node.Allocatable.Of(name)
		if wanted > allocatable-node.Requested.Of(name) {
			reasons = append(reasons, "Insufficient "+string(name))
			if wanted > allocatable { // an empty node would be too small, too
				code = framework.Unresolvable
			}
		}
	}
	if asksForSomething(c.wanted) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
			if wanted := c.wanted.Of(name); wanted > 0 {
				need(name, wanted)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(c.wanted.Others)) {
			need(name, c.wanted.Others[name])
		}
	}
	return &framework.Status{Code: code, Reasons: reasons}
}

// roomy says that a node has what is wanted.
func roomy(wanted *framework.Resources, node *framework.Node) bool {
	free, taken := &node.Allocatable, &node.Requested
	if int64(len(node.Pods)) >= free.Pods ||
		wanted.MilliCPU > 0 && wanted.MilliCPU > free.MilliCPU-taken.MilliCPU ||
		wanted.Memory > 0 && wanted.Memory > free.Memory-taken.Memory ||
		wanted.EphemeralStorage > 0 && wanted.EphemeralStorage > free.EphemeralStorage-taken.EphemeralStorage {
		return false
	}
	for name, amount := range wanted.Others {
		if amount > free.Others[name]-taken.Others[name] {
			return false
		}
	}
	return true
}

func asksForSomething(r *framework.Resources) bool {
	return r.MilliCPU != 0 || r.Memory != 0 || r.EphemeralStorage != 0 || len(r.Others) > 0
}

// PreScore implements framework.Scorer.
func (f NodeResourcesFit) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	return &fitScore{pod: &c.Pod.Scored, most: f.Strategy == MostAllocated}
}

type fitScore struct {
	pod  *framework.Resources
	most bool
}

// Score is the average of how empty, or full, cpu and memory would be with the pod there, in percent.
func (s *fitScore) Score(node *framework.Node) int64 {
	var sum, resources int64
	add := func(taken, allocatable int64) {
		if allocatable == 0 {
			return
		}
		resources++
		switch {
		case s.most:
			sum += min(taken, allocatable) * framework.MaxScore / allocatable
		case taken <= allocatable:
			sum += (allocatable - taken) * framework.MaxScore / allocatable
		}
	}
	add(node.Counted.MilliCPU+s.pod.MilliCPU, node.Allocatable.MilliCPU)
	add(node.Counted.Memory+s.pod.Memory, node.Allocatable.Memory)
	if resources == 0 {
		return 0
	}
	return sum / resources
}

// Normalize has nothing to do: the scores are percentages already.
func (*fitScore) Normalize([]int64) {}

// Helps implements framework.Waker: a pod went or asks for less of what the pod wants, or a node has more of it. Whether there
// is room now is not asked, as kube-scheduler does not either: with one pod less, others may have become worth evicting.
func (NodeResourcesFit) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.PodGone:
		return true
	case framework.PodUpdated:
		return eachAmount(&event.Pod.Requests, &event.OldPod.Requests, func(name corev1.ResourceName, now, before int64) bool {
			return now < before && pod.Requests.Of(name) > 0
		})
	case framework.OwnUpdate:
		return eachAmount(&event.Pod.Requests, &event.OldPod.Requests, func(_ corev1.ResourceName, now, before int64) bool {
			return now < before
		})
	case framework.NodeAdded:
		return fitsEmpty(pod, event.Node)
	case framework.NodeUpdated:
		if !fitsEmpty(pod, event.Node) {
			return false
		}
		before, now := framework.NewResources(event.OldNode.Status.Allocatable), framework.NewResources(event.Node.Status.Allocatable)
		return now.Pods > before.Pods || eachAmount(&pod.Requests, &now, func(name corev1.ResourceName, wanted, has int64) bool {
			return wanted > 0 && has > before.Of(name)
		})
	}
	return false
}

// fitsEmpty says that a pod would fit on a node that nothing else runs on.
func fitsEmpty(pod *framework.Pod, node *corev1.Node) bool {
	return roomy(&pod.Requests, &framework.Node{Allocatable: framework.NewResources(node.Status.Allocatable)})
}

// eachAmount says whether some resource is such that a question is answered with yes. It is asked with the resource's amount
// in both lists.
func eachAmount(a, b *framework.Resources, ask func(name corev1.ResourceName, a, b int64) bool) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if ask(name, a.Of(name), b.Of(name)) {
			return true
		}
	}
	for _, others := range []map[corev1.ResourceName]int64{a.Others, b.Others} {
		for name := range others {
			if ask(name, a.Of(name), b.Of(name)) {
				return true
			}
		}
	}
	return false
}
