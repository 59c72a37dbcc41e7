package nodelifecycle_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/controllers"
	"kubette/controllers/controllertest"
)

// Only a node that falls silent while it is ready takes its pods' readiness: a kubelet that says that the node is not
// ready still speaks for its pods.
func TestWhoseSilenceMarksPods(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(c *controllertest.Cluster)
		node    []string
		pod     []string
		ready   bool
	}{
		"a ready node falls silent": {
			happens: func(c *controllertest.Cluster) { pass(c, time.Minute, "worker-1") },
			node:    []string{"NodeNotReady: Node worker-2 status is now: NodeNotReady"},
			pod:     []string{"NodeNotReady: Node is not ready"},
		},
		"with a pod on its way out": {
			happens: func(c *controllertest.Cluster) {
				controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Finalizers = []string{"example.org/hold"} })
				controllertest.Delete[*corev1.Pod](c, "default", "web")
				pass(c, time.Minute, "worker-1")
			},
			node: []string{"NodeNotReady: Node worker-2 status is now: NodeNotReady"},
			pod:  []string{"NodeNotReady: Node is not ready"},
		},
		"the kubelet says not ready": {
			happens: func(c *controllertest.Cluster) {
				post(c, "worker-2", corev1.ConditionFalse)
				pass(c, 20*time.Second, "worker-1", "worker-2")
			},
			ready: true,
		},
		"the kubelet says not ready, then falls silent": {
			happens: func(c *controllertest.Cluster) {
				post(c, "worker-2", corev1.ConditionFalse)
				pass(c, time.Minute, "worker-1")
			},
			ready: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, 2)
				pod(c, "web", "worker-2", tolerate("unreachable", 300), tolerate("not-ready", 300))
				test.happens(c)
				node := append([]string{"RegisteredNode: Node worker-2 event: Registered Node worker-2 in Controller"}, test.node...)
				if diff := cmp.Diff(node, c.Events("Node", "worker-2")); diff != "" {
					t.Errorf("events of the node (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.pod, c.Events("Pod", "web")); diff != "" {
					t.Errorf("events of the pod (-want +got):\n%s", diff)
				}
				if got := controllers.IsReady(controllertest.Get[*corev1.Pod](c, "default", "web")); got != test.ready {
					t.Errorf("the pod is ready: %v", got)
				}
			})
		})
	}
}

func TestTaintsFollowTheOrderOfTheConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		controllertest.ChangeStatus(c, "", "worker-2", func(node *corev1.Node) {
			node.Spec.Unschedulable = true
			node.Status.Conditions = []corev1.NodeCondition{
				{Type: corev1.NodePIDPressure, Status: corev1.ConditionTrue},
				{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue},
				{Type: corev1.NodeReady, Status: corev1.ConditionFalse, LastHeartbeatTime: metav1.Now()},
			}
		})
		c.Settle()
		want := "pid-pressure:NoSchedule memory-pressure:NoSchedule not-ready:NoSchedule not-ready:NoExecute"
		if got := taints(c, "worker-2"); got != want {
			t.Errorf("taints %q, wanted %q", got, want)
		}
	})
}

// When the first node is heard again, the others are tainted one every ten seconds, the first of them after ten.
func TestThePaceAfterAllWereSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		c.Pass(time.Hour)
		post(c, "worker-1", corev1.ConditionTrue)
		for _, step := range []struct {
			pass   time.Duration
			wanted int
		}{{9 * time.Second, 0}, {2 * time.Second, 1}, {8 * time.Second, 1}, {2 * time.Second, 2}} {
			pass(c, step.pass, "worker-1")
			evicting := strings.Count(taints(c, "worker-2")+taints(c, "worker-3"), "NoExecute")
			if evicting != step.wanted {
				t.Errorf("after %v more, %d nodes are tainted against running pods, wanted %d", step.pass, evicting, step.wanted)
			}
		}
	})
}

// A node with the label is not counted: with it as the only one that is heard, all are silent.
func TestANodeThatIsNotCounted(t *testing.T) {
	for name, test := range map[string]struct {
		excluded string
		wanted   string
	}{
		"the one that is heard":  {excluded: "worker-1", wanted: "unreachable:NoSchedule"},
		"the one that is silent": {excluded: "worker-2", wanted: "unreachable:NoSchedule unreachable:NoExecute"},
		"neither":                {wanted: "unreachable:NoSchedule unreachable:NoExecute"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, 2)
				if test.excluded != "" {
					controllertest.Change(c, "", test.excluded, func(node *corev1.Node) {
						node.Labels = map[string]string{"node.kubernetes.io/exclude-disruption": ""}
					})
				}
				pass(c, time.Minute, "worker-1")
				if got := taints(c, "worker-2"); got != test.wanted {
					t.Errorf("taints %q, wanted %q", got, test.wanted)
				}
			})
		})
	}
}

func TestANodeWhoseKubeletNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "ghost"}})
		pass(c, 59*time.Second, "worker-1")
		if got := controllertest.Get[*corev1.Node](c, "", "ghost").Status.Conditions; len(got) != 0 {
			t.Fatalf("conditions within a minute: %+v", got)
		}
		pass(c, time.Second, "worker-1")
		got := controllertest.Get[*corev1.Node](c, "", "ghost").Status.Conditions
		if len(got) != 4 {
			t.Fatalf("%d conditions", len(got))
		}
		for _, condition := range got {
			if condition.Status != corev1.ConditionUnknown || condition.Reason != "NodeStatusNeverUpdated" ||
				condition.Message != "Kubelet never posted node status." {
				t.Errorf("condition %+v", condition)
			}
		}
		if len(c.Events("Node", "ghost")) != 1 {
			t.Errorf("events %q, wanted the registration only", c.Events("Node", "ghost"))
		}
	})
}
