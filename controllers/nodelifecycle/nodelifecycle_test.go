package nodelifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/nodelifecycle"
	"kubette/controllers/podgc"
	"kubette/controllers/tainteviction"
)

func start(t *testing.T, nodes int) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{nodelifecycle.New(base, nodelifecycle.Options{}), tainteviction.New(base), podgc.New(base, 0)}
	})
	controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: corev1.NamespaceNodeLease}})
	var names []string
	for i := range nodes {
		name := fmt.Sprintf("worker-%d", i+1)
		controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		controllertest.Create(c, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: corev1.NamespaceNodeLease}})
		post(c, name, corev1.ConditionTrue)
		names = append(names, name)
	}
	// A zone whose first node was not ready when it came makes others wait for their taints.
	pass(c, 10*time.Second, names...)
	return c
}

// post is a kubelet that reports its node's state.
func post(c *controllertest.Cluster, name string, ready corev1.ConditionStatus) {
	c.T.Helper()
	controllertest.ChangeStatus(c, "", name, func(node *corev1.Node) {
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	})
	beat(c, name)
}

func beat(c *controllertest.Cluster, names ...string) {
	c.T.Helper()
	for _, name := range names {
		controllertest.Change(c, corev1.NamespaceNodeLease, name, func(lease *coordinationv1.Lease) { lease.Spec.RenewTime = ptr.To(metav1.NowMicro()) })
	}
}

// pass lets time pass while some nodes beat every 10 s.
func pass(c *controllertest.Cluster, d time.Duration, alive ...string) {
	for ; d > 0; d -= 10 * time.Second {
		c.Pass(min(d, 10*time.Second))
		beat(c, alive...)
	}
	c.Settle()
}

func taints(c *controllertest.Cluster, name string) string {
	var list []string
	for _, taint := range controllertest.Get[*corev1.Node](c, "", name).Spec.Taints {
		list = append(list, strings.TrimPrefix(taint.ToString(), "node.kubernetes.io/"))
	}
	return strings.Join(list, " ")
}

func ready(c *controllertest.Cluster, name string) corev1.ConditionStatus {
	return controllers.NodeCondition(controllertest.Get[*corev1.Node](c, "", name), corev1.NodeReady).Status
}

func pod(c *controllertest.Cluster, name, node string, tolerations ...corev1.Toleration) *corev1.Pod {
	spec := controllertest.Template("web", "nginx").Spec
	spec.Tolerations = tolerations
	p := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: spec})
	c.Bind(p, node)
	c.Ready(p, 1)
	return controllertest.Get[*corev1.Pod](c, "default", name)
}

func tolerate(key string, seconds int64) corev1.Toleration {
	return corev1.Toleration{Key: "node.kubernetes.io/" + key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}
}

func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		pod(c, "web", "worker-2", tolerate("unreachable", 300))
		pass(c, 49*time.Second, "worker-1")
		if got := ready(c, "worker-2"); got != corev1.ConditionTrue {
			t.Fatalf("ready is %s within the grace period", got)
		}
		pass(c, time.Second, "worker-1")
		if got := ready(c, "worker-2"); got != corev1.ConditionUnknown {
			t.Fatalf("ready is %s after 50 s of silence", got)
		}
		if got, want := taints(c, "worker-2"), "unreachable:NoSchedule unreachable:NoExecute"; got != want {
			t.Errorf("taints are %q, wanted %q", got, want)
		}
		if controllers.IsReady(controllertest.Get[*corev1.Pod](c, "default", "web")) {
			t.Error("the pod of the silent node is still ready")
		}
		if got := ready(c, "worker-1"); got != corev1.ConditionTrue {
			t.Errorf("the other node is %s", got)
		}
		pass(c, 299*time.Second, "worker-1")
		if controllertest.Get[*corev1.Pod](c, "default", "web").DeletionTimestamp != nil {
			t.Error("evicted before its toleration ended")
		}
		pass(c, 2*time.Second, "worker-1")
		evicted := controllertest.Get[*corev1.Pod](c, "default", "web")
		if evicted.DeletionTimestamp == nil {
			t.Fatal("not evicted after 300 s")
		}
		if condition := controllers.PodCondition(&evicted.Status, corev1.DisruptionTarget); condition == nil || condition.Reason != "DeletionByTaintManager" {
			t.Errorf("disruption target is %v", condition)
		}
	})
}

func TestNodeRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		pod(c, "web", "worker-2", tolerate("unreachable", 300))
		pass(c, 60*time.Second, "worker-1")
		post(c, "worker-2", corev1.ConditionTrue)
		c.Settle()
		if got := taints(c, "worker-2"); got != "" {
			t.Errorf("a node that has recovered keeps the taints %s", got)
		}
		pass(c, 400*time.Second, "worker-1", "worker-2")
		if controllertest.Get[*corev1.Pod](c, "default", "web").DeletionTimestamp != nil {
			t.Error("evicted although the node recovered")
		}
		want := []string{"NodeNotReady: Node is not ready", "TaintManagerEviction: Cancelling deletion of Pod default/web"}
		if diff := cmp.Diff(want, c.Events("Pod", "web")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// The kubelet's heartbeat makes the controller's copy old, but asks it for nothing.
func TestAHeartbeatBetweenReadingAndUntainting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		pass(c, 60*time.Second, "worker-1")
		if taints(c, "worker-2") == "" {
			t.Fatal("the silent node has no taint")
		}
		refused := 0
		c.Faults.Set(func(verb, resource, name string) error {
			if verb == "update" && resource == "nodes" && refused == 0 {
				refused++
				controllertest.ChangeStatus(c, "", name, func(node *corev1.Node) {
					node.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Now().Add(time.Second))
				})
			}
			return nil
		})
		post(c, "worker-2", corev1.ConditionTrue)
		pass(c, time.Second, "worker-1", "worker-2")
		if got := taints(c, "worker-2"); refused != 1 || got != "" {
			t.Errorf("after %d heartbeats in between, a node that has recovered keeps the taints %s", refused, got)
		}
	})
}

func TestUntoleratedTaint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		pod(c, "plain", "worker-1")
		pod(c, "tough", "worker-1", corev1.Toleration{Operator: corev1.TolerationOpExists})
		controllertest.Change(c, "", "worker-1", func(node *corev1.Node) {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoExecute})
		})
		c.Settle()
		if controllertest.Get[*corev1.Pod](c, "default", "plain").DeletionTimestamp == nil {
			t.Error("a pod that does not tolerate the taint stays")
		}
		if controllertest.Get[*corev1.Pod](c, "default", "tough").DeletionTimestamp != nil {
			t.Error("a pod that tolerates everything was evicted")
		}
	})
}

func TestConditionsAndCordonBecomeTaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		controllertest.Change(c, "", "worker-1", func(node *corev1.Node) { node.Spec.Unschedulable = true })
		post(c, "worker-2", corev1.ConditionFalse)
		c.Settle()
		if got, want := taints(c, "worker-1"), "unschedulable:NoSchedule"; got != want {
			t.Errorf("cordoned: %q, wanted %q", got, want)
		}
		if got, want := taints(c, "worker-2"), "not-ready:NoSchedule not-ready:NoExecute"; got != want {
			t.Errorf("not ready: %q, wanted %q", got, want)
		}
	})
}

func TestNoEvictionWhenAllAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		pod(c, "web", "worker-2", tolerate("unreachable", 300))
		c.Pass(time.Hour)
		for _, name := range []string{"worker-1", "worker-2"} {
			if got, want := taints(c, name), "unreachable:NoSchedule"; got != want {
				t.Errorf("taints of %s are %q, wanted %q", name, got, want)
			}
		}
		if controllertest.Get[*corev1.Pod](c, "default", "web").DeletionTimestamp != nil {
			t.Error("evicted although every node is silent")
		}
	})
}

func TestPodsOfAGoneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		pod(c, "web", "worker-2")
		controllertest.Delete[*corev1.Node](c, "", "worker-2")
		c.Pass(39 * time.Second)
		controllertest.Get[*corev1.Pod](c, "default", "web")
		c.Pass(2 * time.Second)
		if left := controllertest.List[*corev1.Pod](c, "default"); len(left) != 0 {
			t.Errorf("%d pods outlive their node", len(left))
		}
	})
}
