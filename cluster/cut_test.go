package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/explain"
)

// A node whose cable is pulled: nothing gets to its pods from outside, or from them to others, and inside it all goes on.
func TestNothingPassesTheCutOfANode(t *testing.T) {
	c, control := startExplained(t)
	ctx := t.Context()
	for node, replicas := range map[string]int32{"worker-1": 2, "worker-2": 1} {
		deployment := webDeployment("on-"+node, replicas)
		deployment.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
		if _, err := client.Of[*appsv1.Deployment](c.AdminClient()).Create(ctx, deployment); err != nil {
			t.Fatal(err)
		}
	}
	left := map[string]string{"on-worker-1": "2", "on-worker-2": "1"}
	followed(t, control, TraceOptions{Namespace: "default", Changes: true}, func(i explain.Item) bool {
		if i.Write == nil || i.Write.Object.Resource != "deployments" {
			return false
		}
		for _, change := range i.Write.Changes {
			if change.Path == "status.availableReplicas" && fmt.Sprint(change.New) == left[i.Write.Object.Name] {
				delete(left, i.Write.Object.Name)
			}
		}
		return len(left) == 0
	})
	pods, err := client.Of[*corev1.Pod](c.AdminClient()).List(ctx, "default", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	on := map[string][]netip.Addr{}
	for _, pod := range pods {
		on[pod.Spec.NodeName] = append(on[pod.Spec.NodeName], netip.MustParseAddr(pod.Status.PodIP))
	}
	here, beside, far := on["worker-1"][0], on["worker-1"][1], on["worker-2"][0]
	outside := netip.Addr{}
	fault, err := control.Break(ctx, Fault{Kind: FaultCutNode, Target: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		from, to netip.Addr
		passes   bool
	}{
		{outside, here, false}, {far, here, false}, {here, far, false}, {here, c.ranges.DNS, false}, {here, beside, true}, {outside, far, true}, {far, c.ranges.DNS, true},
	} {
		if got := c.table.Reaches(way.from, way.to); got != way.passes {
			t.Errorf("from %v to %v: %t", way.from, way.to, got)
		}
	}
	between := func(from, to netip.Addr) error {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		dial := c.dialPod
		if from.IsValid() {
			dial = func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
				return c.machines.(*simulation).network.DialFrom(ctx, network, from, to)
			}
		}
		conn, err := dial(short, "tcp", netip.AddrPortFrom(to, 80))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	reach := func(to netip.Addr) error { return between(outside, to) }
	if between(far, here) == nil || between(here, far) == nil {
		t.Error("pods of two nodes reached each other over the cut")
	}
	if err := between(here, beside); err != nil {
		t.Errorf("pods of one node: %v", err)
	}
	if err := reach(here); err == nil {
		t.Error("a pod of the node that is cut off was reached")
	}
	if err := reach(far); err != nil {
		t.Errorf("a pod of the other node: %v", err)
	}
	if err := control.Mend(ctx, fault.Name); err != nil {
		t.Fatal(err)
	}
	if err := reach(here); err != nil {
		t.Errorf("after the fault is undone: %v", err)
	}
}
