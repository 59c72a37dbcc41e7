package plugins

import (
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"kubette/scheduler/framework"
)

var tainted = framework.RefuseForGood("node(s) had untolerated taint(s)")

// TaintToleration keeps pods off nodes with a taint that they do not tolerate. A taint with the effect NoSchedule or
// NoExecute forbids the node; each with PreferNoSchedule only makes it less liked.
type TaintToleration struct{}

// Name implements framework.Plugin.
func (TaintToleration) Name() string { return "TaintToleration" }

// PreFilter implements framework.Filter.
func (TaintToleration) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	return taintCheck(c.Pod.Spec.Tolerations), nil
}

type taintCheck []corev1.Toleration

func (tolerations taintCheck) Check(node *framework.Node) *framework.Status {
	if !tolerates(tolerations, node.Node) {
		return tainted
	}
	return nil
}

func tolerates(tolerations []corev1.Toleration, node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect != corev1.TaintEffectPreferNoSchedule &&
			!scheduling.TolerationsTolerateTaint(klog.Logger{}, tolerations, taint, true) {
			return false
		}
	}
	return true
}

// PreScore implements framework.Scorer.
func (TaintToleration) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	var soft taintScore
	for _, t := range c.Pod.Spec.Tolerations {
		if t.Effect == "" || t.Effect == corev1.TaintEffectPreferNoSchedule {
			soft = append(soft, t)
		}
	}
	return soft
}

type taintScore []corev1.Toleration

// Score counts the taints that the pod would rather not have.
func (tolerations taintScore) Score(node *framework.Node) int64 {
	var count int64
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule &&
			!scheduling.TolerationsTolerateTaint(klog.Logger{}, tolerations, taint, true) {
			count++
		}
	}
	return count
}

// Normalize makes few such taints better than many.
func (taintScore) Normalize(scores []int64) { framework.NormalizeByHighest(scores, true) }

// Helps implements framework.Waker: a node lost a taint, or the pod got a toleration.
func (TaintToleration) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.OwnUpdate:
		return event.ToleratesMore()
	case framework.NodeAdded:
		return tolerates(pod.Spec.Tolerations, event.Node)
	case framework.NodeUpdated:
		return tolerates(pod.Spec.Tolerations, event.Node) && !tolerates(pod.Spec.Tolerations, event.OldNode)
	}
	return false
}
