package framework

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/node/topology"
)

// Cluster is the scheduler's picture of all nodes and of the pods on them. It is changed bit by bit as news arrive, never
// built anew, and belongs to one goroutine.
//
// It answers one question faster than by looking at every pod: how many pods does a selector match, on which nodes? For
// this, pods that no selector can tell apart (the same namespace and labels, as the pods of one ReplicaSet have) form a
// Group, and a selector is tried once for each group. In the same way pods with the same affinity term are one TermGroup.
type Cluster struct {
	byName map[string]*Node
	nodes  []*Node // in the order in which they are looked at; nil when it must be worked out anew

	groups      map[string]*Group
	byNamespace map[string]map[*Group]bool
	terms       map[string]*TermGroup
	labelled    int            // changes when nodes' labels do
	withImage   map[string]int // on how many nodes each image is
	namespaces  map[string]labels.Set
}

// Group is the pods of a cluster that no selector can tell apart.
type Group struct {
	key         string
	Namespace   string
	Labels      labels.Set
	Terminating bool
	OnNode      map[*Node]int // how many pods, by node

	inPlace  map[string]map[string]int // how many pods, by a label of their nodes and its value
	labelled int                       // of the cluster, when inPlace was counted
}

// NewCluster makes an empty cluster.
func NewCluster() *Cluster {
	return &Cluster{
		byName: map[string]*Node{}, groups: map[string]*Group{}, byNamespace: map[string]map[*Group]bool{},
		terms: map[string]*TermGroup{}, withImage: map[string]int{}, namespaces: map[string]labels.Set{},
	}
}

// Node returns a node by name, if the API has it.
func (c *Cluster) Node(name string) (*Node, bool) {
	node, ok := c.byName[name]
	return node, ok && node.Node != nil
}

// Nodes returns all nodes. They are ordered by name, taking one from each zone by turns, so that zones are looked at
// evenly. The slice is shared.
func (c *Cluster) Nodes() []*Node {
	if c.nodes == nil {
		c.nodes = c.order()
	}
	return c.nodes
}

func (c *Cluster) order() []*Node {
	byZone := map[string][]*Node{}
	for _, node := range c.byName {
		if node.Node != nil {
			zone := topology.GetZoneKey(node.Node)
			byZone[zone] = append(byZone[zone], node)
		}
	}
	zones := make([]string, 0, len(byZone))
	for zone, nodes := range byZone {
		zones = append(zones, zone)
		slices.SortFunc(nodes, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.Sort(zones)
	ordered := make([]*Node, 0, len(c.byName))
	for i := 0; ; i++ {
		before := len(ordered)
		for _, zone := range zones {
			if i < len(byZone[zone]) {
				ordered = append(ordered, byZone[zone][i])
			}
		}
		if len(ordered) == before {
			return ordered
		}
	}
}

// SetNode adds a node or takes over its newest version.
func (c *Cluster) SetNode(object *corev1.Node) {
	node := c.node(object.Name)
	if node.Node == nil || topology.GetZoneKey(node.Node) != topology.GetZoneKey(object) {
		c.nodes = nil
	}
	if node.Node == nil || !sameLabels(node.Labels, object.Labels) {
		c.labelled++
	}
	c.countImages(node, -1)
	node.setObject(object)
	c.countImages(node, 1)
}

// RemoveNode forgets a node. Pods that are still said to be on it are kept in mind, in case it comes back.
func (c *Cluster) RemoveNode(name string) {
	node, ok := c.byName[name]
	if !ok {
		return
	}
	c.countImages(node, -1)
	node.Node, node.Images, node.Allocatable = nil, nil, Resources{}
	c.nodes = nil
	c.labelled++
	c.dropEmpty(name, node)
}

func (c *Cluster) node(name string) *Node {
	node, ok := c.byName[name]
	if !ok {
		node = newNode()
		c.byName[name] = node
	}
	return node
}

func (c *Cluster) dropEmpty(name string, node *Node) {
	if node.Node == nil && len(node.Pods) == 0 {
		delete(c.byName, name)
	}
}

func (c *Cluster) countImages(node *Node, times int) {
	for name := range node.Images {
		if c.withImage[name] += times; c.withImage[name] <= 0 {
			delete(c.withImage, name)
		}
	}
}

// NodesWithImage is on how many nodes an image is.
func (c *Cluster) NodesWithImage(name string) int { return c.withImage[name] }

// AddPod puts a pod on a node.
func (c *Cluster) AddPod(pod *Pod, name string) {
	node := c.node(name)
	node.Add(pod)
	c.addTerms(pod, node)
	key := pod.groupKey()
	group, ok := c.groups[key]
	if !ok {
		group = &Group{
			key: key, Namespace: pod.Namespace, Labels: labels.Set(pod.Labels), Terminating: pod.Terminating(), OnNode: map[*Node]int{},
		}
		c.groups[key] = group
		if c.byNamespace[pod.Namespace] == nil {
			c.byNamespace[pod.Namespace] = map[*Group]bool{}
		}
		c.byNamespace[pod.Namespace][group] = true
	}
	group.OnNode[node]++
	group.count(node, 1)
	pod.group = group
}

// RemovePod takes a pod off a node.
func (c *Cluster) RemovePod(uid types.UID, name string) {
	node, ok := c.byName[name]
	if !ok {
		return
	}
	pod, ok := node.Remove(uid)
	if !ok {
		return
	}
	c.removeTerms(pod, node)
	group := pod.group
	pod.group = nil
	group.count(node, -1)
	if group.OnNode[node]--; group.OnNode[node] == 0 {
		delete(group.OnNode, node)
	}
	if len(group.OnNode) == 0 {
		delete(c.groups, group.key)
		delete(c.byNamespace[group.Namespace], group)
		if len(c.byNamespace[group.Namespace]) == 0 {
			delete(c.byNamespace, group.Namespace)
		}
	}
	c.dropEmpty(name, node)
}

// count keeps the counts by place up to date.
func (g *Group) count(node *Node, n int) {
	if node.Node == nil {
		return
	}
	for key, counts := range g.inPlace {
		counts[node.Labels[key]] += n
	}
}

// places returns how many pods there are by the value of a label of their nodes; "" for nodes without it. It is counted
// when first asked for, and then kept up to date until a node's labels change.
func (g *Group) places(key string, labelled int) map[string]int {
	if g.inPlace == nil || g.labelled != labelled {
		g.inPlace, g.labelled = map[string]map[string]int{}, labelled
	}
	counts, ok := g.inPlace[key]
	if !ok {
		counts = map[string]int{}
		for node, n := range g.OnNode {
			if node.Node != nil {
				counts[node.Labels[key]] += n
			}
		}
		g.inPlace[key] = counts
	}
	return counts
}

// CountMatching returns how many pods of a namespace a selector matches, by node; pods on their way out do not count. The
// map is shared: never change it.
func (c *Cluster) CountMatching(namespace string, selector labels.Selector) map[*Node]int {
	return sum(c, namespace, selector, func(group *Group) map[*Node]int { return group.OnNode })
}

// CountInPlaces is CountMatching by the value of a label of their nodes; "" for nodes without it.
func (c *Cluster) CountInPlaces(namespace string, selector labels.Selector, key string) map[string]int {
	return sum(c, namespace, selector, func(group *Group) map[string]int { return group.places(key, c.labelled) })
}

// sum adds up what the groups have that a selector matches. Mostly that is one, and nothing is copied.
func sum[K comparable](c *Cluster, namespace string, selector labels.Selector, of func(group *Group) map[K]int) map[K]int {
	var counts map[K]int
	shared := false
	for group := range c.byNamespace[namespace] {
		if group.Terminating || !selector.Matches(group.Labels) {
			continue
		}
		switch {
		case counts == nil:
			counts, shared = of(group), true
			continue
		case shared:
			counts, shared = maps.Clone(counts), false
		}
		for key, n := range of(group) {
			counts[key] += n
		}
	}
	return counts
}

// Groups calls a function for every group of pods, those on their way out included.
func (c *Cluster) Groups(each func(group *Group)) {
	for _, group := range c.groups {
		each(group)
	}
}

// SetNamespace takes note of a namespace's labels; nil forgets them.
func (c *Cluster) SetNamespace(name string, set labels.Set) {
	if set == nil {
		delete(c.namespaces, name)
		return
	}
	c.namespaces[name] = set
}

// NamespaceLabels returns the labels of a namespace.
func (c *Cluster) NamespaceLabels(name string) labels.Set { return c.namespaces[name] }
