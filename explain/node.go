package explain

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// node judges whether a node works, and takes pods.
func (d *diagnosis) node(o *corev1.Node) {
	pods := 0
	for _, p := range all[*corev1.Pod](d.Snapshot, "") {
		if p.Spec.NodeName == o.Name {
			pods++
		}
	}
	if fault := d.facts.broken(o.Name); fault != "" {
		d.add(Problem, "NodeBroken", o, "fault", fault, "pods", pods)
	}
	d.held(o, "kubelet-"+o.Name)
	for _, c := range o.Status.Conditions {
		switch {
		case c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown:
			d.add(Problem, "NodeSilent", o, "since", clock(c.LastHeartbeatTime.Time), "pods", pods,
				"silent", d.Now.Sub(c.LastHeartbeatTime.Time).Round(time.Second).String())
		case c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse:
			d.add(Problem, "NodeNotReady", o, "message", c.Message, "pods", pods)
		case c.Type != corev1.NodeReady && c.Status == corev1.ConditionTrue:
			d.add(Problem, "NodePressure", o, "condition", string(c.Type), "message", c.Message)
		}
	}
	if o.Spec.Unschedulable {
		d.add(Notice, "NodeCordoned", o)
	}
	var taints []string
	for _, taint := range o.Spec.Taints {
		if !strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
			taints = append(taints, taint.ToString())
		}
	}
	if len(taints) > 0 {
		d.add(Notice, "NodeTainted", o, "taints", taints)
	}
}

// namespace judges a namespace that does not go away.
func (d *diagnosis) namespace(o *corev1.Namespace) {
	if o.DeletionTimestamp == nil {
		return
	}
	for _, c := range o.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			d.add(Problem, "NamespaceHeld", o, "condition", string(c.Type), "message", c.Message)
			return
		}
	}
	d.held(o, "namespace-controller")
	d.add(Waiting, "NamespaceTerminating", o)
}

// quota judges a quota of which something is used up.
func (d *diagnosis) quota(o *corev1.ResourceQuota) {
	for name, hard := range o.Spec.Hard {
		if used, ok := o.Status.Used[name]; ok && used.Cmp(hard) >= 0 {
			d.add(Problem, "QuotaFull", o, "resource", string(name)).table("quota", []string{"quota", "resource", "used", "hard"}, quotaRows(o))
			return
		}
	}
}
