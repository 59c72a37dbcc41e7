package tainteviction_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/tainteviction"
)

var (
	maintenance = corev1.Taint{Key: "maintenance", Value: "yes", Effect: corev1.TaintEffectNoExecute}
	disk        = corev1.Taint{Key: "disk", Effect: corev1.TaintEffectNoExecute}
	scheduling  = corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoSchedule}
)

func tolerates(key string, seconds *int64) corev1.Toleration {
	return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: seconds}
}

func start(t *testing.T, tolerations ...corev1.Toleration) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{tainteviction.New(base)}
	})
	controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}})
	create(c, tolerations...)
	return c
}

func create(c *controllertest.Cluster, tolerations ...corev1.Toleration) {
	c.T.Helper()
	spec := controllertest.Template("web", "nginx").Spec
	spec.Tolerations = tolerations
	// The finalizer keeps the pod, so that a test can look at what was done to it.
	c.Bind(controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Finalizers: []string{"example.org/hold"}}, Spec: spec}), "worker-1")
	c.Settle()
}

// taint replaces the node's taints.
func taint(c *controllertest.Cluster, taints ...corev1.Taint) {
	c.T.Helper()
	for i := range taints {
		taints[i].TimeAdded = ptr.To(metav1.Now())
	}
	controllertest.Change(c, "", "worker-1", func(node *corev1.Node) { node.Spec.Taints = taints })
	c.Settle()
}

func evicted(c *controllertest.Cluster) bool {
	c.T.Helper()
	pod, err := client.Of[*corev1.Pod](c.Client).Get(context.Background(), "default", "web")
	if err != nil && !apierrors.IsNotFound(err) {
		c.T.Fatal(err)
	}
	return err != nil || pod.DeletionTimestamp != nil
}

func TestWhenAPodIsEvicted(t *testing.T) {
	for name, test := range map[string]struct {
		tolerations []corev1.Toleration
		taints      []corev1.Taint
		after       time.Duration // -1 for never
	}{
		"no taint":                              {after: -1},
		"a taint against scheduling only":       {taints: []corev1.Taint{scheduling}, after: -1},
		"not tolerated":                         {taints: []corev1.Taint{maintenance}},
		"tolerated for ever":                    {tolerations: []corev1.Toleration{tolerates("maintenance", nil)}, taints: []corev1.Taint{maintenance}, after: -1},
		"tolerated for 60 s":                    {tolerations: []corev1.Toleration{tolerates("maintenance", ptr.To[int64](60))}, taints: []corev1.Taint{maintenance}, after: time.Minute},
		"tolerated for no time":                 {tolerations: []corev1.Toleration{tolerates("maintenance", ptr.To[int64](0))}, taints: []corev1.Taint{maintenance}},
		"one of two not tolerated":              {tolerations: []corev1.Toleration{tolerates("maintenance", nil)}, taints: []corev1.Taint{maintenance, disk}},
		"the shorter of two tolerations counts": {tolerations: []corev1.Toleration{tolerates("maintenance", ptr.To[int64](60)), tolerates("disk", ptr.To[int64](30))}, taints: []corev1.Taint{maintenance, disk}, after: 30 * time.Second},
		"everything tolerated":                  {tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, taints: []corev1.Taint{maintenance, disk}, after: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, test.tolerations...)
				taint(c, test.taints...)
				if test.after < 0 {
					c.Pass(24 * time.Hour)
					if evicted(c) {
						t.Error("evicted")
					}
					return
				}
				if test.after > 0 {
					c.Pass(test.after - time.Second)
					if evicted(c) {
						t.Fatal("evicted too early")
					}
					c.Pass(time.Second)
				}
				if !evicted(c) {
					t.Error("not evicted")
				}
			})
		})
	}
}

func TestWhatAnEvictionSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		taint(c, maintenance)
		pod := controllertest.Get[*corev1.Pod](c, "default", "web")
		i := -1
		for j, condition := range pod.Status.Conditions {
			if condition.Type == corev1.DisruptionTarget {
				i = j
			}
		}
		if i < 0 || pod.Status.Conditions[i].Reason != "DeletionByTaintManager" || pod.Status.Conditions[i].Message != "Taint manager: deleting due to NoExecute taint" {
			t.Errorf("conditions %+v", pod.Status.Conditions)
		}
		if diff := cmp.Diff([]string{"TaintManagerEviction: Marking for deletion Pod default/web"}, c.Events("Pod", "web")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestATaintThatGoesInTimeIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, tolerates("maintenance", ptr.To[int64](60)))
		taint(c, maintenance)
		c.Pass(50 * time.Second)
		taint(c)
		c.Pass(time.Hour)
		if evicted(c) {
			t.Fatal("evicted")
		}
		if diff := cmp.Diff([]string{"TaintManagerEviction: Cancelling deletion of Pod default/web"}, c.Events("Pod", "web")); diff != "" {
			t.Error(diff)
		}
		taint(c, maintenance) // the time begins anew
		c.Pass(59 * time.Second)
		if evicted(c) {
			t.Fatal("the time before counted")
		}
		c.Pass(time.Second)
		if !evicted(c) {
			t.Error("not evicted")
		}
	})
}

func TestATolerationThatIsAddedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, tolerates("maintenance", ptr.To[int64](60)))
		taint(c, maintenance)
		c.Pass(50 * time.Second)
		controllertest.Change(c, "default", "web", func(pod *corev1.Pod) {
			pod.Spec.Tolerations = append([]corev1.Toleration{tolerates("maintenance", nil)}, pod.Spec.Tolerations...)
		})
		c.Pass(time.Hour)
		if evicted(c) {
			t.Error("evicted")
		}
	})
}

// An eviction that is set stays as it is: neither the time that a taint tells nor what comes later moves it. Events name the
// pod without its UID.
func TestWhatHappensWhileAPodWaits(t *testing.T) {
	const cancelling, marking = "TaintManagerEviction: Cancelling deletion of Pod default/web", "TaintManagerEviction: Marking for deletion Pod default/web"
	minute := tolerates("maintenance", ptr.To[int64](60))
	for name, test := range map[string]struct {
		happens func(c *controllertest.Cluster) // 50 s after the taint
		at      time.Duration                   // when it is evicted, from then on
		events  []string
	}{
		"nothing": {happens: func(*controllertest.Cluster) {}, at: 10 * time.Second, events: []string{marking}},
		"a taint that it tolerates for a shorter time": {
			happens: func(c *controllertest.Cluster) { taint(c, maintenance, disk) }, at: 10 * time.Second, events: []string{marking},
		},
		"a taint that it does not tolerate": {
			happens: func(c *controllertest.Cluster) {
				taint(c, maintenance, scheduling, corev1.Taint{Key: "other", Effect: "NoExecute"})
			},
			events: []string{cancelling, marking},
		},
		"it tolerates the taint for longer": {
			happens: func(c *controllertest.Cluster) {
				controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Spec.Tolerations[0].TolerationSeconds = ptr.To[int64](600) })
			}, at: 10 * time.Second, events: []string{marking},
		},
		"it tolerates the taint for ever": {
			happens: func(c *controllertest.Cluster) {
				controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Spec.Tolerations[0].TolerationSeconds = nil })
			}, at: -1, events: []string{cancelling},
		},
		"it finishes": {
			happens: func(c *controllertest.Cluster) {
				c.Phase(controllertest.Get[*corev1.Pod](c, "default", "web"), corev1.PodSucceeded)
			}, at: 10 * time.Second, events: []string{marking},
		},
		"its node goes": {
			happens: func(c *controllertest.Cluster) { controllertest.Delete[*corev1.Node](c, "", "worker-1") },
			at:      10 * time.Second, events: []string{marking},
		},
		"it is deleted": {
			happens: func(c *controllertest.Cluster) {
				controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Finalizers = nil })
				controllertest.Delete[*corev1.Pod](c, "default", "web", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
			}, events: []string{cancelling},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, minute, tolerates("disk", ptr.To[int64](30)))
				controllertest.Change(c, "", "worker-1", func(node *corev1.Node) {
					early := maintenance
					early.TimeAdded = ptr.To(metav1.NewTime(time.Now().Add(-time.Hour)))
					node.Spec.Taints = []corev1.Taint{early}
				})
				c.Pass(50 * time.Second)
				test.happens(c)
				c.Settle()
				switch {
				case test.at < 0:
					c.Pass(time.Hour)
					if evicted(c) {
						t.Error("evicted")
					}
				case test.at > 0:
					c.Pass(test.at - time.Second)
					if len(c.Events("Pod", "web")) != 0 {
						t.Errorf("too early: %q", c.Events("Pod", "web"))
					}
					c.Pass(time.Second)
				}
				if test.at >= 0 && !evicted(c) {
					t.Error("not evicted")
				}
				if diff := cmp.Diff(test.events, c.Events("Pod", "web")); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				for _, event := range controllertest.List[*corev1.Event](c, "default") {
					if event.InvolvedObject.UID != "" {
						t.Errorf("the event %q has a UID", event.Message)
					}
				}
			})
		})
	}
}

// A pod has its time from when it comes to the node, however long the node has been tainted.
func TestTheTimeOfAPodThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, tolerates("maintenance", nil))
		taint(c, maintenance)
		c.Pass(time.Hour)
		controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Finalizers = nil })
		controllertest.Delete[*corev1.Pod](c, "default", "web", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
		create(c, tolerates("maintenance", ptr.To[int64](60)))
		c.Pass(59 * time.Second)
		if evicted(c) {
			t.Fatal("evicted too early")
		}
		c.Pass(time.Second)
		if !evicted(c) {
			t.Error("not evicted")
		}
	})
}

func TestAPodThatComesToATaintedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, tolerates("maintenance", ptr.To[int64](10)))
		controllertest.Change(c, "default", "web", func(pod *corev1.Pod) { pod.Finalizers = nil })
		taint(c, maintenance)
		c.Pass(10 * time.Second)
		controllertest.Delete[*corev1.Pod](c, "default", "web", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
		create(c)
		if !evicted(c) {
			t.Error("a pod that does not tolerate the taint stays on the node")
		}
	})
}

func TestFailingWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		failures := map[string]int{}
		c.Faults.Set(func(verb, resource, _ string) error {
			if resource == "pods" && failures[verb] < 3 {
				failures[verb]++
				return errors.New("lost: " + verb)
			}
			return nil
		})
		taint(c, maintenance)
		c.Pass(time.Second)
		if !evicted(c) {
			t.Error("not evicted")
		}
		if failures["patch/status"] != 3 || failures["delete"] != 3 {
			t.Errorf("failures %v: the test shows less than it says", failures)
		}
		if got := strings.Join(c.Events("Pod", "web"), "\n"); strings.Count(got, "Marking") != 1 {
			t.Errorf("events:\n%s", got) // repeated ones are folded
		}
	})
}
