package explain

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kubette/client"
)

// Diagnose says what is wrong with an object, and with what it depends on: a Deployment's pods, the pods behind a
// Service. Problems come first; no finding at all means that everything recorded is as it should be. The findings are not
// in words yet, see Render.
func Diagnose(ctx context.Context, s *Snapshot, facts Facts, object client.Object) []Finding {
	d := &diagnosis{Snapshot: s, ctx: ctx, facts: facts, seen: map[Ref]bool{}, deep: true}
	d.object(object)
	return sorted(d.findings)
}

// diagnosis is one under way.
type diagnosis struct {
	*Snapshot
	ctx      context.Context
	facts    Facts
	deep     bool // follow what an object depends on
	seen     map[Ref]bool
	findings []Finding
}

// object judges one object, once.
func (d *diagnosis) object(object client.Object) {
	ref := refOf(object)
	if d.seen[ref] {
		return
	}
	d.seen[ref] = true
	switch o := object.(type) {
	case *corev1.Pod:
		d.pod(o)
	case *appsv1.Deployment:
		d.deployment(o)
	case *appsv1.ReplicaSet:
		d.replicaSet(o)
	case *corev1.ReplicationController:
		d.replicationController(o)
	case *appsv1.StatefulSet:
		d.statefulSet(o)
	case *appsv1.DaemonSet:
		d.daemonSet(o)
	case *batchv1.Job:
		d.job(o)
	case *batchv1.CronJob:
		d.cronJob(o)
	case *corev1.Service:
		d.service(o)
	case *networkingv1.Ingress:
		d.ingress(o)
	case *corev1.PersistentVolumeClaim:
		d.claim(o)
	case *corev1.PersistentVolume:
		d.volume(o)
	case *corev1.Node:
		d.node(o)
	case *corev1.ConfigMap:
		d.configMap(o)
	case *corev1.Secret:
		d.secret(o)
	case *corev1.Namespace:
		d.namespace(o)
	case *corev1.ResourceQuota:
		d.quota(o)
	}
}

// follow judges what an object depends on.
func follow[T client.Object](d *diagnosis, objects ...T) {
	if !d.deep {
		return
	}
	for _, object := range objects {
		d.object(object)
	}
}

// find adds a finding with the arguments of its text, keys and values by turns. The same finding about a sibling is told
// once, with the names of all.
func (d *diagnosis) add(severity, reason string, about client.Object, pairs ...any) *Finding {
	f := Finding{Reason: reason, Severity: severity, About: refOf(about), Args: arguments(pairs)}
	f.Args["namespace"], f.Args["name"], f.Args["kind"] = f.About.Namespace, f.About.Name, f.About.Kind
	f.Args["object"] = f.About.Short()
	for i := range d.findings {
		if d.findings[i].like(&f) {
			d.findings[i].Also = append(d.findings[i].Also, f.About)
			return &f // it is not shown
		}
	}
	f.advise(reason)
	d.findings = append(d.findings, f)
	return &d.findings[len(d.findings)-1]
}

// like says whether the same was found of a pod and a sibling of it.
func (f *Finding) like(other *Finding) bool {
	return f.Reason == other.Reason && f.About.Kind == "Pod" && other.About.Kind == "Pod" && f.About != other.About &&
		f.Args["container"] == other.Args["container"] && f.Args["port"] == other.Args["port"] && f.Args["owner"] == other.Args["owner"]
}

// held adds that a component which would act is paused, if it is.
func (d *diagnosis) held(about client.Object, component string) bool {
	if !d.facts.paused(component) {
		return false
	}
	d.add(Problem, "ComponentPaused", about, "component", component)
	return true
}

// nearest returns the name most like another, if any is like it.
func nearest(name string, among []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, candidate := range slices.Sorted(slices.Values(among)) {
		if distance := editDistance(name, candidate); distance > 0 && distance < least {
			best, least = candidate, distance
		}
	}
	return best
}

// editDistance is how many letters must be changed, added or taken away to make one word of another.
func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j]+cost, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}
