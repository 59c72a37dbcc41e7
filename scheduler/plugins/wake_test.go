package plugins_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// using gives a pod a claim.
func using(claim string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
}

func inNamespace(name string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Namespace = name } }

func leaving(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

// things that happen in a cluster whose node "a" is in zone 1, and that no waiting pod has part in.
func things() map[string]framework.Event {
	nodeChange := func(before, after *corev1.Node) framework.Event {
		return framework.Event{Kind: framework.NodeUpdated, OldNode: before, Node: after}
	}
	nodeAdded := func(n *corev1.Node) framework.Event { return framework.Event{Kind: framework.NodeAdded, Node: n} }
	placed := func(p *corev1.Pod) *framework.Pod {
		p.Spec.NodeName = "a"
		return framework.NewPod(p)
	}
	assigned := func(p *corev1.Pod) framework.Event {
		return framework.Event{Kind: framework.PodAssigned, Pod: placed(p)}
	}
	gone := func(p *corev1.Pod) framework.Event { return framework.Event{Kind: framework.PodGone, Pod: placed(p)} }
	podChange := func(before, after *corev1.Pod) framework.Event {
		return framework.Event{Kind: framework.PodUpdated, OldPod: placed(before), Pod: placed(after)}
	}
	claim := func(kind framework.EventKind, namespace, name string) framework.Event {
		return framework.Event{Kind: kind, Claim: &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}}
	}
	volume := func(zones string) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}}
		if zones != "" {
			v.Labels = map[string]string{corev1.LabelTopologyZone: zones, "color": "red"}
		}
		return v
	}
	class := func(mode storagev1.VolumeBindingMode, places ...corev1.TopologySelectorTerm) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "c"}, VolumeBindingMode: &mode, AllowedTopologies: places}
	}
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	noSchedule, small := taint("x", corev1.TaintEffectNoSchedule), "cpu=4 memory=4Gi"
	return map[string]framework.Event{
		"node added":                nodeAdded(node("b", small)),
		"node added in a zone":      nodeAdded(node("b zone=2", small)),
		"node added, too small":     nodeAdded(node("b zone=2", "cpu=1 memory=4Gi")),
		"node added, no pods":       nodeAdded(node("b zone=2", small+" pods=0")),
		"node added, tainted":       nodeAdded(node("b zone=2", small, noSchedule)),
		"node added, cordoned":      nodeAdded(node("b zone=2", small, cordoned)),
		"node unchanged":            nodeChange(node("a zone=1", small), node("a zone=1", small)),
		"node coloured":             nodeChange(node("a zone=1", small), node("a zone=1 color=red", small)),
		"node given a zone":         nodeChange(node("a", small), node("a zone=2", small)),
		"node moved":                nodeChange(node("a zone=1", small), node("a zone=2", small)),
		"node left its zone":        nodeChange(node("a zone=2", small), node("a", small)),
		"node untainted":            nodeChange(node("a zone=1", small, noSchedule), node("a zone=1", small)),
		"node untainted, no zone":   nodeChange(node("a", small, noSchedule), node("a", small)),
		"node tainted":              nodeChange(node("a zone=1", small), node("a zone=1", small, noSchedule)),
		"node uncordoned":           nodeChange(node("a zone=1", small, cordoned), node("a zone=1", small)),
		"node cordoned":             nodeChange(node("a zone=1", small), node("a zone=1", small, cordoned)),
		"node has more cpu":         nodeChange(node("a zone=1", "cpu=1 memory=4Gi"), node("a zone=1", small)),
		"node has more, too small":  nodeChange(node("a zone=1", "cpu=500m"), node("a zone=1", "cpu=1")),
		"node has more memory":      nodeChange(node("a zone=1", "cpu=4 memory=2Gi"), node("a zone=1", small)),
		"node takes more pods":      nodeChange(node("a zone=1", small+" pods=1"), node("a zone=1", small+" pods=2")),
		"node has less cpu":         nodeChange(node("a zone=1", "cpu=8"), node("a zone=1", "cpu=4")),
		"node deleted":              {Kind: framework.NodeDeleted, Node: node("b", small)},
		"node deleted from a zone":  {Kind: framework.NodeDeleted, Node: node("b zone=2", small)},
		"stranger came":             assigned(pod("p app=x", "")),
		"friend came":               assigned(pod("p app=db", "")),
		"friend came elsewhere":     assigned(pod("p app=db", "", inNamespace("other"))),
		"like came":                 assigned(pod("p app=web", "")),
		"friend is leaving":         podChange(pod("p app=db", ""), pod("p app=db", "", leaving)),
		"like is leaving":           podChange(pod("p app=web", ""), pod("p app=web", "", leaving)),
		"stranger became a friend":  podChange(pod("p app=x", ""), pod("p app=db", "")),
		"friend became a stranger":  podChange(pod("p app=db", ""), pod("p app=x", "")),
		"friend was coloured":       podChange(pod("p app=db", ""), pod("p app=db color=red", "")),
		"stranger became alike":     podChange(pod("p app=x", ""), pod("p app=web", "")),
		"like was coloured":         podChange(pod("p app=web", ""), pod("p app=web color=red", "")),
		"pod took less cpu":         podChange(pod("p", "cpu=2"), pod("p", "cpu=1")),
		"pod took less memory":      podChange(pod("p", "memory=2Gi"), pod("p", "memory=1Gi")),
		"pod took more":             podChange(pod("p", "cpu=1"), pod("p", "cpu=2")),
		"stranger went":             gone(pod("p app=x", "")),
		"friend went":               gone(pod("p app=db", "")),
		"friend went elsewhere":     gone(pod("p app=db", "", inNamespace("other"))),
		"like went":                 gone(pod("p app=web", "")),
		"shy one went":              gone(pod("p app=x", "", apart("app=web", "zone"))),
		"port was freed":            gone(pod("p app=x", "", hostPort(80, "", ""))),
		"other port was freed":      gone(pod("p app=x", "", hostPort(81, "", ""))),
		"claim was freed":           gone(pod("p app=x", "", using("data"))),
		"other claim was freed":     gone(pod("p app=x", "", using("more"))),
		"claim was freed elsewhere": gone(pod("p app=x", "", using("data"), inNamespace("other"))),
		"claim added":               claim(framework.ClaimAdded, "default", "data"),
		"claim added elsewhere":     claim(framework.ClaimAdded, "other", "data"),
		"other claim added":         claim(framework.ClaimAdded, "default", "more"),
		"claim updated":             claim(framework.ClaimUpdated, "default", "data"),
		"other claim updated":       claim(framework.ClaimUpdated, "default", "more"),
		"volume added":              {Kind: framework.VolumeAdded, Volume: volume("")},
		"volume updated":            {Kind: framework.VolumeUpdated, OldVolume: volume("1__2"), Volume: volume("2__1")},
		"volume moved":              {Kind: framework.VolumeUpdated, OldVolume: volume("1"), Volume: volume("2")},
		"class added":               {Kind: framework.StorageClassAdded, Class: class(storagev1.VolumeBindingImmediate)},
		"delaying class added":      {Kind: framework.StorageClassAdded, Class: class(storagev1.VolumeBindingWaitForFirstConsumer)},
		"class updated": {Kind: framework.StorageClassUpdated, OldClass: class(storagev1.VolumeBindingImmediate),
			Class: class(storagev1.VolumeBindingImmediate)},
		"class allows other places": {Kind: framework.StorageClassUpdated, OldClass: class(storagev1.VolumeBindingImmediate),
			Class: class(storagev1.VolumeBindingImmediate, corev1.TopologySelectorTerm{})},
		"other namespace made": {Kind: framework.NamespaceLabelled, Namespace: "other", Labels: labels.Set{"team": "a"}},
		"own namespace relabelled": {Kind: framework.NamespaceLabelled, Namespace: "default", OldLabels: labels.Set{"team": "a"},
			Labels: labels.Set{"team": "b"}},
	}
}

// ownChanges are changes to the waiting pod itself.
var ownChanges = map[string]func(*corev1.Pod){
	"itself coloured":         func(p *corev1.Pod) { p.Labels = map[string]string{"app": p.Labels["app"], "color": "red"} },
	"itself counts no more":   func(p *corev1.Pod) { p.Labels = map[string]string{"app": "x"} },
	"itself tolerates":        tolerating(corev1.Toleration{Key: "y", Operator: corev1.TolerationOpExists}),
	"itself tolerates cordon": tolerating(corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists}),
	"itself wants less":       func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu=1") },
	"itself wants more":       func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu=3 memory=2Gi") },
	"itself is leaving":       leaving,
}

// What wakes a pod that a plugin refused, and what does not: of all those things, no others than the ones that are named. They
// are those for which kube-scheduler's plugin has a hint that says so.
func TestWhatWakes(t *testing.T) {
	everyNode := []string{"node added", "node added in a zone", "node added, cordoned", "node added, no pods", "node added, tainted", "node added, too small"}
	inZones := slices.DeleteFunc(slices.Clone(everyNode), func(name string) bool { return name == "node added" })
	relabelled := []string{"node coloured", "node given a zone", "node left its zone", "node moved"}
	anyoneWent := []string{"claim was freed", "claim was freed elsewhere", "friend went", "friend went elsewhere", "like went", "other claim was freed",
		"other port was freed", "port was freed", "shy one went", "stranger went"}
	wantingData := pod("web app=web", "", using("data"))
	spreadOut := func(change ...func(*corev1.TopologySpreadConstraint)) *corev1.Pod {
		return pod("web app=web", "", spread("zone", "app=web", 1, corev1.DoNotSchedule, change...))
	}
	honor := corev1.NodeInclusionPolicyHonor
	spreadWakes := []string{"itself counts no more", "like came", "like went", "node deleted from a zone", "node given a zone", "node left its zone",
		"node moved", "node tainted", "node untainted", "stranger became alike"}
	byTeam := func(p *corev1.Pod) {
		near("app=db", "zone")(p)
		p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = selecting("team=a")
	}
	for name, test := range map[string]struct {
		plugin framework.Waker
		pod    *corev1.Pod
		there  *corev1.Pod // on node a
		wakes  [][]string
	}{
		"NodeName":          {plugins.NodeName{}, pod("web", ""), nil, [][]string{everyNode}},
		"NodeUnschedulable": {plugins.NodeUnschedulable{}, pod("web", ""), nil, [][]string{slices.DeleteFunc(slices.Clone(everyNode), func(name string) bool { return name == "node added, cordoned" }), {"itself tolerates cordon", "node uncordoned"}}},
		"TaintToleration":   {plugins.TaintToleration{}, pod("web", ""), nil, [][]string{slices.DeleteFunc(slices.Clone(everyNode), func(name string) bool { return name == "node added, tainted" }), {"itself tolerates", "itself tolerates cordon", "node untainted", "node untainted, no zone"}}},
		"NodeAffinity": {plugins.NodeAffinity{}, pod("web", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "2"} }), nil,
			[][]string{inZones, {"node given a zone", "node moved"}}},
		"NodePorts": {plugins.NodePorts{}, pod("web", "", hostPort(80, "", "")), nil, [][]string{everyNode, {"port was freed"}}},
		"NodeResourcesFit": {plugins.NodeResourcesFit{}, pod("web app=web", "cpu=2"), nil, [][]string{anyoneWent, {"itself wants less", "node added", "node added in a zone",
			"node added, cordoned", "node added, tainted", "node has more cpu", "node takes more pods", "pod took less cpu"}}},
		"VolumeRestrictions": {plugins.VolumeRestrictions{}, wantingData, nil, [][]string{everyNode, {"claim added", "claim was freed"}}},
		"VolumeBinding": {plugins.VolumeBinding{}, wantingData, nil, [][]string{everyNode, relabelled, {"claim added", "claim updated", "class added",
			"class allows other places", "delaying class added", "volume added", "volume moved", "volume updated"}}},
		"VolumeZone":        {plugins.VolumeZone{}, wantingData, nil, [][]string{everyNode, relabelled, {"claim added", "claim updated", "delaying class added", "volume added", "volume moved"}}},
		"PodTopologySpread": {plugins.PodTopologySpread{}, spreadOut(), nil, [][]string{inZones, spreadWakes}},
		"PodTopologySpread where taints count": {plugins.PodTopologySpread{}, spreadOut(func(c *corev1.TopologySpreadConstraint) { c.NodeTaintsPolicy = &honor }), nil,
			[][]string{inZones, spreadWakes, {"itself tolerates", "itself tolerates cordon"}}},
		"InterPodAffinity": {plugins.InterPodAffinity{}, pod("web app=web", "", near("app=db", "zone")), nil,
			[][]string{inZones, {"friend came", "itself coloured", "itself counts no more", "node given a zone", "node moved", "shy one went", "stranger became a friend"}}},
		"InterPodAffinity, away from others": {plugins.InterPodAffinity{}, pod("web app=web", "", apart("app=db", "zone")), nil,
			[][]string{everyNode, {"friend became a stranger", "friend went", "itself coloured", "itself counts no more", "node left its zone", "node moved", "shy one went"}}},
		// From here on what kube-scheduler overlooks.
		"InterPodAffinity, others stay away": {plugins.InterPodAffinity{}, pod("web app=web", ""), pod("shy", "", apart("app=web", "zone")),
			[][]string{everyNode, {"itself coloured", "itself counts no more", "node left its zone", "node moved", "shy one went"}}},
		"InterPodAffinity, of other namespaces": {plugins.InterPodAffinity{}, pod("web app=web", "", byTeam), nil,
			[][]string{inZones, {"friend came elsewhere", "itself coloured", "itself counts no more", "node given a zone", "node moved", "other namespace made", "shy one went"}}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := clusterOf(nodes(node("a zone=1", "cpu=4")))
			if test.there != nil {
				cluster = clusterOf(nodes(node("a zone=1", "cpu=4")), on{"a", []*corev1.Pod{test.there}})
			}
			cluster.SetNamespace("other", labels.Set{"team": "a"})
			all := things()
			waiting := framework.NewPod(test.pod)
			for name, change := range ownChanges {
				changed := test.pod.DeepCopy()
				change(changed)
				all[name] = framework.Event{Kind: framework.OwnUpdate, OldPod: waiting, Pod: framework.NewPod(changed)}
			}
			var got []string
			for _, name := range slices.Sorted(maps.Keys(all)) {
				event, pod := all[name], waiting
				event.Cluster = cluster
				if event.Kind == framework.OwnUpdate {
					pod = event.Pod
				}
				if test.plugin.Helps(&event, pod) {
					got = append(got, name)
				}
			}
			want := slices.Sorted(slices.Values(slices.Concat(test.wakes...)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what wakes it (-want +got):\n%s", diff)
			}
		})
	}
}
