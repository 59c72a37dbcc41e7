package plugins

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kubette/scheduler/framework"
)

// defaults are how a pod without constraints of its own is spread: over zones somewhat, over nodes a little more.
// kube-scheduler has the same built in.
func (p PodTopologySpread) defaults(pod *framework.Pod) []spread {
	selector := p.Siblings(pod.Pod)
	if selector.Empty() {
		return nil // nothing says which pods belong together with it
	}
	return []spread{
		{key: corev1.LabelTopologyZone, maxSkew: 5, selector: selector, honorsNodes: true},
		{key: corev1.LabelHostname, maxSkew: 3, selector: selector, honorsNodes: true},
	}
}

// PreScore implements framework.Scorer: it counts the pods in each place where one of the nodes is.
func (p PodTopologySpread) PreScore(c *framework.Cycle, nodes []*framework.Node) framework.Score {
	own := len(c.Pod.Spec.TopologySpreadConstraints) > 0
	var all []spread
	if own {
		all = constraints(c.Pod, corev1.ScheduleAnyway)
	} else {
		all = p.defaults(c.Pod)
	}
	if len(all) == 0 {
		return nil
	}
	score := &spreadScore{all: all, strict: own}
	required := nodeaffinity.GetRequiredNodeAffinity(c.Pod.Pod)
	for i := range all {
		place := spreadPlaces{used: true}
		size := score.rated(nodes)
		if all[i].key == corev1.LabelHostname {
			place.onNode = all[i].matching(c)
		} else {
			size, place.used = score.sizeOf(all[i].key, nodes)
			place.counts = score.count(c, i, &required)
		}
		// With many places each holds few pods; the logarithm makes up for it.
		place.weight = math.Log(float64(size + 2))
		score.places = append(score.places, place)
	}
	return score
}

type spreadScore struct {
	all    []spread
	strict bool // a node without one of the labels is not rated
	places []spreadPlaces
}

// spreadPlaces are the matching pods in each place of a constraint: every node is one of its own, or those with the same
// value of the label are one.
type spreadPlaces struct {
	onNode map[*framework.Node]int
	counts map[string]int
	weight float64
	used   bool // some node has the label
}

func (s *spreadScore) rates(node *framework.Node) bool { return !s.strict || hasAllKeys(node, s.all) }

func (s *spreadScore) rated(nodes []*framework.Node) int {
	if !s.strict {
		return len(nodes)
	}
	n := 0
	for _, node := range nodes {
		if s.rates(node) {
			n++
		}
	}
	return n
}

// sizeOf is how many places the nodes are in, those without the label being in one, and whether any has the label.
func (s *spreadScore) sizeOf(key string, nodes []*framework.Node) (int, bool) {
	values := map[string]bool{}
	last, labelled := "", false
	for _, node := range nodes {
		if !s.rates(node) {
			continue
		}
		value, ok := node.Labels[key]
		labelled = labelled || ok
		if len(values) == 0 || value != last { // neighbours are often in one place
			values[value] = true
			last = value
		}
	}
	return len(values), labelled
}

// count counts the pods in each place, wherever in it they are.
func (s *spreadScore) count(c *framework.Cycle, i int, required *nodeaffinity.RequiredNodeAffinity) map[string]int {
	constraint := &s.all[i]
	if !s.strict && !constraint.honorsTaints && c.Pod.Spec.NodeSelector == nil && requiredNodes(c.Pod) == nil {
		return c.Cluster.CountInPlaces(c.Pod.Namespace, constraint.selector, constraint.key) // every node counts
	}
	counts := map[string]int{}
	for node, n := range constraint.matching(c) {
		if node.Node != nil && s.rates(node) && constraint.counts(c.Pod, required, node) {
			counts[node.Labels[constraint.key]] += n
		}
	}
	return counts
}

const notRated = -1

// Score is the number of matching pods around the node, weighted; so less is better.
func (s *spreadScore) Score(node *framework.Node) int64 {
	if !s.rates(node) {
		return notRated
	}
	var score float64
	for i := range s.all {
		places := &s.places[i]
		if !places.used {
			continue
		}
		value, ok := node.Labels[s.all[i].key]
		if !ok {
			continue
		}
		count := places.counts[value]
		if places.onNode != nil {
			count = places.onNode[node]
		}
		score += float64(count)*places.weight + float64(s.all[i].maxSkew-1)
	}
	return int64(math.Round(score))
}

// Normalize turns it round: the emptiest place gets the most.
func (s *spreadScore) Normalize(scores []int64) {
	lowest, highest := int64(math.MaxInt64), int64(0)
	for _, score := range scores {
		if score != notRated {
			lowest, highest = min(lowest, score), max(highest, score)
		}
	}
	for i, score := range scores {
		switch {
		case score == notRated:
			scores[i] = 0
		case highest == 0:
			scores[i] = framework.MaxScore
		default:
			scores[i] = framework.MaxScore * (highest + lowest - score) / highest
		}
	}
}
