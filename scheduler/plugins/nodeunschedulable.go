package plugins

import (
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"kubette/scheduler/framework"
)

var cordoned = framework.RefuseForGood("node(s) were unschedulable")

// NodeUnschedulable keeps pods off nodes that were cordoned (kubectl cordon sets spec.unschedulable), unless the pod
// tolerates that, as the pods of DaemonSets do.
type NodeUnschedulable struct{}

// Name implements framework.Plugin.
func (NodeUnschedulable) Name() string { return "NodeUnschedulable" }

// PreFilter implements framework.Filter.
func (NodeUnschedulable) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	if toleratesCordon(c.Pod) {
		return nil, nil
	}
	return cordonCheck{}, nil
}

func toleratesCordon(pod *framework.Pod) bool {
	taint := &corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	return scheduling.TolerationsTolerateTaint(klog.Logger{}, pod.Spec.Tolerations, taint, true)
}

type cordonCheck struct{}

func (cordonCheck) Check(node *framework.Node) *framework.Status {
	if node.Spec.Unschedulable {
		return cordoned
	}
	return nil
}

// Helps implements framework.Waker: a node was uncordoned, or the pod tolerates now that it is cordoned.
func (NodeUnschedulable) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.OwnUpdate:
		return event.ToleratesMore() && toleratesCordon(pod)
	case framework.NodeAdded:
		return !event.Node.Spec.Unschedulable
	case framework.NodeUpdated:
		return event.OldNode.Spec.Unschedulable && !event.Node.Spec.Unschedulable
	}
	return false
}
