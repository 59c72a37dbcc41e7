package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet"
)

const controlPlaneName = "control-plane"

// controlPlaneRole is the label of the control plane's node, and the key of the taint that keeps pods away from it.
const controlPlaneRole = "node-role.kubernetes.io/control-plane"

// nodePlan is a node before it exists.
type nodePlan struct {
	name   string
	number int
	taints []corev1.Taint
}

// planOf is the plan of the node with a number: 0 is the control plane, the others are workers.
func planOf(number int) nodePlan {
	if number == controlPlaneNumber {
		return nodePlan{name: controlPlaneName, taints: []corev1.Taint{{Key: controlPlaneRole, Effect: corev1.TaintEffectNoSchedule}}}
	}
	return nodePlan{name: fmt.Sprintf("worker-%d", number), number: number}
}

// nodePlans are the nodes that the cluster begins with.
func (c *Cluster) nodePlans() []nodePlan {
	var plans []nodePlan
	if c.firstNode == controlPlaneNumber {
		plans = append(plans, planOf(controlPlaneNumber))
	}
	for _, number := range c.config.workers {
		plans = append(plans, planOf(number))
	}
	return plans
}

// nodeRanges are the nodes' names by their ranges of pod addresses, also of nodes that may come.
func (c *Cluster) nodeRanges() map[string]string {
	ranges := map[string]string{}
	for number := range c.ranges.mostWorkers() + 1 {
		ranges[c.ranges.NodePods(number).String()] = planOf(number).name
	}
	return ranges
}

// maxPods is how many pods a kubelet takes by default.
const maxPods = 110

// node makes the kubelet of a node, and what runs it.
func (c *Cluster) node(plan nodePlan) (*kubelet.Kubelet, []part, error) {
	runtime, err := c.machines.node(plan.name, c.ranges.NodePods(plan.number))
	if err != nil {
		return nil, nil, fmt.Errorf("make node %s: %w", plan.name, err)
	}
	own := c.cuttable(plan.name, c.as(node(plan.name)))
	events := client.NewRecorder(own, "kubelet", plan.name)
	k, err := kubelet.New(kubelet.Config{
		NodeName: plan.name, Client: own, Runtime: runtime, Events: events, Machine: c.machine,
		Taints:   plan.taints,
		Capacity: corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(maxPods, resource.DecimalSI)},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: c.ranges.Node(plan.number).String()},
			{Type: corev1.NodeHostName, Address: plan.name},
		},
		PodCIDR:       c.ranges.NodePods(plan.number).String(),
		ClusterDomain: Domain, ClusterDNS: []string{c.ranges.DNS.String()},
		AllowPrivileged: c.config.AllowPrivileged, AllowHostPath: c.config.AllowHostPath, AllowHostNetwork: c.config.AllowHostNetwork,
		VolumeRoot: c.volumeRoot(), FailProbe: c.failProbe,
	})
	if err != nil {
		return nil, nil, err
	}
	return k, []part{events.Run, k.Run}, nil
}

// run runs parts side by side and returns when all have ended.
func run(ctx context.Context, parts []part) {
	var group sync.WaitGroup
	for _, p := range parts {
		group.Go(func() { p(ctx) })
	}
	group.Wait()
}

// nodesTime bounds how long the nodes may take to be ready.
const nodesTime = 2 * time.Minute

// waitForNodes returns when every node that the cluster begins with takes pods: it is Ready, and the node controller has seen
// that. Otherwise the first pods of a user in a hurry would begin with a warning that they fit nowhere.
func (c *Cluster) waitForNodes(ctx context.Context) error {
	open := func(n *corev1.Node) bool {
		return nodeReady(n) && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	}
	if err := c.waitFor(ctx, c.nodePlans(), open); err != nil || c.firstNode != controlPlaneNumber {
		return err
	}
	return c.labelControlPlane(ctx)
}

// waitFor returns when nodes are as they shall be.
func (c *Cluster) waitFor(ctx context.Context, plans []nodePlan, good func(*corev1.Node) bool) error {
	ctx, cancel := context.WithTimeout(ctx, nodesTime)
	defer cancel()
	waiting := map[string]bool{}
	for _, plan := range plans {
		waiting[plan.name] = true
	}
	err := until(ctx, c.as(component("kube-scheduler")), func(n *corev1.Node) bool {
		if good(n) {
			delete(waiting, n.Name)
		}
		return len(waiting) == 0
	})
	if err != nil {
		return fmt.Errorf("%d of %d nodes were not ready in time: %w", len(waiting), len(plans), err)
	}
	return nil
}

// waitForAccount returns when the namespace default has its service account: before, every pod in it is refused.
func (c *Cluster) waitForAccount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodesTime)
	defer cancel()
	err := until(ctx, c.as(component("kube-controller-manager")), func(a *corev1.ServiceAccount) bool {
		return a.Namespace == metav1.NamespaceDefault && a.Name == "default"
	})
	if err != nil {
		return fmt.Errorf("the service account of the namespace default was not made in time: %w", err)
	}
	return nil
}

// until watches the objects of one type until one is the last that was waited for.
func until[T client.Object](ctx context.Context, c client.Interface, last func(T) bool) error {
	informers := client.NewInformers(c, nil)
	defer informers.Wait()
	watching, found := context.WithCancel(ctx)
	defer found()
	tell := func(object T) {
		if watching.Err() == nil && last(object) {
			found()
		}
	}
	client.InformerFor[T](informers).Handle(client.Handler[T]{Add: tell, Update: func(_, object T) { tell(object) }})
	informers.Start(watching)
	<-watching.Done()
	return ctx.Err()
}

// labelControlPlane names the control plane's role, as kubeadm does: a kubelet may not give itself such a label.
func (c *Cluster) labelControlPlane(ctx context.Context) error {
	patch := []byte(`{"metadata":{"labels":{"` + controlPlaneRole + `":""}}}`)
	_, err := client.Of[*corev1.Node](c.AdminClient()).Patch(ctx, "", controlPlaneName, types.MergePatchType, patch)
	return err
}

func nodeReady(n *corev1.Node) bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
