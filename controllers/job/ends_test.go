package job_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/job"
)

// whilePaused lets things happen of which the controller learns at once.
func whilePaused(c *controllertest.Cluster, happen func()) {
	gate := c.Machine.Gate(job.Name)
	gate.Pause()
	happen()
	gate.Resume()
	look(c)
}

func change(c *controllertest.Cluster, change func(*batchv1.JobSpec)) {
	c.T.Helper()
	controllertest.Change(c, "default", "sum", func(j *batchv1.Job) { change(&j.Spec) })
}

func indexed(completions, parallelism int32) func(*batchv1.JobSpec) {
	return func(s *batchv1.JobSpec) {
		s.CompletionMode, s.Completions, s.Parallelism = ptr.To(batchv1.IndexedCompletion), &completions, &parallelism
	}
}

// The delay counts from a pod's own end, wherever that is told.
func TestBackoffCountsFromThePodsEnd(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(c *controllertest.Cluster, pod *corev1.Pod)
		wait time.Duration
	}{
		"a pod with 30 seconds of grace is deleted": {func(c *controllertest.Cluster, pod *corev1.Pod) {
			c.Ready(pod, 1)
			controllertest.Delete[*corev1.Pod](c, "default", pod.Name)
		}, 10 * time.Second},
		"it stopped being ready before": {func(c *controllertest.Cluster, pod *corev1.Pod) {
			c.Unready(pod)
			c.Pass(4 * time.Second)
			c.Phase(pod, corev1.PodFailed)
		}, 6 * time.Second},
		"one of its containers ended long before": {func(c *controllertest.Cluster, pod *corev1.Pod) {
			first := metav1.Now()
			c.Pass(4 * time.Second)
			ended := func(at metav1.Time) corev1.ContainerState {
				return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: at}}
			}
			controllertest.ChangeStatus(c, "default", pod.Name, func(pod *corev1.Pod) {
				pod.Status.Phase = corev1.PodFailed
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: ended(first)}, {Name: "side", State: ended(metav1.Now())}}
			})
		}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, nil)
				pod := active(c)[0]
				c.Bind(pod, "worker-1")
				test.end(c, pod)
				c.Pass(test.wait - time.Second)
				if n := len(active(c)); n != 0 {
					t.Errorf("%d pods before %s", n, test.wait)
				}
				c.Pass(time.Second + time.Millisecond)
				if n := len(active(c)); n != 1 {
					t.Errorf("%d pods after %s", n, test.wait)
				}
			})
		})
	}
}

func TestASuccessOfTheSameSecondEndsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(3)), ptr.To(int32(2)) })
		pods := active(c)
		whilePaused(c, func() {
			endNow(c, pods[0], 0)
			endNow(c, pods[1], 1)
		})
		wantCounts(c, "active 2, succeeded 1, failed 1")
	})
}

// A Job of the name of one that kept failing does not wait for it.
func TestTheDelayEndsWithTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, nil)
		end(c, active(c)[0], 1)
		whilePaused(c, func() {
			controllertest.Delete[*batchv1.Job](c, "default", "sum", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
			create(c, nil)
		})
		wantCounts(c, "active 1, succeeded 0, failed 0")
	})
}

// An index that waits after a failure keeps its place among those that run.
func TestAnIndexThatWaitsKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) {
			indexed(3, 2)(s)
			s.BackoffLimitPerIndex = ptr.To(int32(1))
		})
		running := func() (indexes []string) {
			for _, pod := range active(c) {
				indexes = append(indexes, pod.Annotations[batchv1.JobCompletionIndexAnnotation])
			}
			return indexes
		}
		end(c, active(c)[0], 1)
		c.Pass(6 * time.Second) // and three have passed
		if diff := cmp.Diff([]string{"1"}, running()); diff != "" {
			t.Errorf("while it waits (-want +got):\n%s", diff)
		}
		c.Pass(2 * time.Second)
		if diff := cmp.Diff([]string{"0", "1"}, running()); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
	})
}

// adoptee makes a pod that belongs to nobody and that the Job's selector matches.
func adoptee(c *controllertest.Cluster, name string) *corev1.Pod {
	template := controllertest.Template("sum", "busybox")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod := controllertest.Create(c, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: get(c).Spec.Selector.MatchLabels}, Spec: template.Spec})
	look(c)
	return pod
}

func TestAnAdoptedPodCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(2)), ptr.To(int32(2)) })
		pods := active(c)
		whilePaused(c, func() {
			end(c, pods[0], 0)
			end(c, pods[1], 0)
			end(c, adoptee(c, "found"), 0)
		})
		wantCounts(c, "active 0, succeeded 3, failed 0")
		want := []string{"Completed: Job completed", "TooManySucceededPods: Too many succeeded pods running after completion count reached"}
		got := slices.DeleteFunc(c.Events("Job", "sum"), func(event string) bool { return strings.HasPrefix(event, "SuccessfulCreate") })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// What has succeeded often enough is complete, whatever else is asked for.
func TestCompleteAllTheSame(t *testing.T) {
	for name, ask := range map[string]func(c *controllertest.Cluster){
		"suspended": func(c *controllertest.Cluster) { change(c, func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) }) },
		"deleted": func(c *controllertest.Cluster) {
			controllertest.Change(c, "default", "sum", func(j *batchv1.Job) { j.Finalizers = []string{"example.com/keep"} })
			controllertest.Delete[*batchv1.Job](c, "default", "sum", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, nil)
				pod := active(c)[0]
				whilePaused(c, func() {
					end(c, pod, 0)
					ask(c)
				})
				wantConditions(c, "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached")
				if said := c.Events("Job", "sum"); slices.Contains(said, "Suspended: Job suspended") {
					t.Errorf("events are %v", said)
				}
			})
		})
	}
}

// Once one pod has found the end, the others may finish, however few are wanted.
func TestPodsOfAWorkQueueMayFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(3)) })
		end(c, active(c)[0], 0)
		change(c, func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(1)) })
		c.Pass(time.Second)
		wantCounts(c, "active 2, succeeded 1, failed 0")
	})
}

// Of too many pods the youngest goes; pod-deletion-cost is for ReplicaSets.
func TestWhichOfTooManyPodsGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(2)), ptr.To(int32(1)) })
		old := active(c)[0].Name
		controllertest.Change(c, "default", old, func(pod *corev1.Pod) {
			pod.Annotations = map[string]string{corev1.PodDeletionCost: "-1"}
		})
		c.Pass(time.Second)
		change(c, func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(2)) })
		c.Pass(time.Second)
		change(c, func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(1)) })
		c.Pass(time.Second)
		if left := active(c); len(left) != 1 || left[0].Name != old {
			t.Errorf("%d are left, the first is %s", len(left), left[0].Name)
		}
	})
}

// The end is told when the pods that still run could be deleted, not before.
func TestAFailureWaitsForTheDeletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = ptr.To(int64(30)) })
		c.Bind(active(c)[0], "worker-1")
		c.Faults.Set(func(verb, resource, _ string) error {
			if verb == "delete" && resource == "pods" {
				return errors.New("not now")
			}
			return nil
		})
		c.Pass(31 * time.Second)
		wantConditions(c)
		c.Faults.Set(nil)
		c.Pass(5 * time.Second)
		wantConditions(c, "FailureTarget DeadlineExceeded")
	})
}

// A message names the pod's own first condition that matches, not the rule's.
func TestTheConditionThatFailsAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) {
			s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionFailJob,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
					{Type: "Second", Status: corev1.ConditionTrue}, {Type: "First", Status: corev1.ConditionTrue},
				}}}}
		})
		pod := active(c)[0]
		controllertest.ChangeStatus(c, "default", pod.Name, func(pod *corev1.Pod) {
			for _, kind := range []corev1.PodConditionType{"First", "Second"} {
				controllers.SetPodCondition(&pod.Status, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue})
			}
		})
		end(c, pod, 1)
		want := "Pod default/" + pod.Name + " has condition First matching FailJob rule at index 0"
		if got := get(c).Status.Conditions[0].Message; got != want {
			t.Errorf("message is %q, wanted %q", got, want)
		}
	})
}

// A long name is cut before the index, not after it.
func TestNamesOfIndexedPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		name := strings.Repeat("n", 60)
		template := controllertest.Template("sum", "busybox")
		template.Labels, template.Spec.RestartPolicy = nil, corev1.RestartPolicyNever
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: batchv1.JobSpec{Template: template}}
		indexed(2, 2)(&j.Spec)
		controllertest.Create(c, j)
		look(c)
		for _, pod := range active(c) {
			want := name[:55] + "-" + pod.Annotations[batchv1.JobCompletionIndexAnnotation] + "-"
			if !strings.HasPrefix(pod.Name, want) || len(pod.Name) != len(want)+5 {
				t.Errorf("%s is named without %s", pod.Name, want)
			}
		}
	})
}

// Another controller counts the pods of its Jobs itself.
func TestPodsOfAnotherControllersJobKeepTheirFinalizer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.ManagedBy = ptr.To("example.com/queue") })
		pod := adoptee(c, "elsewhere")
		controllertest.Change(c, "default", pod.Name, func(pod *corev1.Pod) {
			pod.OwnerReferences = []metav1.OwnerReference{controllers.OwnerRef(get(c))}
			pod.Finalizers = []string{batchv1.JobTrackingFinalizer}
		})
		controllertest.ChangeStatus(c, "default", "sum", func(j *batchv1.Job) {
			j.Status.StartTime = ptr.To(metav1.Now())
			for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
				j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
			}
		})
		c.Pass(time.Second)
		if got := controllertest.Get[*corev1.Pod](c, "default", pod.Name).Finalizers; len(got) != 1 {
			t.Errorf("finalizers are %v", got)
		}
	})
}
