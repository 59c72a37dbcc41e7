package plugins_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// The tests' language: node("a zone=1", "cpu=4 memory=8Gi"), pod("web app=web", "cpu=1").

func words(text string) (name string, rest map[string]string) {
	rest = map[string]string{}
	for i, word := range strings.Fields(text) {
		if key, value, ok := strings.Cut(word, "="); ok {
			rest[key] = value
		} else if i == 0 {
			name = word
		}
	}
	return name, rest
}

func list(text string) corev1.ResourceList {
	amounts := corev1.ResourceList{}
	_, all := words(text)
	for name, amount := range all {
		amounts[corev1.ResourceName(name)] = resource.MustParse(amount)
	}
	return amounts
}

func node(text, allocatable string, change ...func(*corev1.Node)) *corev1.Node {
	name, set := words(text)
	set[corev1.LabelHostname] = name
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set}}
	n.Status.Allocatable = list("pods=110 " + allocatable)
	for _, f := range change {
		f(n)
	}
	return n
}

func pod(text, requests string, change ...func(*corev1.Pod)) *corev1.Pod {
	name, set := words(text)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Labels: set}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "nginx", Resources: corev1.ResourceRequirements{Requests: list(requests)}}}
	for _, f := range change {
		f(p)
	}
	return p
}

// on puts pods on nodes: on("a", pod(…), …).
type on struct {
	node string
	pods []*corev1.Pod
}

func clusterOf(nodes []*corev1.Node, placed ...on) *framework.Cluster {
	c := framework.NewCluster()
	for _, n := range nodes {
		c.SetNode(n)
	}
	for _, o := range placed {
		for _, p := range o.pods {
			p.Spec.NodeName = o.node
			c.AddPod(framework.NewPod(p), o.node)
		}
	}
	return c
}

// verdicts asks a filter about every node; "" is yes.
func verdicts(c *framework.Cluster, filter framework.Filter, p *corev1.Pod) map[string]string {
	got := map[string]string{}
	check, status := filter.PreFilter(&framework.Cycle{Pod: framework.NewPod(p), Cluster: c})
	for _, n := range c.Nodes() {
		answer := status
		if check != nil {
			answer = check.Check(n)
		}
		got[n.Name] = answer.Message()
		if answer != nil && answer.Code == framework.Unresolvable {
			got[n.Name] += " (for good)"
		}
	}
	return got
}

// points asks a scorer about every node: the raw score and the normalised one.
func points(c *framework.Cluster, scorer framework.Scorer, p *corev1.Pod) map[string]string {
	nodes := c.Nodes()
	score := scorer.PreScore(&framework.Cycle{Pod: framework.NewPod(p), Cluster: c}, nodes)
	if score == nil {
		return nil
	}
	raw := make([]int64, len(nodes))
	for i, n := range nodes {
		raw[i] = score.Score(n)
	}
	normal := append([]int64(nil), raw...)
	score.Normalize(normal)
	got := map[string]string{}
	for i, n := range nodes {
		got[n.Name] = fmt.Sprintf("%d→%d", raw[i], normal[i])
	}
	return got
}

func nodes(all ...*corev1.Node) []*corev1.Node { return all }

func taint(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func tolerating(all ...corev1.Toleration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Tolerations = all }
}

func hostPort(port int32, ip string, protocol corev1.Protocol) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{HostPort: port, ContainerPort: port, HostIP: ip, Protocol: protocol})
	}
}

func selecting(text string) *metav1.LabelSelector {
	_, set := words(text)
	return &metav1.LabelSelector{MatchLabels: set}
}

func affinityOf(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	return p.Spec.Affinity
}

func near(selector, key string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinityOf(p).PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{LabelSelector: selecting(selector), TopologyKey: key}}}
	}
}

func apart(selector, key string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinityOf(p).PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{LabelSelector: selecting(selector), TopologyKey: key}}}
	}
}

func ratherNear(selector, key string, weight int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinityOf(p).PodAffinity = &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{Weight: weight, PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selecting(selector), TopologyKey: key}}}}
	}
}

func ratherApart(selector, key string, weight int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinityOf(p).PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{Weight: weight, PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selecting(selector), TopologyKey: key}}}}
	}
}

func spread(key, selector string, skew int32, action corev1.UnsatisfiableConstraintAction, change ...func(*corev1.TopologySpreadConstraint)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.TopologySpreadConstraint{MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: action, LabelSelector: selecting(selector)}
		for _, f := range change {
			f(&c)
		}
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
	}
}

func many(n int, text, requests string, change ...func(*corev1.Pod)) []*corev1.Pod {
	name, _, _ := strings.Cut(text, " ")
	var all []*corev1.Pod
	for i := range n {
		all = append(all, pod(strings.Replace(text, name, fmt.Sprintf("%s-%d", name, i), 1), requests, change...))
	}
	return all
}

func noSiblings(*corev1.Pod) labels.Selector { return labels.Set(nil).AsSelector() }

func siblings(text string) func(*corev1.Pod) labels.Selector {
	_, set := words(text)
	return func(*corev1.Pod) labels.Selector { return labels.Set(set).AsSelector() }
}

func TestFilters(t *testing.T) {
	const (
		labelsDiffer = "node(s) didn't match Pod's node affinity/selector (for good)"
		unevenly     = "node(s) didn't match pod topology spread constraints"
	)
	zones := nodes(node("a zone=1", ""), node("b zone=1", ""), node("c zone=2", ""), node("d", ""))
	do := corev1.DoNotSchedule
	for name, test := range map[string]struct {
		filter  framework.Filter
		cluster *framework.Cluster
		pod     *corev1.Pod
		want    map[string]string
	}{
		"taints": {plugins.TaintToleration{}, clusterOf(nodes(
			node("free", ""), node("dedicated", "", taint("dedicated", corev1.TaintEffectNoSchedule)), node("dying", "", taint("dying", corev1.TaintEffectNoExecute)),
			node("meh", "", taint("meh", corev1.TaintEffectPreferNoSchedule)))),
			pod("web", "", tolerating(corev1.Toleration{Key: "dedicated", Operator: corev1.TolerationOpExists})),
			map[string]string{"free": "", "dedicated": "", "meh": "", "dying": "node(s) had untolerated taint(s) (for good)"}},
		"cordoned": {plugins.NodeUnschedulable{}, clusterOf(nodes(node("a", "", func(n *corev1.Node) { n.Spec.Unschedulable = true }), node("b", ""))),
			pod("web", ""), map[string]string{"a": "node(s) were unschedulable (for good)", "b": ""}},
		"cordoned but tolerated": {plugins.NodeUnschedulable{}, clusterOf(nodes(node("a", "", func(n *corev1.Node) { n.Spec.Unschedulable = true }))),
			pod("web", "", tolerating(corev1.Toleration{Key: "node.kubernetes.io/unschedulable", Operator: corev1.TolerationOpExists})), map[string]string{"a": ""}},
		"node by name": {plugins.NodeName{}, clusterOf(nodes(node("a", ""), node("b", ""))),
			pod("web", "", func(p *corev1.Pod) { p.Spec.NodeName = "a" }), map[string]string{"a": "", "b": "node(s) didn't match the requested node name (for good)"}},
		"node selector": {plugins.NodeAffinity{}, clusterOf(zones), pod("web", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "1"} }),
			map[string]string{"a": "", "b": "", "c": labelsDiffer, "d": labelsDiffer}},
		"node affinity, terms are alternatives": {plugins.NodeAffinity{}, clusterOf(zones), pod("web", "", func(p *corev1.Pod) {
			affinityOf(p).NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpDoesNotExist}}},
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpGt, Values: []string{"1"}}}},
			}}}
		}), map[string]string{"a": labelsDiffer, "b": labelsDiffer, "c": "", "d": ""}},
		"node affinity that contradicts itself": {plugins.NodeAffinity{}, clusterOf(zones[:1]), pod("web", "", func(p *corev1.Pod) {
			affinityOf(p).NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchFields: []corev1.NodeSelectorRequirement{
					{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}, {Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}},
				}},
			}}}
		}), map[string]string{"a": "pod affinity terms conflict (for good)"}},
		"host ports": {plugins.NodePorts{}, clusterOf(zones,
			on{"a", []*corev1.Pod{pod("p", "", hostPort(80, "", "TCP"))}}, on{"b", []*corev1.Pod{pod("q", "", hostPort(80, "", "UDP"))}},
			on{"c", []*corev1.Pod{pod("r", "", hostPort(80, "10.0.0.1", ""))}}, on{"d", []*corev1.Pod{pod("s", "", hostPort(81, "", ""))}}),
			pod("web", "", hostPort(80, "", "TCP")),
			map[string]string{"a": "node(s) didn't have free ports for the requested pod ports", "b": "", "c": "node(s) didn't have free ports for the requested pod ports", "d": ""}},
		"resources": {plugins.NodeResourcesFit{}, clusterOf(nodes(
			node("exact", "cpu=2 memory=2Gi"), node("small", "cpu=1 memory=4Gi"), node("taken", "cpu=2 memory=2Gi"), node("no-gpu", "cpu=4 memory=4Gi"), node("crowded", "pods=1 cpu=4 memory=4Gi")),
			on{"taken", []*corev1.Pod{pod("p", "cpu=1")}}, on{"crowded", []*corev1.Pod{pod("q", "")}}),
			pod("web", "cpu=2 memory=2Gi"),
			map[string]string{"exact": "", "small": "Insufficient cpu (for good)", "taken": "Insufficient cpu", "no-gpu": "", "crowded": "Too many pods"}},
		"extended resources": {plugins.NodeResourcesFit{}, clusterOf(nodes(node("none", "cpu=2"), node("two", "cpu=2 example.com/gpu=2"), node("used", "cpu=2 example.com/gpu=2")),
			on{"used", []*corev1.Pod{pod("p", "example.com/gpu=2")}}), pod("web", "example.com/gpu=1"),
			map[string]string{"none": "Insufficient example.com/gpu (for good)", "two": "", "used": "Insufficient example.com/gpu"}},
		"a pod that asks for nothing fits where all is taken": {plugins.NodeResourcesFit{}, clusterOf(nodes(node("a", "cpu=1")), on{"a", []*corev1.Pod{pod("p", "cpu=1")}}),
			pod("web", ""), map[string]string{"a": ""}},
		"init containers count one at a time": {plugins.NodeResourcesFit{}, clusterOf(nodes(node("a", "cpu=2"), node("b", "cpu=3"))), pod("web", "cpu=1", func(p *corev1.Pod) {
			for _, cpu := range []string{"cpu=3", "cpu=2"} {
				p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: list(cpu)}})
			}
		}), map[string]string{"a": "Insufficient cpu (for good)", "b": ""}},
		"spread over zones": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones,
			on{"a", many(1, "web app=web", "")}, on{"b", many(1, "wob app=web", "")}, on{"c", many(1, "wub app=web", "")}),
			pod("new app=web", "", spread("zone", "app=web", 1, do)),
			map[string]string{"a": unevenly, "b": unevenly, "c": "", "d": unevenly + " (missing required label) (for good)"}},
		"spread, pods on their way out do not count": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones[:3],
			on{"a", many(2, "web app=web", "", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })}),
			pod("new app=web", "", spread("zone", "app=web", 1, do)), map[string]string{"a": "", "b": "", "c": ""}},
		"spread, too few places": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones[:3],
			on{"a", many(1, "web app=web", "")}, on{"c", many(1, "wub app=web", "")}),
			pod("new app=web", "", spread("zone", "app=web", 1, do, func(c *corev1.TopologySpreadConstraint) { three := int32(3); c.MinDomains = &three })),
			map[string]string{"a": unevenly, "b": unevenly, "c": unevenly}},
		"spread, a place that the pod cannot go to is none": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones[:3], on{"a", many(1, "web app=web", "")}),
			pod("new app=web", "", spread("zone", "app=web", 1, do), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "1"} }),
			map[string]string{"a": "", "b": "", "c": ""}},
		"spread by the template's hash": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones[:3], on{"a", many(3, "old app=web hash=1", "")}),
			pod("new app=web hash=2", "", spread("zone", "app=web", 1, do, func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"hash"} })),
			map[string]string{"a": "", "b": "", "c": ""}},
		"near others": {plugins.InterPodAffinity{}, clusterOf(zones, on{"a", many(1, "cache app=cache", "")}), pod("web", "", near("app=cache", "zone")),
			map[string]string{"a": "", "b": "", "c": "node(s) didn't match pod affinity rules (for good)", "d": "node(s) didn't match pod affinity rules (for good)"}},
		"near its own kind, the first": {plugins.InterPodAffinity{}, clusterOf(zones), pod("web app=web", "", near("app=web", "zone")),
			map[string]string{"a": "", "b": "", "c": "", "d": "node(s) didn't match pod affinity rules (for good)"}},
		"near others of its namespace only": {plugins.InterPodAffinity{}, clusterOf(zones[:1], on{"a", many(1, "cache app=cache", "", func(p *corev1.Pod) { p.Namespace = "other" })}),
			pod("web", "", near("app=cache", "zone")), map[string]string{"a": "node(s) didn't match pod affinity rules (for good)"}},
		"away from others": {plugins.InterPodAffinity{}, clusterOf(zones, on{"a", many(1, "noisy app=noisy", "")}), pod("web", "", apart("app=noisy", "zone")),
			map[string]string{"a": "node(s) didn't match pod anti-affinity rules", "b": "node(s) didn't match pod anti-affinity rules", "c": "", "d": ""}},
		"others stay away from it": {plugins.InterPodAffinity{}, clusterOf(zones, on{"c", many(1, "shy app=shy", "", apart("app=web", "zone"))}), pod("web app=web", ""),
			map[string]string{"a": "", "b": "", "c": "node(s) didn't satisfy existing pods anti-affinity rules", "d": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, verdicts(test.cluster, test.filter, test.pod)); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScores(t *testing.T) {
	two := nodes(node("a", "cpu=4 memory=10000"), node("b", "cpu=6 memory=10000"))
	zones := nodes(node("a zone=1", ""), node("b zone=1", ""), node("c zone=2", ""))
	images := func(n *corev1.Node) {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"nginx:latest"}, SizeBytes: 1023 << 20}}
	}
	soft := corev1.ScheduleAnyway
	for name, test := range map[string]struct {
		scorer  framework.Scorer
		cluster *framework.Cluster
		pod     *corev1.Pod
		want    map[string]string
	}{
		// a: cpu (4-3)/4 = 25, memory 50; b: cpu (6-3)/6 = 50, memory 50.
		"the emptier the better": {plugins.NodeResourcesFit{}, clusterOf(two), pod("web", "cpu=3 memory=5000"), map[string]string{"a": "37→37", "b": "50→50"}},
		"the fuller the better":  {plugins.NodeResourcesFit{Strategy: plugins.MostAllocated}, clusterOf(two), pod("web", "cpu=3 memory=5000"), map[string]string{"a": "62→62", "b": "50→50"}},
		// 100m and 200Mi count for a pod that asks for nothing, twice on a: cpu (1000-200)/1000, memory (2000-400)/2000.
		"pods that ask for nothing count": {plugins.NodeResourcesFit{}, clusterOf(nodes(node("a", "cpu=1 memory=2000Mi"), node("b", "cpu=1 memory=2000Mi")), on{"a", many(1, "p", "")}),
			pod("web", ""), map[string]string{"a": "80→80", "b": "90→90"}},
		// a: |3/4 - 1/2| / 2 = 0.125.
		"balance":            {plugins.NodeResourcesBalancedAllocation{}, clusterOf(two), pod("web", "cpu=3 memory=5000"), map[string]string{"a": "68→68", "b": "75→75"}},
		"balance of nothing": {plugins.NodeResourcesBalancedAllocation{}, clusterOf(two), pod("web", ""), nil},
		"taints less liked":  {plugins.TaintToleration{}, clusterOf(nodes(node("a", ""), node("b", "", taint("x", corev1.TaintEffectPreferNoSchedule)), node("c", "", taint("x", corev1.TaintEffectPreferNoSchedule), taint("y", corev1.TaintEffectPreferNoSchedule)))), pod("web", ""), map[string]string{"a": "0→100", "b": "1→50", "c": "2→0"}},
		"preferred nodes": {plugins.NodeAffinity{}, clusterOf(zones), pod("web", "", func(p *corev1.Pod) {
			affinityOf(p).NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 2, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"1"}}}}},
				{Weight: 3, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}}},
			}}
		}), map[string]string{"a": "2→40", "b": "5→100", "c": "0→0"}},
		// 1023 MiB on one of two nodes count half: 100 * (511.5 - 23) / (1000 - 23).
		"images there": {plugins.ImageLocality{}, clusterOf(nodes(node("a", "", images), node("b", ""))), pod("web", ""), map[string]string{"a": "50→50", "b": "0→0"}},
		"images of a tag that is not there": {plugins.ImageLocality{}, clusterOf(nodes(node("a", "", images))), pod("web", "", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "nginx:1.29" }),
			map[string]string{"a": "0→0"}},
		// Two zones: ln 4 = 1.386 for each pod. a and b: 3 pods, 4.16; c: 1 pod, 1.39.
		"spread over zones": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones, on{"a", many(3, "web app=web", "")}, on{"c", many(1, "wub app=web", "")}),
			pod("new app=web", "", spread("zone", "app=web", 1, soft)), map[string]string{"a": "4→25", "b": "4→25", "c": "1→100"}},
		// Without constraints, by service and controller: per zone as well as per node, ln 5 = 1.609 for three nodes; no labels
		// topology.kubernetes.io/zone here, so only nodes count: 2 for the skew, and 2*1.609 on a.
		"spread by default": {plugins.PodTopologySpread{Siblings: siblings("app=web")}, clusterOf(zones, on{"a", many(2, "web app=web", "")}),
			pod("new app=web", ""), map[string]string{"a": "5→40", "b": "2→100", "c": "2→100"}},
		"spread of a pod that belongs to nothing": {plugins.PodTopologySpread{Siblings: noSiblings}, clusterOf(zones), pod("new app=web", ""), nil},
		"rather near": {plugins.InterPodAffinity{}, clusterOf(zones, on{"a", many(1, "cache app=cache", "")}), pod("web", "", ratherNear("app=cache", "zone", 5)),
			map[string]string{"a": "5→100", "b": "5→100", "c": "0→0"}},
		"rather apart": {plugins.InterPodAffinity{}, clusterOf(zones, on{"a", many(2, "noisy app=noisy", "")}, on{"c", many(1, "noizy app=noisy", "")}), pod("web", "", ratherApart("app=noisy", "kubernetes.io/hostname", 5)),
			map[string]string{"a": "-10→0", "b": "0→100", "c": "-5→50"}},
		"others want it near": {plugins.InterPodAffinity{}, clusterOf(zones, on{"b", []*corev1.Pod{pod("p", "", near("app=web", "zone"))}}, on{"c", []*corev1.Pod{pod("q", "", ratherApart("app=web", "zone", 3))}}), pod("web app=web", ""),
			map[string]string{"a": "1→100", "b": "1→100", "c": "-3→0"}},
		"nobody cares": {plugins.InterPodAffinity{}, clusterOf(zones), pod("web", ""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, points(test.cluster, test.scorer, test.pod)); diff != "" {
				t.Errorf("points (-want +got):\n%s", diff)
			}
		})
	}
}
