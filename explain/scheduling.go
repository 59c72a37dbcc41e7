package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"kubette/scheduler"
)

// unscheduled judges a pod that has no node yet.
func (d *diagnosis) unscheduled(p *corev1.Pod) {
	switch {
	case len(p.Spec.SchedulingGates) > 0:
		var gates []string
		for _, gate := range p.Spec.SchedulingGates {
			gates = append(gates, gate.Name)
		}
		d.add(Problem, "PodGated", p, "gates", gates)
		return
	case p.Spec.SchedulerName != "" && p.Spec.SchedulerName != corev1.DefaultSchedulerName:
		d.add(Problem, "PodOtherScheduler", p, "scheduler", p.Spec.SchedulerName)
		return
	case d.held(p, corev1.DefaultSchedulerName):
		return
	}
	d.claimsOf(p)
	decisions := d.facts.decisions(p.Namespace, p.Name)
	if len(decisions) > 0 && decisions[len(decisions)-1].Outcome != scheduler.OutcomeAssigned {
		d.unschedulable(p, &decisions[len(decisions)-1], len(decisions))
		return
	}
	if c := conditionOf(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		d.add(Problem, "PodUnschedulable", p, "message", c.Message, "attempts", 1)
		return
	}
	d.add(Waiting, "SchedulerNotYet", p)
}

// unschedulable shows the scheduler's last decision: which node was refused by which filter, and why.
func (d *diagnosis) unschedulable(p *corev1.Pod, last *scheduler.Decision, attempts int) {
	f := d.add(Problem, "PodUnschedulable", p, "message", last.Message, "attempts", max(last.Attempt, attempts))
	var rows [][]string
	refusedBy := map[string][]string{} // nodes, by plugin
	if r := last.Refusal; r != nil {
		rows = append(rows, []string{"*", r.Plugin, strings.Join(r.Reasons, "; ")})
		refusedBy[r.Plugin] = []string{"*"}
	}
	for _, node := range last.Nodes {
		if node.Refusal == nil {
			rows = append(rows, []string{node.Node, "✓", fmt.Sprint(node.Total)})
			continue
		}
		rows = append(rows, []string{node.Node, node.Refusal.Plugin, strings.Join(node.Refusal.Reasons, "; ")})
		refusedBy[node.Refusal.Plugin] = append(refusedBy[node.Refusal.Plugin], node.Node)
	}
	f.table("nodes", []string{"node", "filter", "why"}, rows)
	for _, plugin := range d.worthTelling(refusedBy) {
		f.advise("Refused." + plugin)
		switch plugin {
		case "NodeResourcesFit":
			d.resourceTable(f, p)
		case "NodeAffinity":
			d.labelTable(f, p)
		case "TaintToleration":
			d.taintTable(f)
		}
	}
	if m := last.Preemption; m != nil && m.Message != "" {
		f.Args["preemption"] = m.Message
	}
}

// controlPlaneTaint keeps pods away from the control plane, which is as it should be.
const controlPlaneTaint = "node-role.kubernetes.io/control-plane"

// worthTelling orders plugins by how many nodes they refused. That the control plane takes no pods is not worth advice
// when there are other nodes.
func (d *diagnosis) worthTelling(refusedBy map[string][]string) []string {
	plugins := sortedKeys(refusedBy)
	slices.SortStableFunc(plugins, func(a, b string) int { return len(refusedBy[b]) - len(refusedBy[a]) })
	if len(plugins) < 2 {
		return plugins
	}
	return slices.DeleteFunc(plugins, func(plugin string) bool {
		return plugin == "TaintToleration" && !slices.ContainsFunc(refusedBy[plugin], func(name string) bool { return !d.controlPlane(name) })
	})
}

func (d *diagnosis) controlPlane(name string) bool {
	node, ok := find[*corev1.Node](d.Snapshot, "", name)
	return ok && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == controlPlaneTaint })
}

// resourceTable compares what a pod requests with what is free on each node.
func (d *diagnosis) resourceTable(f *Finding, p *corev1.Pod) {
	wanted := resource.PodRequests(p, resource.PodResourcesOptions{})
	var rows [][]string
	for _, node := range all[*corev1.Node](d.Snapshot, "") {
		free := node.Status.Allocatable.DeepCopy()
		count := int64(0)
		for _, other := range all[*corev1.Pod](d.Snapshot, "") {
			if other.Spec.NodeName != node.Name || other.Status.Phase == corev1.PodSucceeded || other.Status.Phase == corev1.PodFailed {
				continue
			}
			count++
			for name, used := range resource.PodRequests(other, resource.PodResourcesOptions{}) {
				left := free[name]
				left.Sub(used)
				free[name] = left
			}
		}
		rows = append(rows, []string{node.Name, wanted.Cpu().String(), free.Cpu().String(), wanted.Memory().String(), free.Memory().String(),
			fmt.Sprintf("%d/%s", count, node.Status.Allocatable.Pods())})
	}
	f.table("resources", []string{"node", "cpuWanted", "cpuFree", "memoryWanted", "memoryFree", "pods"}, rows)
}

// labelTable compares a pod's node selector with each node's labels.
func (d *diagnosis) labelTable(f *Finding, p *corev1.Pod) {
	var rows [][]string
	for _, key := range sortedKeys(p.Spec.NodeSelector) {
		for _, node := range all[*corev1.Node](d.Snapshot, "") {
			rows = append(rows, []string{node.Name, key, p.Spec.NodeSelector[key], labelOr(node.Labels, key)})
		}
	}
	f.table("nodeLabels", []string{"node", "label", "wanted", "there"}, rows)
}

func labelOr(labels map[string]string, key string) string {
	if value, ok := labels[key]; ok {
		return value
	}
	return "—"
}

// taintTable lists the nodes' taints.
func (d *diagnosis) taintTable(f *Finding) {
	var rows [][]string
	for _, node := range all[*corev1.Node](d.Snapshot, "") {
		for _, taint := range node.Spec.Taints {
			rows = append(rows, []string{node.Name, taint.ToString()})
		}
	}
	f.table("taints", []string{"node", "taint"}, rows)
}
