package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/client"
	"kubette/explain"
)

// startExplained runs a cluster with simulated nodes, and returns a control over HTTP as another process has it.
func startExplained(t *testing.T) (*Cluster, *Control) {
	t.Helper()
	t.Setenv("KUBETTE_HOME", t.TempDir())
	c, err := New(Config{Name: "explained", Runtime: RuntimeSim, Ephemeral: true, APIPort: AnyPort, HTTPPort: AnyPort, HTTPSPort: AnyPort})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		c.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-c.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	control, err := c.State().Connect()
	if err != nil {
		t.Fatal(err)
	}
	return c, control
}

// webDeployment runs a web server on port 80, and is available when it listens.
func webDeployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "web", Image: "nginx", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}}}}}}}
}

// followed reads the trace until an item is accepted.
func followed(t *testing.T, control *Control, options TraceOptions, accept func(explain.Item) bool) []explain.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	options.Follow = true
	var items []explain.Item
	seen := errors.New("seen")
	err := control.Trace(ctx, options, func(item explain.Item) error {
		if items = append(items, item); accept(item) {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Fatalf("the trace ended without it (%v), after %d items", err, len(items))
	}
	return items
}

// available says of an item that a Deployment's status tells of an available pod.
func available(name string) func(explain.Item) bool {
	return func(item explain.Item) bool {
		return item.Write != nil && item.Write.Object.Resource == "deployments" && item.Write.Object.Name == name &&
			slices.ContainsFunc(item.Write.Changes, func(c explain.Change) bool { return c.Path == "status.availableReplicas" })
	}
}

// What a user does can be followed from write to write, over every component, to the end.
func TestTraceFollowsCauses(t *testing.T) {
	c, control := startExplained(t)
	before := c.store.Revision()
	if _, err := client.Of[*appsv1.Deployment](c.AdminClient()).Create(t.Context(), webDeployment("web", 1)); err != nil {
		t.Fatal(err)
	}
	items := followed(t, control, TraceOptions{After: before, Namespace: "default", Changes: true}, available("web"))
	byRevision := map[int64]*explain.Write{}
	for _, item := range items {
		byRevision[item.Write.Revision] = item.Write
		if r := item.Write.Object.Resource; r == "events" || r == "leases" {
			t.Errorf("%s are not asked for", r)
		}
	}
	// From the last write back to the first, by what led to each.
	var chain []string
	for w := items[len(items)-1].Write; w != nil; w = byRevision[w.Trigger] {
		chain = append(chain, w.Who+" "+w.Verb+" "+w.Object.Resource+" ("+w.Because+")")
	}
	if first := chain[len(chain)-1]; first != "kubernetes-admin create deployments ()" {
		t.Errorf("the chain does not lead back to the user:\n%s", strings.Join(chain, "\n"))
	}
	created := slices.ContainsFunc(items, func(i explain.Item) bool {
		return i.Write.Object.Resource == "pods" && i.Write.Created && i.Write.Who == "replicaset-controller" && strings.HasPrefix(i.Write.Because, "replicasets/default/web-")
	})
	if !created {
		var all []string
		for _, i := range items {
			all = append(all, fmt.Sprintf("%s %s %s (%s)", i.Write.Who, i.Write.Verb, i.Write.Object, i.Write.Because))
		}
		t.Errorf("no write says that the replicaset-controller created a pod, and why:\n%s", strings.Join(all, "\n"))
	}
	// Without follow, the same is there, and it ends.
	count := 0
	if err := control.Trace(t.Context(), TraceOptions{After: before, Steps: true, All: true}, func(explain.Item) error { count++; return nil }); err != nil || count < len(items) {
		t.Errorf("%d items (%v), want at least %d", count, err, len(items))
	}
}

func TestHistoryOfAnObject(t *testing.T) {
	c, control := startExplained(t)
	maps := client.Of[*corev1.ConfigMap](c.AdminClient())
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Namespace: "default"}, Data: map[string]string{"A": "1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Patch(t.Context(), "default", "m", types.MergePatchType, []byte(`{"data":{"A":"2"}}`)); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), "default", "m", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	history, err := control.History(t.Context(), "cm", "default", "m")
	if err != nil {
		t.Fatal(err)
	}
	w := history.Writes
	if len(w) != 3 || !w[0].Created || w[1].Verb != "patch" || !w[2].Deleted || w[1].Actor != "kubernetes-admin" {
		t.Fatalf("%+v", w)
	}
	if len(w[1].Changes) != 1 || w[1].Changes[0].Path != "data.A" || w[1].Changes[0].Old != "1" || w[1].Changes[0].New != "2" {
		t.Errorf("what changed: %+v", w[1].Changes)
	}
	if _, err := control.History(t.Context(), "cm", "default", "never"); err == nil {
		t.Error("an object that never was has a history")
	}
	if _, err := control.History(t.Context(), "unicorn", "default", "m"); err == nil || !strings.Contains(err.Error(), "unicorn") {
		t.Errorf("a kind that is not served: %v", err)
	}
	why, err := control.Why(t.Context(), "configmap", "default", "m", "fr")
	if err != nil || why.Exists || !strings.Contains(why.Gone, "supprimé") || len(why.Chain) != 3 {
		t.Errorf("why of a deleted object: %+v (%v)", why, err)
	}
}

// The diagnosis asks the running cluster: the scheduler's decision, whether a port answers, the end of a log.
func TestWhyAsksTheCluster(t *testing.T) {
	c, control := startExplained(t)
	ctx := t.Context()
	before := c.store.Revision()
	deployments, services := client.Of[*appsv1.Deployment](c.AdminClient()), client.Of[*corev1.Service](c.AdminClient())
	huge := webDeployment("huge", 1)
	huge.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"}
	for _, d := range []*appsv1.Deployment{huge, webDeployment("web", 1)} {
		if _, err := deployments.Create(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 8000}}}}
	if _, err := services.Create(ctx, service); err != nil {
		t.Fatal(err)
	}
	followed(t, control, TraceOptions{After: before, Changes: true}, available("web"))

	wanted := func(kind, name, reason string) explain.Finding {
		t.Helper()
		why, err := control.Why(ctx, kind, "default", name, "en")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(why.Findings, func(f explain.Finding) bool { return f.Reason == reason })
		if i < 0 {
			t.Fatalf("%s/%s: no %s among %+v", kind, name, reason, why.Findings)
		}
		return why.Findings[i]
	}
	if f := wanted("svc", "web", "TargetPortDeaf"); !strings.Contains(f.Text, "8000") || !slices.ContainsFunc(f.Try, func(a explain.Advice) bool { return strings.Contains(a.Text, "targetPort: 80") }) {
		t.Errorf("%s %+v", f.Text, f.Try)
	}
	followed(t, control, TraceOptions{After: before}, func(i explain.Item) bool {
		return i.Write.Object.Resource == "pods" && i.Write.Who == "kube-scheduler" && strings.HasPrefix(i.Write.Object.Name, "huge")
	})
	if f := wanted("deploy", "huge", "PodUnschedulable"); len(f.Tables) == 0 || len(f.Tables[0].Rows) != 3 {
		t.Errorf("the scheduler's table of nodes: %+v", f.Tables)
	}
	decisions, err := control.Decisions(ctx, "default", wanted("deploy", "huge", "PodUnschedulable").About.Name)
	if err != nil || len(decisions) == 0 || decisions[0].Outcome != "Unschedulable" {
		t.Errorf("decisions: %+v (%v)", decisions, err)
	}
	difference, err := control.Diff(ctx, "", "default", "", "en")
	if err != nil {
		t.Fatal(err)
	}
	row := difference.Rows[slices.IndexFunc(difference.Rows, func(r *explain.Row) bool { return r.Object.Name == "huge" })]
	if !row.Differs || row.State != explain.StateFailed || row.Wanted != 1 || row.Ready != 0 || !strings.Contains(row.Text, "No node can take") {
		t.Errorf("the row of what cannot run: %+v", row)
	}
}

func TestFaults(t *testing.T) {
	c, control := startExplained(t)
	ctx := t.Context()
	slow, err := control.Break(ctx, Fault{Kind: FaultSlowAPI, Delay: "300ms"})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := client.Of[*corev1.ConfigMap](c.AdminClient()).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Namespace: "default"}}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("a write took %s with a slow API", took)
	}
	if err := control.Mend(ctx, slow.Name); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{FaultStopNode, FaultCutNode} {
		made, err := control.Break(ctx, Fault{Kind: kind, Target: "worker-1"})
		if err != nil {
			t.Fatal(err)
		}
		if faults, err := control.Faults(ctx); err != nil || len(faults) != 1 || faults[0].Name != kind+"-worker-1" {
			t.Errorf("faults: %+v (%v)", faults, err)
		}
		why, err := control.Why(ctx, "node", "", "worker-1", "en")
		if err != nil || len(why.Findings) == 0 || why.Findings[0].Reason != "NodeBroken" {
			t.Errorf("why of a broken node: %+v (%v)", why, err)
		}
		if _, err := control.Break(ctx, Fault{Kind: kind, Target: "worker-1"}); err == nil {
			t.Errorf("%s twice", kind)
		}
		if err := control.Mend(ctx, made.Name); err != nil {
			t.Error(err)
		}
		if err := control.Mend(ctx, made.Name); err == nil || !strings.Contains(err.Error(), "no such fault") {
			t.Errorf("undone twice: %v", err)
		}
	}
	followed(t, control, TraceOptions{Namespace: "kube-system"}, func(i explain.Item) bool { // a pod needs it
		return i.Write.Object.Resource == "serviceaccounts" && i.Write.Object.Name == "default"
	})
	full, err := control.Break(ctx, Fault{Kind: FaultFillNode, Target: "worker-2"})
	if err != nil {
		t.Fatal(err)
	}
	filler := "fill-node-worker-2"
	if _, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, "kube-system", filler); err != nil {
		t.Error(err)
	}
	if err := control.Mend(ctx, full.Name); err != nil {
		t.Error(err)
	}
	if p, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, "kube-system", filler); err == nil && p.DeletionTimestamp == nil || err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("the filler stays: %v", err)
	}
	probed := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probed", Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "nginx", ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1,
			ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}}}}}
	followed(t, control, TraceOptions{Namespace: "default"}, func(i explain.Item) bool { return i.Write.Object.Resource == "serviceaccounts" })
	before := c.store.Revision()
	if _, err := client.Of[*corev1.Pod](c.AdminClient()).Create(ctx, probed); err != nil {
		t.Fatal(err)
	}
	ready := func(wanted corev1.ConditionStatus) func(explain.Item) bool {
		return func(explain.Item) bool {
			p, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, "default", "probed")
			return err == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == wanted })
		}
	}
	followed(t, control, TraceOptions{After: before}, ready(corev1.ConditionTrue))
	failing, err := control.Break(ctx, Fault{Kind: FaultProbes, Namespace: "default", Target: "probed"})
	if err != nil {
		t.Fatal(err)
	}
	followed(t, control, TraceOptions{After: before}, ready(corev1.ConditionFalse))
	if err := control.Mend(ctx, failing.Name); err != nil {
		t.Error(err)
	}
	followed(t, control, TraceOptions{After: before}, ready(corev1.ConditionTrue))
	for _, bad := range []Fault{{Kind: FaultProbes, Namespace: "default", Target: "none"}, {Kind: "flood"}, {Kind: FaultStopNode, Target: "nowhere"}, {Kind: FaultSlowAPI, Delay: "soon"}, {Kind: FaultCrash, Namespace: "default", Target: "none"}} {
		if _, err := control.Break(ctx, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}
