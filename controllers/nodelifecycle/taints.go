package nodelifecycle

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// conditionTaints say which state of which condition keeps pods away.
var conditionTaints = []struct {
	condition corev1.NodeConditionType
	state     corev1.ConditionStatus
	taint     string
}{
	{corev1.NodeReady, corev1.ConditionFalse, corev1.TaintNodeNotReady},
	{corev1.NodeReady, corev1.ConditionUnknown, corev1.TaintNodeUnreachable},
	{corev1.NodeMemoryPressure, corev1.ConditionTrue, corev1.TaintNodeMemoryPressure},
	{corev1.NodeDiskPressure, corev1.ConditionTrue, corev1.TaintNodeDiskPressure},
	{corev1.NodeNetworkUnavailable, corev1.ConditionTrue, corev1.TaintNodeNetworkUnavailable},
	{corev1.NodePIDPressure, corev1.ConditionTrue, corev1.TaintNodePIDPressure},
}

// taint gives a node the taints that its conditions call for: those against new pods at once, those against running pods
// as fast as its zone's state allows. It returns the node as it is then, and how long until a taint that has to wait.
func (c *Controller) taint(ctx context.Context, node *corev1.Node) (*corev1.Node, time.Duration, error) {
	managed := map[corev1.Taint]bool{} // by key and effect: whether it should be there
	for _, rule := range conditionTaints {
		condition := controllers.NodeCondition(node, rule.condition)
		noSchedule := corev1.Taint{Key: rule.taint, Effect: corev1.TaintEffectNoSchedule}
		managed[noSchedule] = managed[noSchedule] || condition != nil && condition.Status == rule.state
	}
	managed[corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}] = node.Spec.Unschedulable

	evict, wait := c.evictionTaint(node)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		managed[corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}] = evict == key
	}

	taints := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(taint corev1.Taint) bool {
		wanted, ours := managed[corev1.Taint{Key: taint.Key, Effect: taint.Effect}]
		return ours && !wanted
	})
	// In the order of the node's conditions, then cordoning, then eviction.
	order := []corev1.Taint{}
	for _, condition := range node.Status.Conditions {
		for _, rule := range conditionTaints {
			if rule.condition == condition.Type && rule.state == condition.Status {
				order = append(order, corev1.Taint{Key: rule.taint, Effect: corev1.TaintEffectNoSchedule})
			}
		}
	}
	order = append(order, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule},
		corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
		corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute})
	for _, taint := range order {
		if managed[taint] && !hasTaint(taints, taint) {
			taint.TimeAdded = ptr.To(metav1.Now())
			taints = append(taints, taint)
		}
	}
	if sameTaints(taints, node.Spec.Taints) {
		return node, wait, nil
	}
	loop.Say(ctx, "SetTaints", "taints", taintNames(taints))
	changed := node.DeepCopy()
	changed.Spec.Taints = taints
	written, err := client.Of[*corev1.Node](c.Client).Update(ctx, changed)
	if err != nil {
		return node, 0, err
	}
	return written, wait, nil
}

// evictionTaint says which taint against running pods a node should have now, if any. One that has it keeps it while the
// node is not ready; a new one may have to wait for its turn.
func (c *Controller) evictionTaint(node *corev1.Node) (key string, wait time.Duration) {
	ready := controllers.NodeCondition(node, corev1.NodeReady)
	if ready == nil || ready.Status == corev1.ConditionTrue || c.zones.allDown() {
		return "", 0
	}
	key = corev1.TaintNodeNotReady
	if ready.Status == corev1.ConditionUnknown {
		key = corev1.TaintNodeUnreachable
	}
	if hasTaint(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}) ||
		hasTaint(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}) {
		return key, 0
	}
	if wait, ok := c.zones.take(node); !ok {
		return "", wait
	}
	return key, 0
}

func hasTaint(taints []corev1.Taint, taint corev1.Taint) bool {
	return slices.ContainsFunc(taints, func(other corev1.Taint) bool { return other.Key == taint.Key && other.Effect == taint.Effect })
}

func sameTaints(a, b []corev1.Taint) bool {
	return slices.EqualFunc(a, b, func(x, y corev1.Taint) bool { return x.Key == y.Key && x.Effect == y.Effect && x.Value == y.Value })
}

func taintNames(taints []corev1.Taint) []string {
	var names []string
	for _, taint := range taints {
		names = append(names, taint.ToString())
	}
	return names
}
