package plugins_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// What helps a pod that a plugin refused, and what does not.
func TestHelps(t *testing.T) {
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	full := clusterOf(nodes(node("a zone=1", "cpu=2")), on{"a", many(1, "p", "cpu=2")})
	roomy := clusterOf(nodes(node("a zone=1", "cpu=2")), on{"a", many(1, "p", "cpu=1")})
	added := func(n *corev1.Node) framework.Event { return framework.Event{Kind: framework.NodeAdded, Node: n} }
	updated := func(old, n *corev1.Node) framework.Event {
		return framework.Event{Kind: framework.NodeUpdated, OldNode: old, Node: n}
	}
	about := func(kind framework.EventKind, p *corev1.Pod) framework.Event {
		p.Spec.NodeName = "a"
		return framework.Event{Kind: kind, Pod: framework.NewPod(p)}
	}
	selective := pod("web", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "1"} })
	big := pod("web", "cpu=1")
	for name, test := range map[string]struct {
		plugin  framework.Waker
		pod     *corev1.Pod
		cluster *framework.Cluster
		event   framework.Event
		want    bool
	}{
		"room was made":                  {plugins.NodeResourcesFit{}, big, roomy, about(framework.PodGone, pod("x", "cpu=1")), true},
		"not enough room was made":       {plugins.NodeResourcesFit{}, big, full, about(framework.PodGone, pod("x", "cpu=1")), false},
		"a pod came":                     {plugins.NodeResourcesFit{}, big, roomy, about(framework.PodAssigned, pod("x", "")), false},
		"a node that fits":               {plugins.NodeResourcesFit{}, big, roomy, added(node("a", "cpu=2")), true},
		"a node's labels and room":       {plugins.NodeResourcesFit{}, big, roomy, updated(node("a", "cpu=2"), node("a x=y", "cpu=2")), false},
		"a node grew":                    {plugins.NodeResourcesFit{}, big, roomy, updated(node("a", "cpu=1"), node("a", "cpu=2")), true},
		"taint taken away":               {plugins.TaintToleration{}, big, nil, updated(node("a", "", taint("x", corev1.TaintEffectNoSchedule)), node("a", "")), true},
		"other taint":                    {plugins.TaintToleration{}, big, nil, updated(node("a", "", taint("x", corev1.TaintEffectNoSchedule)), node("a", "", taint("y", corev1.TaintEffectNoSchedule))), false},
		"uncordoned":                     {plugins.NodeUnschedulable{}, big, nil, updated(node("a", "", cordoned), node("a", "")), true},
		"a cordoned node":                {plugins.NodeUnschedulable{}, big, nil, added(node("a", "", cordoned)), false},
		"the right label":                {plugins.NodeAffinity{}, selective, nil, updated(node("a", ""), node("a zone=1", "")), true},
		"the wrong label":                {plugins.NodeAffinity{}, selective, nil, updated(node("a", ""), node("a zone=2", "")), false},
		"the right label all the time":   {plugins.NodeAffinity{}, selective, nil, updated(node("a zone=1", ""), node("a zone=1 x=y", "")), false},
		"its port was freed":             {plugins.NodePorts{}, pod("web", "", hostPort(80, "", "")), nil, about(framework.PodGone, pod("x", "", hostPort(80, "", ""))), true},
		"another port was freed":         {plugins.NodePorts{}, pod("web", "", hostPort(80, "", "")), nil, about(framework.PodGone, pod("x", "", hostPort(81, "", ""))), false},
		"a friend came":                  {plugins.InterPodAffinity{}, pod("web", "", near("app=db", "zone")), full, about(framework.PodAssigned, pod("db app=db", "")), true},
		"a stranger came":                {plugins.InterPodAffinity{}, pod("web", "", near("app=db", "zone")), full, about(framework.PodAssigned, pod("x app=x", "")), false},
		"a rival went":                   {plugins.InterPodAffinity{}, pod("web", "", apart("app=db", "zone")), full, about(framework.PodGone, pod("db app=db", "")), true},
		"one whose rival it is went":     {plugins.InterPodAffinity{}, pod("web app=web", ""), full, about(framework.PodGone, pod("db", "", apart("app=web", "zone"))), true},
		"a pod that counts went":         {plugins.PodTopologySpread{}, pod("web app=web", "", spread("zone", "app=web", 1, corev1.DoNotSchedule)), full, about(framework.PodGone, pod("x app=web", "")), true},
		"a pod that does not count went": {plugins.PodTopologySpread{}, pod("web app=web", "", spread("zone", "app=web", 1, corev1.DoNotSchedule)), full, about(framework.PodGone, pod("x app=x", "")), false},
		"a node in another place":        {plugins.PodTopologySpread{}, pod("web app=web", "", spread("zone", "app=web", 1, corev1.DoNotSchedule)), full, added(node("b zone=2", "")), true},
		"a node that is nowhere":         {plugins.PodTopologySpread{}, pod("web app=web", "", spread("zone", "app=web", 1, corev1.DoNotSchedule)), full, added(node("b", "")), false},
	} {
		t.Run(name, func(t *testing.T) {
			test.event.Cluster = test.cluster
			if got := test.plugin.Helps(&test.event, framework.NewPod(test.pod)); got != test.want {
				t.Errorf("%s helps: %v, want %v", &test.event, got, test.want)
			}
		})
	}
}
