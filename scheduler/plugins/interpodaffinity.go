package plugins

import (
	"k8s.io/apimachinery/pkg/labels"

	"kubette/scheduler/framework"
)

var (
	noFriends    = framework.RefuseForGood("node(s) didn't match pod affinity rules")
	rivals       = framework.Refuse("node(s) didn't match pod anti-affinity rules")
	rivalOfOther = framework.Refuse("node(s) didn't satisfy existing pods anti-affinity rules")
)

// InterPodAffinity puts pods near pods that they need (affinity), and away from pods that they do not get on with
// (anti-affinity). Near means: on nodes with the same value of a label, the term's topologyKey. Anti-affinity works both
// ways: a pod that is there already and does not get on with the new one keeps it away, too.
type InterPodAffinity struct{}

// Name implements framework.Plugin.
func (InterPodAffinity) Name() string { return "InterPodAffinity" }

// places counts pods by a label's key and value.
type places map[string]map[string]int64

func (p places) add(key string, node *framework.Node, n int64) {
	value, ok := node.Labels[key]
	if !ok {
		return
	}
	if p[key] == nil {
		p[key] = map[string]int64{}
	}
	if p[key][value] += n; p[key][value] == 0 {
		delete(p[key], value)
		if len(p[key]) == 0 {
			delete(p, key)
		}
	}
}

func (p places) addAll(key string, onNode map[*framework.Node]int, factor int64) {
	for node, n := range onNode {
		if node.Node != nil {
			p.add(key, node, factor*int64(n))
		}
	}
}

func (p places) clone() places {
	copied := make(places, len(p))
	for key, values := range p {
		copied[key] = cloneMap(values)
	}
	return copied
}

// PreFilter implements framework.Filter: it finds out where the pods are that matter.
func (InterPodAffinity) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	pod := c.Pod
	check := &affinityCheck{
		pod: pod, cluster: c.Cluster, friends: places{}, rivals: places{}, rivalsOf: places{},
		ownNamespace: c.Cluster.NamespaceLabels(pod.Namespace),
	}
	c.Cluster.Terms(func(group *framework.TermGroup) {
		if group.Kind == framework.RequiredAntiAffinity && check.isAbout(&group.Term) {
			check.rivalsOf.addAll(group.Term.TopologyKey, group.OnNode, 1)
		}
	})
	if len(pod.Affinity)+len(pod.AntiAffinity) == 0 {
		if len(check.rivalsOf) == 0 {
			return nil, nil
		}
		return check, nil
	}
	c.Cluster.Groups(func(group *framework.Group) {
		namespace := c.Cluster.NamespaceLabels(group.Namespace)
		if matchesAll(pod.Affinity, group.Namespace, group.Labels, namespace) {
			for _, term := range pod.Affinity {
				check.friends.addAll(term.TopologyKey, group.OnNode, 1)
			}
		}
		for i := range pod.AntiAffinity {
			if term := &pod.AntiAffinity[i]; term.Matches(group.Namespace, group.Labels, namespace) {
				check.rivals.addAll(term.TopologyKey, group.OnNode, 1)
			}
		}
	})
	return check, nil
}

type affinityCheck struct {
	pod          *framework.Pod
	cluster      *framework.Cluster
	ownNamespace labels.Set
	friends      places // pods that match all of its affinity terms
	rivals       places // pods that match one of its anti-affinity terms
	rivalsOf     places // pods with an anti-affinity term that it matches
}

// isAbout says whether a term of another pod is about this one.
func (c *affinityCheck) isAbout(term *framework.Term) bool {
	return term.Matches(c.pod.Namespace, labels.Set(c.pod.Labels), c.ownNamespace)
}

func matchesAll(terms []framework.Term, namespace string, set, namespaceLabels labels.Set) bool {
	for i := range terms {
		if !terms[i].Matches(namespace, set, namespaceLabels) {
			return false
		}
	}
	return len(terms) > 0
}

func (c *affinityCheck) Check(node *framework.Node) *framework.Status {
	if !c.nearFriends(node) {
		return noFriends
	}
	for i := range c.pod.AntiAffinity {
		key := c.pod.AntiAffinity[i].TopologyKey
		if value, ok := node.Labels[key]; ok && c.rivals[key][value] > 0 {
			return rivals
		}
	}
	for key, values := range c.rivalsOf {
		if value, ok := node.Labels[key]; ok && values[value] > 0 {
			return rivalOfOther
		}
	}
	return nil
}

// nearFriends says whether every affinity term is met. The first of a series of pods that want to be near each other has
// nobody to be near to: it may go anywhere.
func (c *affinityCheck) nearFriends(node *framework.Node) bool {
	found := true
	for i := range c.pod.Affinity {
		key := c.pod.Affinity[i].TopologyKey
		value, ok := node.Labels[key]
		if !ok {
			return false
		}
		found = found && c.friends[key][value] > 0
	}
	return found || len(c.friends) == 0 &&
		matchesAll(c.pod.Affinity, c.pod.Namespace, labels.Set(c.pod.Labels), c.ownNamespace)
}

// Clone implements framework.Simulator.
func (c *affinityCheck) Clone() framework.Check {
	copied := *c
	copied.friends, copied.rivals, copied.rivalsOf = c.friends.clone(), c.rivals.clone(), c.rivalsOf.clone()
	return &copied
}

// Add implements framework.Simulator.
func (c *affinityCheck) Add(pod *framework.Pod, node *framework.Node) { c.change(pod, node, 1) }

// Remove implements framework.Simulator.
func (c *affinityCheck) Remove(pod *framework.Pod, node *framework.Node) { c.change(pod, node, -1) }

func (c *affinityCheck) change(pod *framework.Pod, node *framework.Node, n int64) {
	for i := range pod.AntiAffinity {
		if term := &pod.AntiAffinity[i]; c.isAbout(term) {
			c.rivalsOf.add(term.TopologyKey, node, n)
		}
	}
	namespace, set := c.cluster.NamespaceLabels(pod.Namespace), labels.Set(pod.Labels)
	if matchesAll(c.pod.Affinity, pod.Namespace, set, namespace) {
		for _, term := range c.pod.Affinity {
			c.friends.add(term.TopologyKey, node, n)
		}
	}
	for i := range c.pod.AntiAffinity {
		if term := &c.pod.AntiAffinity[i]; term.Matches(pod.Namespace, set, namespace) {
			c.rivals.add(term.TopologyKey, node, n)
		}
	}
}

// requiredWeight is what a required affinity term of a pod that is there counts in the score of one that it matches.
const requiredWeight = 1

// PreScore implements framework.Scorer: it adds up the weights of preferred terms, the pod's own and other pods', place by
// place.
func (InterPodAffinity) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	pod := c.Pod
	score := affinityScore{}
	own := c.Cluster.NamespaceLabels(pod.Namespace)
	c.Cluster.Terms(func(group *framework.TermGroup) {
		var weight int64
		switch group.Kind {
		case framework.RequiredAffinity:
			weight = requiredWeight
		case framework.PreferredAffinity:
			weight = group.Weight
		case framework.PreferredAntiAffinity:
			weight = -group.Weight
		default:
			return
		}
		if group.Term.Matches(pod.Namespace, labels.Set(pod.Labels), own) {
			places(score).addAll(group.Term.TopologyKey, group.OnNode, weight)
		}
	})
	if len(pod.PreferredAffinity)+len(pod.PreferredAntiAffinity) > 0 {
		c.Cluster.Groups(func(group *framework.Group) {
			score.prefer(pod.PreferredAffinity, group, c.Cluster, 1)
			score.prefer(pod.PreferredAntiAffinity, group, c.Cluster, -1)
		})
	}
	if len(score) == 0 {
		return nil
	}
	return score
}

type affinityScore places

func (s affinityScore) prefer(terms []framework.WeightedTerm, group *framework.Group, cluster *framework.Cluster, sign int64) {
	for i := range terms {
		if terms[i].Matches(group.Namespace, group.Labels, cluster.NamespaceLabels(group.Namespace)) {
			places(s).addAll(terms[i].TopologyKey, group.OnNode, sign*terms[i].Weight)
		}
	}
}

// Score adds up what the places that the node is in are worth.
func (s affinityScore) Score(node *framework.Node) int64 {
	var score int64
	for key, values := range s {
		if value, ok := node.Labels[key]; ok {
			score += values[value]
		}
	}
	return score
}

// Normalize spreads the scores between 0 for the lowest and 100 for the highest.
func (affinityScore) Normalize(scores []int64) {
	if len(scores) == 0 {
		return
	}
	lowest, highest := scores[0], scores[0]
	for _, score := range scores {
		lowest, highest = min(lowest, score), max(highest, score)
	}
	for i, score := range scores {
		scores[i] = 0
		if highest > lowest {
			scores[i] = int64(framework.MaxScore * (float64(score-lowest) / float64(highest-lowest)))
		}
	}
}
