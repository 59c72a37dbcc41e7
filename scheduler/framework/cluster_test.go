package framework_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"kubette/scheduler/framework"
)

// What the cluster keeps up to date bit by bit is what one would count by looking at everything.
func TestClusterKeepsCount(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := framework.NewCluster()
	nodes := map[string]*corev1.Node{}
	placed := map[types.UID]*corev1.Pod{}
	selectors := []labels.Selector{labels.Everything(), labels.SelectorFromSet(labels.Set{"app": "a"}), labels.SelectorFromSet(labels.Set{"app": "b", "tier": "1"})}
	for step := range 2000 {
		name := fmt.Sprint("node-", random.IntN(5))
		switch n := random.IntN(10); {
		case n == 0:
			delete(nodes, name)
			c.RemoveNode(name)
		case n < 3:
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
			if zone := random.IntN(3); zone > 0 {
				node.Labels[corev1.LabelTopologyZone] = fmt.Sprint(zone)
			}
			nodes[name] = node
			c.SetNode(node)
		case n < 7:
			uid := types.UID(fmt.Sprint(step))
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(uid), UID: uid, Namespace: fmt.Sprint("ns-", random.IntN(2)),
				Labels: map[string]string{"app": string("abc"[random.IntN(3)]), "tier": fmt.Sprint(random.IntN(2))}}}
			if random.IntN(4) == 0 {
				pod.DeletionTimestamp = &metav1.Time{}
			}
			pod.Spec.NodeName = name
			pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(random.Int64N(500), resource.DecimalSI)}}}}
			placed[uid] = pod
			c.AddPod(framework.NewPod(pod), name)
		default:
			for uid, pod := range placed {
				c.RemovePod(uid, pod.Spec.NodeName)
				delete(placed, uid)
				break
			}
		}
		if len(c.Nodes()) != len(nodes) {
			t.Fatalf("step %d: %d nodes, want %d", step, len(c.Nodes()), len(nodes))
		}
		selector, namespace := selectors[random.IntN(len(selectors))], fmt.Sprint("ns-", random.IntN(2))
		compareCounts(t, step, c, nodes, placed, namespace, selector)
	}
}

func compareCounts(t *testing.T, step int, c *framework.Cluster, nodes map[string]*corev1.Node, placed map[types.UID]*corev1.Pod, namespace string, selector labels.Selector) {
	t.Helper()
	wantNodes, wantZones, wantCPU := map[string]int{}, map[string]int{}, map[string]int64{}
	for _, pod := range placed {
		node, there := nodes[pod.Spec.NodeName]
		if !there {
			continue
		}
		cpu := pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU]
		wantCPU[node.Name] += cpu.MilliValue()
		if pod.DeletionTimestamp == nil && pod.Namespace == namespace && selector.Matches(labels.Set(pod.Labels)) {
			wantNodes[node.Name]++
			wantZones[node.Labels[corev1.LabelTopologyZone]]++
		}
	}
	gotNodes, gotZones := map[string]int{}, map[string]int{}
	for node, n := range c.CountMatching(namespace, selector) {
		if node.Node != nil {
			gotNodes[node.Name] = n
		}
	}
	for zone, n := range c.CountInPlaces(namespace, selector, corev1.LabelTopologyZone) {
		if n != 0 {
			gotZones[zone] = n
		}
	}
	if diff := cmp.Diff(wantNodes, gotNodes); diff != "" {
		t.Fatalf("step %d: by node (-want +got):\n%s", step, diff)
	}
	if diff := cmp.Diff(wantZones, gotZones); diff != "" {
		t.Fatalf("step %d: by zone (-want +got):\n%s", step, diff)
	}
	for _, node := range c.Nodes() {
		if node.Requested.MilliCPU != wantCPU[node.Name] {
			t.Fatalf("step %d: %s has %d milli cpu taken, want %d", step, node.Name, node.Requested.MilliCPU, wantCPU[node.Name])
		}
	}
}

func TestNodesTakeTurnsByZone(t *testing.T) {
	c := framework.NewCluster()
	for name, zone := range map[string]string{"a1": "a", "a2": "a", "a3": "a", "b1": "b", "c1": "c", "c2": "c"} {
		c.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}})
	}
	var got []string
	for _, node := range c.Nodes() {
		got = append(got, node.Name)
	}
	if diff := cmp.Diff([]string{"a1", "b1", "c1", "a2", "c2", "a3"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
