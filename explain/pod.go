package explain

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
)

// pod judges a pod by how far it has come.
func (d *diagnosis) pod(p *corev1.Pod) {
	switch {
	case p.DeletionTimestamp != nil:
		d.terminating(p)
	case p.Status.Phase == corev1.PodSucceeded:
		d.add(Notice, "PodSucceeded", p)
	case p.Status.Phase == corev1.PodFailed:
		d.podFailed(p)
	case p.Spec.NodeName == "":
		d.unscheduled(p)
	default:
		d.bound(p)
	}
}

// terminating judges a pod that is on its way out.
func (d *diagnosis) terminating(p *corev1.Pod) {
	if len(p.Finalizers) > 0 && noneRuns(p) {
		d.add(Problem, "DeletionHeld", p, "finalizers", p.Finalizers)
		return
	}
	if p.Spec.NodeName != "" {
		if d.nodeDown(p) || d.held(p, "kubelet-"+p.Spec.NodeName) {
			return
		}
	}
	grace := int64(0)
	if p.DeletionGracePeriodSeconds != nil {
		grace = *p.DeletionGracePeriodSeconds
	}
	d.add(Waiting, "PodTerminating", p, "grace", grace)
}

func noneRuns(p *corev1.Pod) bool {
	return !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
}

// podFailed judges a pod that ended badly, or that the node refused.
func (d *diagnosis) podFailed(p *corev1.Pod) {
	switch p.Status.Reason {
	case "":
		for _, status := range allStatuses(p) {
			if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
				d.ended(p, status, t, "PodFailed")
			}
		}
	case "Evicted":
		d.add(Problem, "PodEvicted", p, "message", p.Status.Message, "node", p.Spec.NodeName)
	case "DeadlineExceeded":
		d.add(Problem, "PodDeadline", p, "seconds", deref(p.Spec.ActiveDeadlineSeconds))
	default:
		d.add(Problem, "PodRefused", p, "node", p.Spec.NodeName, "reason", p.Status.Reason, "message", strings.TrimPrefix(p.Status.Message, "Pod was rejected: "))
	}
}

// bound judges a pod that has a node.
func (d *diagnosis) bound(p *corev1.Pod) {
	if d.nodeDown(p) {
		return
	}
	seen := p.Status.StartTime != nil || len(p.Status.ContainerStatuses) > 0
	if !seen {
		if !d.held(p, "kubelet-"+p.Spec.NodeName) {
			d.add(Waiting, "KubeletNotYet", p, "node", p.Spec.NodeName)
		}
		return
	}
	d.claimsOf(p)
	before := len(d.findings)
	d.containers(p)
	if isReady(p) {
		d.changedSince(p)
		d.deafPorts(p)
	} else if len(d.findings) == before {
		d.notReady(p)
	}
	d.standIns(p)
}

// nodeDown judges the node that a pod is on.
func (d *diagnosis) nodeDown(p *corev1.Pod) bool {
	node, ok := find[*corev1.Node](d.Snapshot, "", p.Spec.NodeName)
	if !ok {
		if len(all[*corev1.Node](d.Snapshot, "")) == 0 {
			return false // this snapshot has no nodes at all
		}
		d.add(Problem, "PodOnMissingNode", p, "node", p.Spec.NodeName)
		return true
	}
	fault := d.facts.broken(node.Name)
	if nodeReady(node) && fault == "" {
		return false
	}
	reason := "PodOnDownNode"
	if fault != "" {
		reason = "PodOnBrokenNode"
	}
	if fault == "fill-node-"+node.Name { // that one only takes room
		return false
	}
	f := d.add(Problem, reason, p, "node", node.Name, "fault", fault)
	if controllerOf(p) == nil {
		f.advise("BarePod")
	} else {
		f.advise("PodMoves", "seconds", evictionSeconds(p))
	}
	return true
}

// evictionSeconds is how long a pod stays bound to a node that is silent.
func evictionSeconds(p *corev1.Pod) int64 {
	for _, t := range p.Spec.Tolerations {
		if t.Key == corev1.TaintNodeUnreachable && t.TolerationSeconds != nil {
			return *t.TolerationSeconds
		}
	}
	return 300
}

// notReady judges a pod that is not ready although no container has a problem: a readiness gate, or just not yet.
func (d *diagnosis) notReady(p *corev1.Pod) {
	for _, gate := range p.Spec.ReadinessGates {
		if c := conditionOf(p, gate.ConditionType); c == nil || c.Status != corev1.ConditionTrue {
			d.add(Waiting, "ReadinessGate", p, "condition", string(gate.ConditionType))
			return
		}
	}
	if c := conditionOf(p, corev1.PodReady); c != nil && c.Message != "" {
		d.add(Waiting, "PodNotReady", p, "message", c.Message)
		return
	}
	d.add(Waiting, "PodStarting", p, "node", p.Spec.NodeName)
}

// standIns notes the images in whose place kubette's own run. The kubelet says so in an event, in English as all events.
func (d *diagnosis) standIns(p *corev1.Pod) {
	e := d.lastEvent(refOf(p), nil, "StandInImage")
	if e == nil {
		return
	}
	if m := standInUnreachable.FindStringSubmatch(e.Message); m != nil {
		d.add(Notice, "StandInUnreachable", p, "image", m[1], "registry", m[2], "own", m[3])
	} else if m := standInReplaced.FindStringSubmatch(e.Message); m != nil {
		d.add(Notice, "StandInReplaced", p, "image", m[1], "own", m[2])
	} else if m := standInSimulated.FindStringSubmatch(e.Message); m != nil {
		d.add(Notice, "StandInSimulated", p, "image", m[1])
	} else {
		d.add(Notice, "StandInImage", p, "message", e.Message)
	}
}

// What the runtimes say of an image that is one of kubette's own: runtime.ImageStatus.StandIn.
var (
	standInUnreachable = regexp.MustCompile(`^(\S+) cannot be pulled because the registry (\S+) cannot be reached, so kubette's own (\S+) runs in its place`)
	standInReplaced    = regexp.MustCompile(`^Image "(.+)" is replaced by kubette's own ([^ ,]+),`)
	standInSimulated   = regexp.MustCompile(`^Image "(.+)" is simulated:`)
)

// changedSince notes configuration that changed after a container took it: its environment is read once, at the start.
func (d *diagnosis) changedSince(p *corev1.Pod) {
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		status := statusOf(p, c.Name)
		if status == nil || status.State.Running == nil {
			continue
		}
		for _, ref := range environmentRefs(c) {
			object, ok := d.referred(p.Namespace, ref)
			if !ok {
				continue
			}
			if changed := lastChange(object); changed.After(status.State.Running.StartedAt.Time) {
				f := d.add(Notice, "ConfigChangedSince", p, "container", c.Name, "source", refOf(object).Short(),
					"changed", clock(changed), "started", clock(status.State.Running.StartedAt.Time))
				f.advise("ConfigChangedSince.owner", "owner", d.topOwner(p))
			}
		}
	}
}

// topOwner names what a user restarts to restart a pod: its Deployment, StatefulSet or DaemonSet.
func (d *diagnosis) topOwner(p *corev1.Pod) string {
	var at client.Object = p
	for range 5 {
		ref := controllerOf(at)
		if ref == nil {
			break
		}
		owner, ok := d.Object(Ref{Kind: ref.Kind, Namespace: p.Namespace, Name: ref.Name})
		if !ok {
			return strings.ToLower(ref.Kind) + "/" + ref.Name
		}
		at = owner
	}
	return refOf(at).Short()
}

// deafPorts judges the ports that a pod says its containers listen on.
func (d *diagnosis) deafPorts(p *corev1.Pod) {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Protocol == corev1.ProtocolUDP || port.Protocol == corev1.ProtocolSCTP {
				continue
			}
			d.deaf(p, port.ContainerPort, c.Name)
		}
	}
}

// deaf judges one port; it says whether nobody can connect to it.
func (d *diagnosis) deaf(p *corev1.Pod, port int32, container string) bool {
	switch d.facts.listens(d.ctx, p, port) {
	case ListenRefused:
		d.add(Problem, "PortNotListening", p, "port", port, "container", container).Log = d.log(p, container, false)
	case ListenLoopback:
		d.add(Problem, "PortOnlyLocalhost", p, "port", port, "container", container)
	default:
		return false
	}
	return true
}

// logLines is how much of a log goes into a finding.
const logLines = 10

func (d *diagnosis) log(p *corev1.Pod, container string, previous bool) []string {
	if d.facts.Log == nil {
		return nil
	}
	return d.facts.Log(d.ctx, p, container, previous, logLines)
}

func isReady(p *corev1.Pod) bool {
	c := conditionOf(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

func conditionOf(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func statusOf(p *corev1.Pod, container string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return &list[i]
			}
		}
	}
	return nil
}

func allStatuses(p *corev1.Pod) []corev1.ContainerStatus {
	return append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...)
}

func deref[T any](pointer *T) T {
	var zero T
	if pointer == nil {
		return zero
	}
	return *pointer
}
