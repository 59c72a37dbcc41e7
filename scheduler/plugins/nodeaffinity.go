package plugins

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kubette/scheduler/framework"
)

var (
	otherNodes    = framework.RefuseForGood("node(s) didn't match Pod's node affinity/selector")
	contradiction = framework.RefuseForGood("pod affinity terms conflict")
)

// NodeAffinity lets a pod choose nodes by their labels: spec.nodeSelector and the required terms of its node affinity
// must match, and each preferred term that matches adds its weight.
type NodeAffinity struct{}

// Name implements framework.Plugin.
func (NodeAffinity) Name() string { return "NodeAffinity" }

// PreFilter implements framework.Filter.
func (NodeAffinity) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	required := requiredNodes(c.Pod)
	if required == nil && c.Pod.Spec.NodeSelector == nil {
		return nil, nil
	}
	check := &nodeAffinityCheck{required: nodeaffinity.GetRequiredNodeAffinity(c.Pod.Pod)}
	check.only, check.named = nodesByName(required)
	if check.named && check.only.Len() == 0 {
		return nil, contradiction
	}
	return check, nil
}

func requiredNodes(pod *framework.Pod) *corev1.NodeSelector {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return nil
	}
	return pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// nodesByName returns the nodes that a selector asks for by name, as that of a DaemonSet's pod does; false when some term
// does not. Terms are alternatives; within one, every requirement must hold.
func nodesByName(selector *corev1.NodeSelector) (sets.Set[string], bool) {
	if selector == nil || len(selector.NodeSelectorTerms) == 0 {
		return nil, false
	}
	all := sets.New[string]()
	for _, term := range selector.NodeSelectorTerms {
		var names sets.Set[string]
		for _, field := range term.MatchFields {
			if field.Key != metav1.ObjectNameField || field.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			if values := sets.New(field.Values...); names == nil {
				names = values
			} else {
				names = names.Intersection(values)
			}
		}
		if names == nil {
			return nil, false
		}
		all = all.Union(names)
	}
	return all, true
}

type nodeAffinityCheck struct {
	required nodeaffinity.RequiredNodeAffinity
	only     sets.Set[string]
	named    bool
}

// OnlyNodes implements framework.Narrower.
func (c *nodeAffinityCheck) OnlyNodes() ([]string, bool) { return sets.List(c.only), c.named }

func (c *nodeAffinityCheck) Check(node *framework.Node) *framework.Status {
	// A selector that cannot be parsed matches nothing.
	if match, err := c.required.Match(node.Node); err != nil || !match {
		return otherNodes
	}
	return nil
}

// PreScore implements framework.Scorer.
func (NodeAffinity) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	affinity := c.Pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return nil // the API server lets none through that cannot be parsed
	}
	return nodeAffinityScore{terms}
}

type nodeAffinityScore struct {
	preferred *nodeaffinity.PreferredSchedulingTerms
}

// Score adds up the weights of the preferred terms that match.
func (s nodeAffinityScore) Score(node *framework.Node) int64 { return s.preferred.Score(node.Node) }

func (nodeAffinityScore) Normalize(scores []int64) { framework.NormalizeByHighest(scores, false) }

// Helps implements framework.Waker.
func (NodeAffinity) Helps(event *framework.Event, pod *framework.Pod) bool {
	if event.Kind != framework.NodeAdded && event.Kind != framework.NodeUpdated {
		return false
	}
	required := nodeaffinity.GetRequiredNodeAffinity(pod.Pod)
	if match, err := required.Match(event.Node); err != nil || !match {
		return false
	}
	if event.Kind == framework.NodeAdded {
		return true
	}
	before, err := required.Match(event.OldNode)
	return err == nil && !before
}
