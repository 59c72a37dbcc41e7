package podgc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/podgc"
)

func start(t *testing.T, threshold int) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{podgc.New(base, threshold)}
	})
}

func node(c *controllertest.Cluster, name string) {
	controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// pod makes a pod on a node; a finalizer lets a test look at it after its deletion.
func pod(c *controllertest.Cluster, name, node string, finalizers ...string) *corev1.Pod {
	made := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Finalizers: finalizers},
		Spec: controllertest.Template("web", "nginx").Spec})
	if node != "" {
		c.Bind(made, node)
	}
	c.Settle()
	return made
}

func want(c *controllertest.Cluster, names ...string) {
	c.T.Helper()
	c.Settle()
	var got []string
	for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
		got = append(got, pod.Name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(names, got); diff != "" {
		c.T.Fatalf("pods (-want +got):\n%s", diff)
	}
}

func TestPodsOfANodeThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		node(c, "worker-1")
		node(c, "worker-2")
		pod(c, "a", "worker-1", "example.org/hold")
		pod(c, "b", "worker-2")
		controllertest.Delete[*corev1.Node](c, "", "worker-1")
		c.Pass(39 * time.Second)
		if got := controllertest.Get[*corev1.Pod](c, "default", "a"); got.DeletionTimestamp != nil {
			t.Fatal("deleted before the quarantine was over")
		}
		c.Pass(time.Second)
		a := controllertest.Get[*corev1.Pod](c, "default", "a")
		if a.DeletionTimestamp == nil || a.Status.Phase != corev1.PodFailed {
			t.Errorf("the pod is in phase %s, deleted %v", a.Status.Phase, a.DeletionTimestamp)
		}
		i := slices.IndexFunc(a.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
		if i < 0 || a.Status.Conditions[i].Reason != "DeletionByPodGC" || a.Status.Conditions[i].Message != "PodGC: node no longer exists" {
			t.Errorf("conditions %+v", a.Status.Conditions)
		}
		want(c, "a", "b")
	})
}

// Before a pod goes it is said to have failed, unless it had finished; only one whose node is gone was disrupted.
func TestWhatIsSaidOfAPodBeforeItGoes(t *testing.T) {
	for name, test := range map[string]struct {
		finished  bool
		happens   func(c *controllertest.Cluster)
		phase     corev1.PodPhase
		disrupted bool
	}{
		"its node is gone": {
			happens: func(c *controllertest.Cluster) { controllertest.Delete[*corev1.Node](c, "", "worker-1") },
			phase:   corev1.PodFailed, disrupted: true,
		},
		"it has finished and its node is gone": {
			finished: true,
			happens:  func(c *controllertest.Cluster) { controllertest.Delete[*corev1.Node](c, "", "worker-1") },
			phase:    corev1.PodSucceeded,
		},
		"its node is out of service": {
			happens: func(c *controllertest.Cluster) {
				controllertest.Delete[*corev1.Pod](c, "default", "on")
				controllertest.Change(c, "", "worker-1", func(node *corev1.Node) {
					node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}
				})
			},
			phase: corev1.PodFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, 0)
				node(c, "worker-1")
				made := pod(c, "on", "worker-1", "example.org/hold")
				if test.finished {
					c.Phase(made, corev1.PodSucceeded)
				}
				test.happens(c)
				c.Pass(time.Minute)
				got := controllertest.Get[*corev1.Pod](c, "default", "on")
				disrupted := slices.ContainsFunc(got.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
				if got.DeletionTimestamp == nil || got.Status.Phase != test.phase || disrupted != test.disrupted {
					t.Errorf("deleted %v, phase %s, disrupted %v", got.DeletionTimestamp, got.Status.Phase, disrupted)
				}
				if !test.finished && got.Status.ObservedGeneration == 0 {
					t.Error("no generation was observed")
				}
			})
		})
	}
}

func TestAPodThatNeverHadANodeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		pod(c, "a", "", "example.org/hold")
		controllertest.Delete[*corev1.Pod](c, "default", "a")
		c.Settle()
		if got := controllertest.Get[*corev1.Pod](c, "default", "a"); got.Status.Phase != corev1.PodFailed {
			t.Errorf("phase %s", got.Status.Phase)
		}
	})
}

func TestANodeThatComesBackKeepsItsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		node(c, "worker-1")
		pod(c, "a", "worker-1")
		controllertest.Delete[*corev1.Node](c, "", "worker-1")
		c.Pass(20 * time.Second)
		node(c, "worker-1")
		c.Pass(time.Hour)
		want(c, "a")
	})
}

// A write that fails is tried again until the pods are gone, and a pod deleted by somebody else meanwhile is no error.
func TestFailingWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		node(c, "worker-1")
		for i := range 5 {
			pod(c, fmt.Sprint("pod-", i), "worker-1")
		}
		var writes atomic.Int64 // the pods of a node are removed side by side
		c.Faults.Set(func(verb, resource, _ string) error {
			if resource != "pods" {
				return nil
			}
			if writes.Add(1)%2 == 1 {
				return errors.New("lost")
			}
			return nil
		})
		controllertest.Delete[*corev1.Node](c, "", "worker-1")
		c.Pass(30 * time.Second)
		controllertest.Delete[*corev1.Pod](c, "default", "pod-3", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.Pass(time.Minute)
		want(c)
		for _, record := range records(c) {
			if strings.Contains(record, "not found") {
				t.Errorf("an error for a pod that is gone: %s", record)
			}
		}
	})
}

func records(c *controllertest.Cluster) []string {
	var texts []string
	all, _ := c.Machine.After("")
	for _, record := range all {
		texts = append(texts, record.Error)
	}
	return texts
}

func TestADeletedPodThatNeverHadANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		pod(c, "a", "")
		controllertest.Delete[*corev1.Pod](c, "default", "a")
		want(c)
	})
}

func TestPodsOfANodeOutOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		node(c, "worker-1")
		pod(c, "ending", "worker-1")
		pod(c, "running", "worker-1")
		controllertest.Delete[*corev1.Pod](c, "default", "ending")
		want(c, "ending", "running")
		controllertest.Change(c, "", "worker-1", func(node *corev1.Node) {
			node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}
		})
		want(c, "running")
		controllertest.Delete[*corev1.Pod](c, "default", "running")
		want(c)
	})
}

// Of the finished pods, evicted ones go first, then the oldest; those that still run do not count.
func TestFinishedPodsBeyondTheThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		node(c, "worker-1")
		for _, name := range []string{"a", "b", "c", "evicted"} {
			made := pod(c, name, "worker-1")
			c.Pass(time.Second)
			controllertest.ChangeStatus(c, "default", made.Name, func(p *corev1.Pod) {
				p.Status.Phase = corev1.PodSucceeded
				if name == "evicted" {
					p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
				}
			})
		}
		pod(c, "running", "worker-1")
		c.Pass(time.Minute)
		want(c, "b", "c", "running")
	})
}
