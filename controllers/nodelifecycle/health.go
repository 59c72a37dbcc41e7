package nodelifecycle

import (
	"context"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// health remembers when each node last gave a sign of life, by our own clock: the kubelet's may differ.
type health struct {
	mu   sync.Mutex
	seen map[string]*signs
}

type signs struct {
	at               time.Time
	heartbeat, renew time.Time // the kubelet's times, to tell new signs from old ones
}

func (h *health) of(name string) *signs {
	if h.seen == nil {
		h.seen = map[string]*signs{}
	}
	s, ok := h.seen[name]
	if !ok {
		s = &signs{at: time.Now()}
		h.seen[name] = s
	}
	return s
}

// posted notes a node's status. One that never posted any is silent since it was made.
func (h *health) posted(node *corev1.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.seen[node.Name]
	s, ready := h.of(node.Name), controllers.NodeCondition(node, corev1.NodeReady)
	switch {
	case ready == nil && !known:
		s.at = node.CreationTimestamp.Time
	case ready != nil && !ready.LastHeartbeatTime.Time.Equal(s.heartbeat):
		s.heartbeat, s.at = ready.LastHeartbeatTime.Time, time.Now()
	}
}

// renewed notes a node's lease.
func (h *health) renewed(lease *coordinationv1.Lease) {
	if lease.Namespace != corev1.NamespaceNodeLease || lease.Spec.RenewTime == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.of(lease.Name); lease.Spec.RenewTime.After(s.renew) {
		s.renew, s.at = lease.Spec.RenewTime.Time, time.Now()
	}
}

func (h *health) silentFor(name string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.of(name).at)
}

func (h *health) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.seen {
		s.at = time.Now()
	}
}

func (h *health) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seen, name)
}

// judged are the conditions that only a kubelet can know.
var judged = []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure}

// judge sets a silent node's conditions to Unknown. It returns the node as it is then, and when to judge it again.
func (c *Controller) judge(ctx context.Context, node *corev1.Node) (*corev1.Node, time.Duration, error) {
	grace := c.options.GracePeriod
	if controllers.NodeCondition(node, corev1.NodeReady) == nil {
		grace = c.options.StartupGracePeriod
	}
	silent := c.health.silentFor(node.Name)
	if silent < grace {
		return node, grace - silent, nil
	}
	changed := node.DeepCopy()
	before := controllers.NodeCondition(node, corev1.NodeReady)
	for _, kind := range judged {
		condition := controllers.NodeCondition(changed, kind)
		switch {
		case condition == nil:
			changed.Status.Conditions = append(changed.Status.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.Now(),
			})
		case condition.Status != corev1.ConditionUnknown:
			condition.Status, condition.Reason, condition.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
			condition.LastTransitionTime = metav1.Now()
		}
	}
	if before != nil && before.Status == corev1.ConditionUnknown {
		return node, 0, nil // said already; its next sign of life will ask
	}
	loop.Say(ctx, "NodeSilent", "for", silent.String())
	written, err := client.Of[*corev1.Node](c.Client).UpdateStatus(ctx, changed)
	if err != nil {
		return node, 0, err
	}
	if before != nil && before.Status == corev1.ConditionTrue {
		c.say(node, corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", node.Name)
		c.setLost(node.Name, true)
	}
	return written, 0, nil
}

// markPods makes the pods of a node that was ready when it fell silent not ready. Of one whose kubelet itself says that it
// is not ready, the kubelet goes on to say how the pods are.
func (c *Controller) markPods(ctx context.Context, node *corev1.Node) error {
	if !c.isLost(node.Name) {
		return nil
	}
	if ready := controllers.NodeCondition(node, corev1.NodeReady); ready == nil || ready.Status != corev1.ConditionTrue {
		pods := controllers.OnNode(c.pods, node.Name)
		loop.Say(ctx, "MarkPodsNotReady", "pods", len(pods))
		if err := controllers.Parallel(len(pods), func(i int) error { return c.markPod(ctx, pods[i]) }); err != nil {
			return err
		}
	}
	c.setLost(node.Name, false)
	return nil
}

func (c *Controller) markPod(ctx context.Context, pod *corev1.Pod) error {
	ready := controllers.PodCondition(&pod.Status, corev1.PodReady)
	if ready == nil || ready.Status == corev1.ConditionFalse {
		return nil
	}
	changed, condition := pod.DeepCopy(), *ready
	condition.Status = corev1.ConditionFalse
	controllers.SetPodCondition(&changed.Status, condition)
	if _, err := client.Of[*corev1.Pod](c.Client).UpdateStatus(ctx, changed); err != nil {
		return controllers.IgnoreNotFound(err)
	}
	c.Events.Event(pod, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	return nil
}

func (c *Controller) isLost(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost[name]
}

func (c *Controller) setLost(name string, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lost {
		c.lost[name] = true
	} else {
		delete(c.lost, name)
	}
}

// sameConditions compares what conditions say, not when.
func sameConditions(a, b *corev1.Node) bool {
	states := func(node *corev1.Node) map[corev1.NodeConditionType]corev1.ConditionStatus {
		set := map[corev1.NodeConditionType]corev1.ConditionStatus{}
		for _, condition := range node.Status.Conditions {
			set[condition.Type] = condition.Status
		}
		return set
	}
	return maps.Equal(states(a), states(b))
}

func sameLabels(a, b *corev1.Node) bool { return maps.Equal(a.Labels, b.Labels) }
