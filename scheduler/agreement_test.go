package scheduler_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"

	"kubette/client"
	"kubette/scheduler"
)

// agreement is a cluster, a pod, and what kube-scheduler v1.37.2 with its default profile said about the two. The
// clusters are random; what is recorded is the answer.
type agreement struct {
	Seed         uint64
	Namespaces   []*corev1.Namespace
	Nodes        []*corev1.Node
	Services     []*corev1.Service
	ReplicaSets  []*appsv1.ReplicaSet
	StatefulSets []*appsv1.StatefulSet
	Budgets      []*policyv1.PodDisruptionBudget
	Classes      []*storagev1.StorageClass
	Volumes      []*corev1.PersistentVolume
	Claims       []*corev1.PersistentVolumeClaim
	Pods         []*corev1.Pod // on the nodes already
	Pod          *corev1.Pod   // the one to place
	Want         answer
}

// answer is what a scheduler decided about a pod.
type answer struct {
	Message   string
	Best      []string // the nodes that have the most points
	Nodes     map[string]nodeAnswer
	Nominated string
	Victims   []string
}

type nodeAnswer struct {
	Plugin, Code string // of the refusal
	Reasons      []string
	Scores       map[string]int64 // weighted, those that are not 0
	Total        int64
}

// Kubette's scheduler says of each node what kube-scheduler says: which plugin refuses it and in which words, or how many
// points each plugin gives it; and it evicts the same pods.
func TestAgreesWithKubeScheduler(t *testing.T) {
	file, err := os.Open("testdata/agreement.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a agreement
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(a.Seed), func(t *testing.T) {
			inBubble(t, nil, func(c *cluster) {
				a.build(c)
				c.settle()
				if diff := cmp.Diff(a.Want, decided(c, &a)); diff != "" {
					t.Errorf("(-kube-scheduler +kubette):\n%s", diff)
				}
			})
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// build makes the cluster, the pod to place last. Claims, volumes and budgets get the status that controllers would give.
func (a *agreement) build(c *cluster) {
	for _, namespace := range a.Namespaces {
		if namespace.Name == "default" { // there already
			edit(c, "", namespace.Name, func(n *corev1.Namespace) { n.Labels = namespace.Labels })
			continue
		}
		give(c, namespace)
	}
	for _, node := range a.Nodes {
		c.addNode(node)
	}
	for _, service := range a.Services {
		give(c, service)
	}
	for _, set := range a.ReplicaSets {
		give(c, set)
	}
	for _, set := range a.StatefulSets {
		give(c, set)
	}
	for _, class := range a.Classes {
		give(c, class)
	}
	for _, budget := range a.Budgets {
		withStatus(c, budget, func(b *policyv1.PodDisruptionBudget) { b.Status = budget.Status })
	}
	claims := map[string]*corev1.PersistentVolumeClaim{}
	for _, claim := range a.Claims {
		claims[claim.Name] = withStatus(c, claim, func(p *corev1.PersistentVolumeClaim) { p.Status = claim.Status })
	}
	for _, volume := range a.Volumes {
		if ref := volume.Spec.ClaimRef; ref != nil {
			ref.UID = claims[ref.Name].UID
		}
		withStatus(c, volume, func(v *corev1.PersistentVolume) { v.Status = volume.Status })
	}
	for _, pod := range a.Pods {
		withStatus(c, pod, func(p *corev1.Pod) { p.Status = pod.Status })
	}
	give(c, a.Pod)
}

// withStatus stores an object, and then its status.
func withStatus[T client.Object](c *cluster, object T, set func(T)) T {
	c.t.Helper()
	created := give(c, object)
	edit(c, created.GetNamespace(), created.GetName(), set, "status")
	return created
}

// decided is what the scheduler decided first about the pod.
func decided(c *cluster, a *agreement) answer {
	decisions := c.scheduler.Decisions(a.Pod.Namespace, a.Pod.Name)
	if len(decisions) == 0 {
		c.t.Fatal("nothing was decided about the pod")
	}
	d := decisions[0]
	got := answer{Message: d.Message, Nodes: map[string]nodeAnswer{}}
	if d.Refusal != nil { // of all nodes
		for _, node := range a.Nodes {
			got.Nodes[node.Name] = refusedBy(d.Refusal)
		}
	}
	for _, node := range d.Nodes {
		if node.Refusal != nil {
			got.Nodes[node.Node] = refusedBy(node.Refusal)
			continue
		}
		scored := nodeAnswer{Total: node.Total}
		for _, score := range node.Scores {
			if score.Weighted != 0 {
				if scored.Scores == nil {
					scored.Scores = map[string]int64{}
				}
				scored.Scores[score.Plugin] = score.Weighted
			}
		}
		got.Nodes[node.Node] = scored
	}
	if slices.Contains(a.Want.Best, d.Node) {
		got.Best = a.Want.Best // between equals it is chance
	} else if d.Node != "" {
		got.Best = []string{d.Node}
	}
	if d.Preemption != nil {
		got.Nominated, got.Victims = d.Preemption.Node, slices.Sorted(slices.Values(d.Preemption.Victims))
	}
	return got
}

func refusedBy(r *scheduler.Refusal) nodeAnswer {
	return nodeAnswer{Plugin: r.Plugin, Code: r.Code, Reasons: r.Reasons}
}
