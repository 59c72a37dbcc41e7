package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// Whatever happens to pods and nodes, after quiet no node has more than it can take, and the pods that still wait are
// those that a scheduler which knows nothing of the past would let wait, too: no event was overlooked.
func TestRandom(t *testing.T) {
	for i := range 8 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Logf("seed %d", seed)
			inBubble(t, three(), func(c *cluster) { play(c, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func play(c *cluster, random *rand.Rand) {
	pods, nodes := client.Of[*corev1.Pod](c.api), client.Of[*corev1.Node](c.api)
	pick := func() *corev1.Pod {
		all, err := pods.List(c.ctx, "default", metav1.ListOptions{})
		if err != nil || len(all) == 0 {
			return nil
		}
		return all[random.IntN(len(all))]
	}
	for step := range 150 {
		switch n := random.IntN(20); {
		case n < 9:
			c.create(randomPod(random, fmt.Sprint(string("abc"[random.IntN(3)]), "-", step)))
		case n < 14:
			if pod := pick(); pod != nil {
				c.delete(pod.Name)
			}
		case n < 16: // its kubelet ends it
			if pod := pick(); pod != nil {
				edit(c, "default", pod.Name, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, "status")
			}
		case n < 17:
			name := fmt.Sprint("extra-", random.IntN(3))
			if _, err := nodes.Get(c.ctx, "", name); err == nil {
				removeNode(c, name)
			} else {
				c.addNode(makeNode(name, "2", "4Gi", func(n *corev1.Node) { n.Labels["disk"] = "ssd" }))
			}
		default:
			c.updateNode(fmt.Sprint("worker-", 1+random.IntN(2)), func(n *corev1.Node) {
				switch random.IntN(4) {
				case 0:
					n.Spec.Unschedulable = !n.Spec.Unschedulable
				case 1:
					n.Labels["disk"] = []string{"ssd", "hdd"}[random.IntN(2)]
				case 2:
					n.Labels[corev1.LabelTopologyZone] = fmt.Sprint(random.IntN(2))
				case 3:
					if len(n.Spec.Taints) > 0 {
						n.Spec.Taints = nil
					} else {
						tainted("moody")(n)
					}
				}
			})
		}
		if random.IntN(3) == 0 {
			c.settle()
		}
		if random.IntN(5) == 0 {
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		}
	}
	time.Sleep(time.Minute)
	c.settle()
	waiting := checkCapacity(c)
	defer c.startScheduler()()
	c.settle()
	for name := range waiting {
		if node := c.pod(name).Spec.NodeName; node != "" {
			c.t.Errorf("pod %s waited, though %s can run it", name, node)
		}
	}
}

func randomPod(random *rand.Rand, name string) *corev1.Pod {
	return makePod(name, []string{"", "500m", "1", "2500m"}[random.IntN(4)], func(p *corev1.Pod) {
		switch random.IntN(8) {
		case 0:
			p.Spec.NodeSelector = map[string]string{"disk": "ssd"}
		case 1:
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		case 2:
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelHostname,
				WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}
		case 3:
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
				{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}}}}}
		case 4:
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
				{TopologyKey: corev1.LabelTopologyZone, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}}}}}}
		case 5:
			p.Spec.Tolerations = []corev1.Toleration{{Key: "moody", Operator: corev1.TolerationOpExists}}
		}
	})
}

// removeNode removes a node with its pods, as the node lifecycle controller would in time.
func removeNode(c *cluster, name string) {
	all, err := client.Of[*corev1.Pod](c.api).List(c.ctx, "default", metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := client.Of[*corev1.Node](c.api).Delete(c.ctx, "", name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.settle()
	for _, pod := range all {
		if pod.Spec.NodeName == name {
			c.delete(pod.Name)
		}
	}
}

// checkCapacity returns the pods that have no node.
func checkCapacity(c *cluster) map[string]bool {
	all, err := client.Of[*corev1.Pod](c.api).List(c.ctx, "default", metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	waiting, taken := map[string]bool{}, map[string]resource.Quantity{}
	for _, pod := range all {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
		case pod.Spec.NodeName == "":
			waiting[pod.Name] = true
		default:
			sum := taken[pod.Spec.NodeName]
			sum.Add(pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU])
			taken[pod.Spec.NodeName] = sum
		}
	}
	nodes, err := client.Of[*corev1.Node](c.api).List(c.ctx, "", metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, node := range nodes {
		if sum := taken[node.Name]; sum.Cmp(node.Status.Allocatable[corev1.ResourceCPU]) > 0 {
			c.t.Errorf("node %s has %v of cpu taken", node.Name, &sum)
		}
	}
	return waiting
}
