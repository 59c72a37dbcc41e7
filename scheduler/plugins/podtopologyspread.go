package plugins

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kubette/scheduler/framework"
)

var (
	uneven    = framework.Refuse("node(s) didn't match pod topology spread constraints")
	unlabeled = framework.RefuseForGood("node(s) didn't match pod topology spread constraints (missing required label)")
)

// PodTopologySpread keeps the pods of one kind evenly spread over zones, nodes or whatever nodes are labelled with. A
// constraint names the label (topologyKey), which pods to count (labelSelector) and how much fuller than the emptiest one
// a place may get (maxSkew); whenUnsatisfiable says whether that is a rule (here) or a wish (topologyspreadscore.go).
type PodTopologySpread struct {
	// Siblings returns a selector for the pods that belong together with a pod: those of its services and of its
	// controller. Pods without constraints of their own are spread by it.
	Siblings func(pod *corev1.Pod) labels.Selector
}

// Name implements framework.Plugin.
func (PodTopologySpread) Name() string { return "PodTopologySpread" }

// spread is a constraint, parsed.
type spread struct {
	key          string
	selector     labels.Selector
	maxSkew      int64
	minDomains   int
	honorsNodes  bool // only nodes that the pod's node affinity allows count
	honorsTaints bool // only nodes that the pod tolerates count
}

func constraints(pod *framework.Pod, action corev1.UnsatisfiableConstraintAction) []spread {
	var parsed []spread
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != action {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil {
			selector = labels.Nothing()
		}
		for _, key := range c.MatchLabelKeys {
			if value, ok := pod.Labels[key]; ok {
				if requirement, err := labels.NewRequirement(key, "in", []string{value}); err == nil {
					selector = selector.Add(*requirement)
				}
			}
		}
		s := spread{key: c.TopologyKey, selector: selector, maxSkew: int64(c.MaxSkew), minDomains: 1}
		if c.MinDomains != nil {
			s.minDomains = int(*c.MinDomains)
		}
		s.honorsNodes = c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
		s.honorsTaints = c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		parsed = append(parsed, s)
	}
	return parsed
}

// counts says whether pods on a node count.
func (s *spread) counts(pod *framework.Pod, required *nodeaffinity.RequiredNodeAffinity, node *framework.Node) bool {
	if s.honorsNodes {
		if match, err := required.Match(node.Node); err != nil || !match {
			return false
		}
	}
	return !s.honorsTaints || tolerates(pod.Spec.Tolerations, node.Node)
}

// matching returns how many pods a constraint counts on each node. An empty selector, which matches every pod elsewhere,
// counts none here; so it is in Kubernetes, too.
func (s *spread) matching(c *framework.Cycle) map[*framework.Node]int {
	if s.selector.Empty() {
		return nil
	}
	return c.Cluster.CountMatching(c.Pod.Namespace, s.selector)
}

func hasAllKeys(node *framework.Node, all []spread) bool {
	for i := range all {
		if _, ok := node.Labels[all[i].key]; !ok {
			return false
		}
	}
	return true
}

// PreFilter implements framework.Filter: it counts, for each constraint, the pods in each place.
func (PodTopologySpread) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	all := constraints(c.Pod, corev1.DoNotSchedule)
	if len(all) == 0 {
		return nil, nil
	}
	check := &spreadCheck{pod: c.Pod, all: all, required: nodeaffinity.GetRequiredNodeAffinity(c.Pod.Pod)}
	for i := range all {
		counts := all[i].matching(c)
		places := map[string]int64{}
		for _, node := range c.Cluster.Nodes() {
			if hasAllKeys(node, all) && all[i].counts(c.Pod, &check.required, node) {
				places[node.Labels[all[i].key]] += int64(counts[node])
			}
		}
		check.places = append(check.places, places)
		check.least = append(check.least, least(places))
	}
	return check, nil
}

type spreadCheck struct {
	pod      *framework.Pod
	all      []spread
	required nodeaffinity.RequiredNodeAffinity
	places   []map[string]int64 // by constraint: matching pods in each place
	least    []int64            // by constraint: in the emptiest place
}

func least(places map[string]int64) int64 {
	lowest := int64(-1)
	for _, count := range places {
		if lowest < 0 || count < lowest {
			lowest = count
		}
	}
	return max(lowest, 0)
}

func (c *spreadCheck) Check(node *framework.Node) *framework.Status {
	for i := range c.all {
		s := &c.all[i]
		place, ok := node.Labels[s.key]
		if !ok {
			return unlabeled
		}
		emptiest := c.least[i]
		if len(c.places[i]) < s.minDomains {
			emptiest = 0 // places that are missing count as empty ones
		}
		count := c.places[i][place]
		if s.selector.Matches(labels.Set(c.pod.Labels)) {
			count++ // the pod itself
		}
		if count-emptiest > s.maxSkew {
			return uneven
		}
	}
	return nil
}

// Clone implements framework.Simulator.
func (c *spreadCheck) Clone() framework.Check {
	copied := *c
	copied.least = append([]int64(nil), c.least...)
	copied.places = nil
	for _, places := range c.places {
		copied.places = append(copied.places, cloneMap(places))
	}
	return &copied
}

func cloneMap(m map[string]int64) map[string]int64 {
	copied := make(map[string]int64, len(m))
	for key, value := range m {
		copied[key] = value
	}
	return copied
}

// Add implements framework.Simulator.
func (c *spreadCheck) Add(pod *framework.Pod, node *framework.Node) { c.change(pod, node, 1) }

// Remove implements framework.Simulator.
func (c *spreadCheck) Remove(pod *framework.Pod, node *framework.Node) { c.change(pod, node, -1) }

func (c *spreadCheck) change(pod *framework.Pod, node *framework.Node, times int64) {
	if pod.Namespace != c.pod.Namespace || !hasAllKeys(node, c.all) {
		return
	}
	for i := range c.all {
		if c.all[i].selector.Matches(labels.Set(pod.Labels)) && c.all[i].counts(c.pod, &c.required, node) {
			c.places[i][node.Labels[c.all[i].key]] += times
			c.least[i] = least(c.places[i])
		}
	}
}

// Helps implements framework.Waker: a pod that is counted came or went, one is counted now and was not before or the other
// way round, or a place changed. That pods on their way out are not counted any more wakes nobody: they are gone soon.
func (PodTopologySpread) Helps(event *framework.Event, pod *framework.Pod) bool {
	all := constraints(pod, corev1.DoNotSchedule)
	switch event.Kind {
	case framework.PodAssigned, framework.PodGone:
		return event.Pod.Namespace == pod.Namespace && slices.ContainsFunc(all, func(s spread) bool {
			return s.selector.Matches(labels.Set(event.Pod.Labels))
		})
	case framework.PodUpdated:
		return event.Pod.Namespace == pod.Namespace && countedOtherwise(event, all)
	case framework.OwnUpdate:
		return countedOtherwise(event, all) ||
			event.ToleratesMore() && slices.ContainsFunc(all, func(s spread) bool { return s.honorsTaints })
	case framework.NodeAdded, framework.NodeDeleted:
		return hasKeys(event.Node, all)
	case framework.NodeUpdated:
		if hasKeys(event.OldNode, all) != hasKeys(event.Node, all) {
			return true
		}
		return hasKeys(event.Node, all) && (!equality.Semantic.DeepEqual(event.OldNode.Spec.Taints, event.Node.Spec.Taints) ||
			slices.ContainsFunc(all, func(s spread) bool { return event.OldNode.Labels[s.key] != event.Node.Labels[s.key] }))
	}
	return false
}

// countedOtherwise says that a pod was relabelled so that some constraint counts it now, or does no more.
func countedOtherwise(event *framework.Event, all []spread) bool {
	return event.Relabelled() && slices.ContainsFunc(all, func(s spread) bool {
		return s.selector.Matches(labels.Set(event.OldPod.Labels)) != s.selector.Matches(labels.Set(event.Pod.Labels))
	})
}

func hasKeys(node *corev1.Node, all []spread) bool {
	return hasAllKeys(&framework.Node{Node: node}, all)
}
