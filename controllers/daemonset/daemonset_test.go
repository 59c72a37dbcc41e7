package daemonset_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/daemonset"
)

func start(t *testing.T, nodes int) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{daemonset.New(base)}
	})
	for i := range nodes {
		addNode(c, fmt.Sprintf("n%d", i), nil)
	}
	return c
}

func addNode(c *controllertest.Cluster, name string, labels map[string]string, taints ...corev1.Taint) {
	controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}})
	c.Settle()
}

func create(c *controllertest.Cluster, change func(*appsv1.DaemonSetSpec)) {
	c.T.Helper()
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "log", Namespace: "default"}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "log"}}, Template: controllertest.Template("log", "log:1"),
	}}
	if change != nil {
		change(&set.Spec)
	}
	controllertest.Create(c, set)
	c.Settle()
}

// node is where a pod is to be scheduled.
func node(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return pod.Spec.NodeName
	}
	return pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values[0]
}

// play is the scheduler and the kubelets, once.
func play(c *controllertest.Cluster) {
	c.T.Helper()
	for i, pod := range controllertest.List[*corev1.Pod](c, "default") {
		switch {
		case pod.DeletionTimestamp != nil:
			controllertest.Delete[*corev1.Pod](c, "default", pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		case !controllers.IsReady(pod) && !controllers.IsFinished(pod):
			if pod.Spec.NodeName == "" {
				c.Bind(pod, node(pod))
			}
			c.Ready(pod, i)
		}
	}
	c.Settle()
}

func playAll(c *controllertest.Cluster) {
	for range 20 {
		play(c)
	}
}

func pods(c *controllertest.Cluster) []string {
	var list []string
	for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
		text := node(pod) + " " + strings.TrimPrefix(pod.Spec.Containers[0].Image, "log:")
		if pod.DeletionTimestamp != nil {
			text += " ending"
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

func wantPods(c *controllertest.Cluster, when string, want ...string) {
	c.T.Helper()
	if diff := cmp.Diff(want, pods(c)); diff != "" {
		c.T.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestOnePodPerNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		create(c, nil)
		wantPods(c, "at once", "n0 1", "n1 1")
		playAll(c)
		addNode(c, "n2", nil)
		wantPods(c, "a new node", "n0 1", "n1 1", "n2 1")
		pod := controllertest.List[*corev1.Pod](c, "default")[0]
		if len(pod.Spec.Tolerations) != 6 && len(pod.Spec.Tolerations) != 8 {
			t.Errorf("tolerations are %v", pod.Spec.Tolerations)
		}
		if pod.Labels["controller-revision-hash"] == "" || pod.Labels["pod-template-generation"] != "1" {
			t.Errorf("labels are %v", pod.Labels)
		}
		playAll(c)
		want := appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, CurrentNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3, UpdatedNumberScheduled: 3, ObservedGeneration: 1}
		if diff := cmp.Diff(want, controllertest.Get[*appsv1.DaemonSet](c, "default", "log").Status); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
}

func TestSelectorAndTaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		addNode(c, "gpu", map[string]string{"gpu": "yes"})
		addNode(c, "gpu-busy", map[string]string{"gpu": "yes"}, corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule})
		addNode(c, "gpu-sick", map[string]string{"gpu": "yes"}, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute})
		create(c, func(s *appsv1.DaemonSetSpec) { s.Template.Spec.NodeSelector = map[string]string{"gpu": "yes"} })
		wantPods(c, "where it may", "gpu 1", "gpu-sick 1")
		playAll(c)
		controllertest.Change(c, "", "gpu", func(n *corev1.Node) { n.Labels["gpu"] = "no" })
		c.Settle()
		wantPods(c, "a label was taken away", "gpu 1 ending", "gpu-sick 1")
		playAll(c)
		controllertest.Change(c, "", "gpu-sick", func(n *corev1.Node) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule})
		})
		c.Settle()
		wantPods(c, "NoSchedule does not drive a running pod away", "gpu-sick 1")
	})
}

func rolling(surge, unavailable *intstr.IntOrString) func(*appsv1.DaemonSetSpec) {
	return func(s *appsv1.DaemonSetSpec) {
		s.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxSurge: surge, MaxUnavailable: unavailable}}
	}
}

func update(c *controllertest.Cluster) {
	controllertest.Change(c, "default", "log", func(set *appsv1.DaemonSet) { set.Spec.Template.Spec.Containers[0].Image = "log:2" })
	c.Settle()
}

func TestRollingUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		create(c, rolling(nil, ptr.To(intstr.FromInt32(1))))
		playAll(c)
		update(c)
		ending := 0
		for _, pod := range pods(c) {
			if strings.HasSuffix(pod, "ending") {
				ending++
			}
		}
		if ending != 1 {
			t.Errorf("%d pods at once: %v", ending, pods(c))
		}
		playAll(c)
		wantPods(c, "in the end", "n0 2", "n1 2", "n2 2")
	})
}

func TestSurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		create(c, rolling(ptr.To(intstr.FromInt32(1)), ptr.To(intstr.FromInt32(0))))
		playAll(c)
		update(c)
		if got := pods(c); len(got) != 3 {
			t.Errorf("a new pod beside the old ones: %v", got)
		}
		playAll(c)
		wantPods(c, "in the end", "n0 2", "n1 2")
	})
}

func TestOnDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		create(c, func(s *appsv1.DaemonSetSpec) { s.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType })
		playAll(c)
		update(c)
		wantPods(c, "nothing changes by itself", "n0 1")
		controllertest.Delete[*corev1.Pod](c, "default", controllertest.List[*corev1.Pod](c, "default")[0].Name)
		playAll(c)
		wantPods(c, "a deleted pod is new", "n0 2")
	})
}

func TestFailedPodIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		create(c, nil)
		playAll(c)
		first := controllertest.List[*corev1.Pod](c, "default")[0]
		c.Phase(first, corev1.PodFailed)
		playAll(c)
		if again := controllertest.List[*corev1.Pod](c, "default"); len(again) != 1 || again[0].UID == first.UID {
			t.Errorf("pods are %v", pods(c))
		}
		if got := c.Events("DaemonSet", "log"); !slices.ContainsFunc(got, func(e string) bool {
			return strings.HasPrefix(e, "FailedDaemonPod: Found failed daemon pod default/"+first.Name)
		}) {
			t.Errorf("events are %v", got)
		}
	})
}

func status(c *controllertest.Cluster) appsv1.DaemonSetStatus {
	return controllertest.Get[*appsv1.DaemonSet](c, "default", "log").Status
}

// A pod that has ended and is deleted keeps its node for nobody, however long others hold it.
func TestAnEndedPodThatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		create(c, nil)
		play(c)
		pod := controllertest.List[*corev1.Pod](c, "default")[0]
		controllertest.Change(c, "default", pod.Name, func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/keep"} })
		c.Phase(pod, corev1.PodFailed)
		c.Settle()
		wantPods(c, "beside it", "n0 1", "n0 1 ending")
		if got := status(c); got.CurrentNumberScheduled != 1 || got.NumberReady != 0 {
			t.Errorf("status is %+v", got)
		}
	})
}

// With a surge, a node gets its new pod beside one that is on its way out.
func TestSurgeBesideAnEndingPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		create(c, rolling(ptr.To(intstr.FromInt32(1)), ptr.To(intstr.FromInt32(0))))
		play(c)
		controllertest.Delete[*corev1.Pod](c, "default", controllertest.List[*corev1.Pod](c, "default")[0].Name)
		c.Settle()
		wantPods(c, "while it ends", "n0 1", "n0 1 ending")
	})
}

// While old and new pods stand side by side the old one counts for its node.
func TestStatusOfASurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		create(c, rolling(ptr.To(intstr.FromInt32(1)), ptr.To(intstr.FromInt32(0))))
		play(c)
		c.Pass(time.Second)
		update(c)
		for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
			if pod.Spec.NodeName == "" {
				c.Bind(pod, node(pod))
			}
		}
		c.Settle()
		wantPods(c, "side by side", "n0 1", "n0 2")
		if got := status(c); got.NumberReady != 1 || got.NumberAvailable != 1 || got.UpdatedNumberScheduled != 0 {
			t.Errorf("status is %+v", got)
		}
	})
}

var dedicated = corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}

func taint(c *controllertest.Cluster, name string) {
	controllertest.Change(c, "", name, func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, dedicated) })
	c.Settle()
}

func podOn(c *controllertest.Cluster, name, version string) *corev1.Pod {
	c.T.Helper()
	for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
		if node(pod) == name && pod.Spec.Containers[0].Image == "log:"+version {
			return pod
		}
	}
	c.T.Fatalf("%s has no pod of version %s: %v", name, version, pods(c))
	return nil
}

// An update takes old pods also off nodes that would get none today.
func TestUpdateOfATaintedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		create(c, rolling(nil, ptr.To(intstr.FromInt32(1))))
		playAll(c)
		taint(c, "n1")
		wantPods(c, "before the update", "n0 1", "n1 1")
		update(c)
		playAll(c)
		wantPods(c, "after it", "n0 2")
	})
}

// With a surge, such a pod stays for as long as too few others are available.
func TestSurgeWithATaintedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		create(c, rolling(ptr.To(intstr.FromInt32(1)), ptr.To(intstr.FromInt32(0))))
		playAll(c)
		taint(c, "n2")
		c.Unready(podOn(c, "n1", "1"))
		c.Settle()
		update(c)
		wantPods(c, "one is missing", "n0 1", "n0 2", "n1 1 ending", "n1 2", "n2 1")
		c.Bind(podOn(c, "n1", "2"), "n1")
		c.Ready(podOn(c, "n1", "2"), 7)
		c.Settle()
		wantPods(c, "none is missing", "n0 1", "n0 2", "n1 1 ending", "n1 2", "n2 1 ending")
	})
}

func TestSurgeTakesABrokenPodOffATaintedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		create(c, rolling(ptr.To(intstr.FromInt32(1)), ptr.To(intstr.FromInt32(0))))
		playAll(c)
		taint(c, "n1")
		c.Unready(podOn(c, "n1", "1"))
		update(c)
		wantPods(c, "at once", "n0 1", "n0 2", "n1 1 ending")
	})
}
