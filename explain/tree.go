package explain

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kubette/client"
)

// States of a row, for glyphs.
const (
	StateReady    = "ready"
	StateRunning  = "running" // there, not ready yet
	StatePending  = "pending"
	StateFailed   = "failed"
	StateStopping = "stopping"
	StateDone     = "done"
)

// Row compares what is wanted of an object with what is there, and its parts likewise.
type Row struct {
	Object  Ref   `json:"object"`
	Wanted  int32 `json:"wanted"`
	Present int32 `json:"present"`
	Ready   int32 `json:"ready"`
	// Differs says that something is not as it is wanted, here or below.
	Differs bool   `json:"differs"`
	State   string `json:"state"`
	// Reason and Args say what is being done about the difference, or what blocks it; Text is that in words.
	Reason string         `json:"reason"`
	Args   map[string]any `json:"args,omitempty"`
	Text   string         `json:"text"`
	Parts  []*Row         `json:"parts,omitempty"`
}

// Tree compares wanted and present for all that a namespace's users asked for; "" is every namespace.
func Tree(ctx context.Context, s *Snapshot, facts Facts, namespace string) []*Row {
	t := &tree{diagnosis: diagnosis{Snapshot: s, ctx: ctx, facts: facts}}
	var rows []*Row
	for _, object := range t.roots(namespace) {
		rows = append(rows, t.row(object))
	}
	return rows
}

// TreeOf compares wanted and present for one object.
func TreeOf(ctx context.Context, s *Snapshot, facts Facts, object client.Object) *Row {
	t := &tree{diagnosis: diagnosis{Snapshot: s, ctx: ctx, facts: facts}}
	return t.row(object)
}

// RenderRows puts rows into words. It changes them.
func RenderRows(rows []*Row, language string) {
	for _, row := range rows {
		row.Text = Text(language, row.Reason, row.Args)
		RenderRows(row.Parts, language)
	}
}

type tree struct{ diagnosis }

// roots are the objects that no other controls, those that run pods first.
func (t *tree) roots(namespace string) []client.Object {
	var objects []client.Object
	collect := func(found []client.Object) {
		slices.SortFunc(found, func(a, b client.Object) int {
			return slices.Compare([]string{a.GetNamespace(), a.GetName()}, []string{b.GetNamespace(), b.GetName()})
		})
		for _, object := range found {
			if controllerOf(object) == nil {
				objects = append(objects, object)
			}
		}
	}
	collect(plain(all[*appsv1.Deployment](t.Snapshot, namespace)))
	collect(plain(all[*appsv1.StatefulSet](t.Snapshot, namespace)))
	collect(plain(all[*appsv1.DaemonSet](t.Snapshot, namespace)))
	collect(plain(all[*appsv1.ReplicaSet](t.Snapshot, namespace)))
	collect(plain(all[*corev1.ReplicationController](t.Snapshot, namespace)))
	collect(plain(all[*batchv1.CronJob](t.Snapshot, namespace)))
	collect(plain(all[*batchv1.Job](t.Snapshot, namespace)))
	collect(plain(all[*corev1.Pod](t.Snapshot, namespace)))
	collect(plain(all[*networkingv1.Ingress](t.Snapshot, namespace)))
	collect(plain(all[*corev1.Service](t.Snapshot, namespace)))
	collect(plain(all[*corev1.PersistentVolumeClaim](t.Snapshot, namespace)))
	return objects
}

func plain[T client.Object](objects []T) []client.Object {
	converted := make([]client.Object, len(objects))
	for i, object := range objects {
		converted[i] = object
	}
	return converted
}

// row compares one object.
func (t *tree) row(object client.Object) *Row {
	row := &Row{Object: refOf(object), Wanted: 1, Present: 1}
	switch o := object.(type) {
	case *appsv1.Deployment:
		t.deploymentRow(row, o)
	case *appsv1.ReplicaSet:
		t.podsRow(row, o, deref(o.Spec.Replicas), "replicaset-controller")
	case *corev1.ReplicationController:
		t.podsRow(row, o, deref(o.Spec.Replicas), "replicationcontroller-controller")
	case *appsv1.StatefulSet:
		t.podsRow(row, o, orOne(o.Spec.Replicas), "statefulset-controller")
	case *appsv1.DaemonSet:
		t.podsRow(row, o, o.Status.DesiredNumberScheduled, "daemonset-controller")
	case *batchv1.CronJob:
		for _, job := range owned[*batchv1.Job](t.Snapshot, o) {
			row.Parts = append(row.Parts, t.row(job))
		}
		row.Wanted, row.Present = int32(len(o.Status.Active)), int32(len(o.Status.Active))
		row.Ready = row.Present
	case *batchv1.Job:
		row.Wanted, row.Ready = max(deref(o.Spec.Completions), 1), o.Status.Succeeded
		row.Present = o.Status.Succeeded + o.Status.Active
		for _, pod := range owned[*corev1.Pod](t.Snapshot, o) {
			row.Parts = append(row.Parts, t.row(pod))
		}
	case *corev1.Pod:
		t.podRow(row, o)
	case *corev1.Service:
		t.serviceRow(row, o)
	case *networkingv1.Ingress:
		t.ingressRow(row, o)
	case *corev1.PersistentVolumeClaim:
		if o.Status.Phase == corev1.ClaimBound {
			row.Ready = 1
		}
	default:
		row.Ready = 1
	}
	t.judge(row, object)
	return row
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// judge gives a row its sentence: the first finding about the object itself, else how the numbers compare.
func (t *tree) judge(row *Row, object client.Object) {
	own := &diagnosis{Snapshot: t.Snapshot, ctx: t.ctx, facts: t.facts, seen: map[Ref]bool{}}
	own.object(object)
	findings := sorted(own.findings)
	if len(findings) > 0 && findings[0].Severity != Notice {
		row.Reason, row.Args = findings[0].Reason, findings[0].Args
		row.Differs = true
		row.State = StatePending
		if findings[0].Severity == Problem {
			row.State = StateFailed
		}
	} else if row.Reason == "" {
		row.Reason = "row.asWanted"
	}
	if row.Wanted != row.Present || row.Ready < row.Wanted {
		row.Differs = true
	}
	for _, part := range row.Parts {
		row.Differs = row.Differs || part.Differs
		if part.State == StateFailed && part.Object.Kind != "container" && (row.State == "" || row.State == StatePending) { // that is what it waits for
			row.Reason, row.Args, row.State = part.Reason, part.Args, part.State
		}
	}
	switch {
	case row.State != "":
	case object.GetDeletionTimestamp() != nil:
		row.State, row.Differs = StateStopping, true
	case !row.Differs:
		row.State = StateReady
	case row.Present > 0:
		row.State = StateRunning
	default:
		row.State = StatePending
	}
	if row.Reason == "row.asWanted" && row.Differs {
		row.Reason = "row.differs"
	}
}

// deploymentRow counts over all of a Deployment's ReplicaSets.
func (t *tree) deploymentRow(row *Row, o *appsv1.Deployment) {
	row.Wanted, row.Present = orOne(o.Spec.Replicas), 0
	sets := activeSets(owned[*appsv1.ReplicaSet](t.Snapshot, o))
	newest := newestSet(sets)
	for _, set := range sets {
		part := t.row(set)
		row.Present += part.Present
		row.Ready += part.Ready
		if set != newest && part.Reason != "row.surplus" {
			part.Reason, part.Args, part.Differs = "row.old", map[string]any{"present": part.Present}, true
		}
		row.Parts = append(row.Parts, part)
	}
}

// podsRow counts the pods that an object controls.
func (t *tree) podsRow(row *Row, o client.Object, wanted int32, component string) {
	row.Wanted, row.Present = wanted, 0
	for _, p := range owned[*corev1.Pod](t.Snapshot, o) {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			row.Present++
			if isReady(p) {
				row.Ready++
			}
		}
		row.Parts = append(row.Parts, t.row(p))
	}
	if surplus := row.Present - wanted; surplus > 0 {
		row.Reason, row.Args = "row.surplus", map[string]any{"surplus": surplus, "component": component}
	}
}

// podRow lists a pod's containers.
func (t *tree) podRow(row *Row, p *corev1.Pod) {
	if isReady(p) {
		row.Ready = 1
	}
	if p.Status.Phase == corev1.PodSucceeded {
		row.Ready, row.Reason, row.State = 1, "row.done", StateDone
	}
	for _, c := range p.Spec.InitContainers {
		if part := t.containerRow(p, c.Name); part.State != StateDone { // those that have done their work are not shown
			row.Parts = append(row.Parts, part)
		}
	}
	for _, c := range p.Spec.Containers {
		row.Parts = append(row.Parts, t.containerRow(p, c.Name))
	}
}

func (t *tree) containerRow(p *corev1.Pod, name string) *Row {
	row := &Row{Object: Ref{Resource: "containers", Kind: "container", Namespace: p.Namespace, Name: name}, Wanted: 1,
		Differs: true, State: StatePending, Reason: "row.notYet"}
	status := statusOf(p, name)
	switch {
	case status == nil:
	case status.State.Running != nil:
		row.Present, row.Reason, row.State = 1, "row.runningNotReady", StateRunning
		if status.Ready {
			row.Ready, row.Differs, row.Reason, row.State = 1, false, "row.running", StateReady
		}
	case status.State.Terminated != nil:
		code := status.State.Terminated.ExitCode
		row.Reason, row.Args, row.State = "row.ended", map[string]any{"exitCode": code}, StateFailed
		if code == 0 && (isInit(p, name) || p.Spec.RestartPolicy != corev1.RestartPolicyAlways) {
			row.Present, row.Ready, row.Differs, row.State = 1, 1, false, StateDone
		}
	case status.State.Waiting != nil && status.State.Waiting.Reason != "":
		row.Reason, row.Args = "row.waiting", map[string]any{"reason": status.State.Waiting.Reason}
	}
	return row
}

// serviceRow counts what is behind a service: it wants every pod that it selects.
func (t *tree) serviceRow(row *Row, o *corev1.Service) {
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		row.Ready, row.Reason, row.Args = 1, "row.external", map[string]any{"host": o.Spec.ExternalName}
		return
	}
	ready, total := t.endpoints(o)
	row.Wanted, row.Present, row.Ready = int32(total), int32(total), int32(ready)
	if len(o.Spec.Selector) > 0 {
		row.Wanted = max(int32(len(t.selected(o))), 1)
	}
	row.Reason, row.Args = "row.endpoints", map[string]any{"ready": ready, "present": total}
	for _, slice := range all[*discoveryv1.EndpointSlice](t.Snapshot, o.Namespace) {
		if slice.Labels[discoveryv1.LabelServiceName] == o.Name {
			for _, e := range slice.Endpoints {
				row.Parts = append(row.Parts, endpointRow(slice, e))
			}
		}
	}
}

func endpointRow(slice *discoveryv1.EndpointSlice, e discoveryv1.Endpoint) *Row {
	name := orNone(e.Addresses)
	for i, port := range slice.Ports {
		if i == 0 {
			name += fmt.Sprintf(":%d", deref(port.Port))
		}
	}
	if e.TargetRef != nil {
		name += " " + e.TargetRef.Name
	}
	row := &Row{Object: Ref{Resource: "endpoints", Kind: "endpoint", Namespace: slice.Namespace, Name: name}, Wanted: 1, Present: 1,
		Ready: 1, State: StateReady, Reason: "row.running"}
	if e.Conditions.Ready != nil && !*e.Conditions.Ready {
		row.Ready, row.Differs, row.State, row.Reason = 0, true, StateRunning, "row.runningNotReady"
	}
	return row
}

// ingressRow follows each path to its service.
func (t *tree) ingressRow(row *Row, o *networkingv1.Ingress) {
	row.Wanted, row.Present = 0, 0
	seen := map[string]bool{}
	add := func(b *networkingv1.IngressBackend) {
		if b == nil || b.Service == nil || seen[b.Service.Name] {
			return
		}
		seen[b.Service.Name] = true
		row.Wanted++
		part := &Row{Object: Ref{Resource: "services", Kind: "Service", Namespace: o.Namespace, Name: b.Service.Name}, Wanted: 1,
			Differs: true, State: StateFailed, Reason: "row.missing"}
		if s, ok := find[*corev1.Service](t.Snapshot, o.Namespace, b.Service.Name); ok {
			part = t.row(s)
			row.Present++
			if ready, _ := t.endpoints(s); ready > 0 {
				row.Ready++
			}
		}
		row.Parts = append(row.Parts, part)
	}
	add(o.Spec.DefaultBackend)
	for _, rule := range o.Spec.Rules {
		if rule.HTTP != nil {
			for i := range rule.HTTP.Paths {
				add(&rule.HTTP.Paths[i].Backend)
			}
		}
	}
}
