package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/client"
)

// revisionAnnotation numbers a Deployment's ReplicaSets.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// deployment judges a Deployment's rollout, and its pods.
func (d *diagnosis) deployment(o *appsv1.Deployment) {
	d.held(o, "deployment-controller")
	wanted := int32(1)
	if o.Spec.Replicas != nil {
		wanted = *o.Spec.Replicas
	}
	if wanted == 0 {
		d.add(Notice, "ScaledToZero", o)
	}
	if o.Spec.Paused {
		d.add(Problem, "DeploymentPaused", o)
	}
	sets := activeSets(owned[*appsv1.ReplicaSet](d.Snapshot, o))
	newest := newestSet(sets)
	for _, c := range o.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" {
			name := "?"
			ready := int32(0)
			if newest != nil {
				name, ready = newest.Name, newest.Status.ReadyReplicas
			}
			d.add(Problem, "RolloutStuck", o, "set", name, "ready", ready, "wanted", wanted, "updated", o.Status.UpdatedReplicas,
				"seconds", deref(o.Spec.ProgressDeadlineSeconds))
		}
	}
	problems := len(d.findings)
	if d.deep {
		for _, set := range sets {
			d.object(set)
		}
	}
	if len(d.findings) == problems && !d.facts.paused("deployment-controller") {
		d.rolling(o, wanted)
	}
}

// rolling says how far a rollout is that goes on.
func (d *diagnosis) rolling(o *appsv1.Deployment, wanted int32) {
	switch s := &o.Status; {
	case s.ObservedGeneration < o.Generation:
		d.add(Waiting, "NotObserved", o, "component", "deployment-controller")
	case s.UpdatedReplicas < wanted || s.AvailableReplicas < wanted || s.Replicas > s.UpdatedReplicas:
		d.add(Waiting, "RollingOut", o, "updated", s.UpdatedReplicas, "available", s.AvailableReplicas, "wanted", wanted, "old", s.Replicas-s.UpdatedReplicas)
	}
}

// activeSets leaves out the ReplicaSets of old revisions, which have no pods and want none.
func activeSets(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	newest := newestSet(sets)
	return slices.DeleteFunc(slices.Clone(sets), func(s *appsv1.ReplicaSet) bool {
		return s != newest && deref(s.Spec.Replicas) == 0 && s.Status.Replicas == 0
	})
}

func newestSet(sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var newest *appsv1.ReplicaSet
	for _, s := range sets {
		if newest == nil || revisionNumber(s) > revisionNumber(newest) {
			newest = s
		}
	}
	return newest
}

func revisionNumber(s *appsv1.ReplicaSet) int {
	number, _ := strconv.Atoi(s.Annotations[revisionAnnotation])
	return number
}

// replicaSet judges whether a ReplicaSet can make its pods.
func (d *diagnosis) replicaSet(o *appsv1.ReplicaSet) {
	d.held(o, "replicaset-controller")
	pods := owned[*corev1.Pod](d.Snapshot, o)
	d.tooFew(o, deref(o.Spec.Replicas), pods, "replicaset-controller")
	follow(d, pods...)
}

func (d *diagnosis) replicationController(o *corev1.ReplicationController) {
	d.held(o, "replicationcontroller-controller")
	pods := owned[*corev1.Pod](d.Snapshot, o)
	d.tooFew(o, deref(o.Spec.Replicas), pods, "replicationcontroller-controller")
	follow(d, pods...)
}

// tooFew judges why there are fewer pods than wanted.
func (d *diagnosis) tooFew(o client.Object, wanted int32, pods []*corev1.Pod, component string) {
	active := int32(0)
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			active++
		}
	}
	if active >= wanted {
		return
	}
	if e := d.lastEvent(refOf(o), func(e *corev1.Event) bool { return e.Type == corev1.EventTypeWarning }, "FailedCreate", "ReplicaSetCreateError"); e != nil {
		d.refused(o, wanted, active, e.Message)
		return
	}
	if !d.facts.paused(component) {
		d.add(Waiting, "PodsToCome", o, "wanted", wanted, "present", active, "missing", wanted-active, "component", component)
	}
}

// refusals tell apart why the API server refuses to create pods, by what it says.
var refusals = []struct{ reason, says string }{
	{"QuotaExceeded", "exceeded quota"}, {"QuotaNeedsLimits", "must specify"}, {"PodSecurityRefused", "violates PodSecurity"},
	{"LimitRangeRefused", "usage per"}, {"LimitRangeRefused", "limit to request ratio"}, {"ServiceAccountMissing", "serviceaccount"},
	{"PriorityClassMissing", "PriorityClass"}, {"NamespaceGoing", "being terminated"},
}

// refused judges a refusal to create pods.
func (d *diagnosis) refused(o client.Object, wanted, present int32, message string) {
	reason := "CreateRefused"
	for _, each := range refusals {
		if strings.Contains(message, each.says) {
			reason = each.reason
			break
		}
	}
	f := d.add(Problem, reason, o, "wanted", wanted, "present", present, "message", message)
	if reason == "QuotaExceeded" || reason == "QuotaNeedsLimits" {
		for _, q := range all[*corev1.ResourceQuota](d.Snapshot, o.GetNamespace()) {
			f.table("quota", []string{"quota", "resource", "used", "hard"}, quotaRows(q))
		}
	}
}

func quotaRows(q *corev1.ResourceQuota) [][]string {
	var rows [][]string
	hard := map[string]string{}
	for name, quantity := range q.Spec.Hard {
		hard[string(name)] = quantity.String()
	}
	for _, name := range sortedKeys(hard) {
		used := q.Status.Used[corev1.ResourceName(name)]
		rows = append(rows, []string{q.Name, name, used.String(), hard[name]})
	}
	return rows
}

// statefulSet judges a StatefulSet, whose pods come one after another.
func (d *diagnosis) statefulSet(o *appsv1.StatefulSet) {
	d.held(o, "statefulset-controller")
	pods := owned[*corev1.Pod](d.Snapshot, o)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return ordinal(a.Name) - ordinal(b.Name) })
	wanted := int32(1)
	if o.Spec.Replicas != nil {
		wanted = *o.Spec.Replicas
	}
	if o.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && int32(len(pods)) < wanted {
		for _, p := range pods {
			if !isReady(p) {
				d.add(Waiting, "WaitsForOrdinal", o, "pod", p.Name, "next", fmt.Sprintf("%s-%d", o.Name, ordinal(p.Name)+1), "wanted", wanted, "present", len(pods))
				follow(d, p)
				return
			}
		}
	}
	d.tooFew(o, wanted, pods, "statefulset-controller")
	if _, ok := find[*corev1.Service](d.Snapshot, o.Namespace, o.Spec.ServiceName); o.Spec.ServiceName != "" && !ok {
		d.add(Notice, "GoverningServiceMissing", o, "service", o.Spec.ServiceName)
	}
	follow(d, pods...)
}

func ordinal(name string) int {
	number, _ := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	return number
}

// daemonSet judges a DaemonSet: a pod on each node that may have one.
func (d *diagnosis) daemonSet(o *appsv1.DaemonSet) {
	d.held(o, "daemonset-controller")
	pods := owned[*corev1.Pod](d.Snapshot, o)
	if o.Status.ObservedGeneration >= o.Generation && o.Status.DesiredNumberScheduled == 0 {
		f := d.add(Problem, "NoNodeEligible", o, "selector", labelSet(o.Spec.Template.Spec.NodeSelector).String())
		d.labelTable(f, &corev1.Pod{Spec: o.Spec.Template.Spec})
		d.taintTable(f)
	}
	d.tooFew(o, o.Status.DesiredNumberScheduled, pods, "daemonset-controller")
	follow(d, pods...)
}
