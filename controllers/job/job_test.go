package job_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/garbagecollector"
	"kubette/controllers/job"
	"kubette/controllers/ttlafterfinished"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{job.New(base), ttlafterfinished.New(base), garbagecollector.New(base, controllertest.Discovery)}
	})
}

func create(c *controllertest.Cluster, change func(*batchv1.JobSpec)) {
	c.T.Helper()
	template := controllertest.Template("sum", "busybox")
	template.Labels = nil
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sum", Namespace: "default"}, Spec: batchv1.JobSpec{Template: template}}
	if change != nil {
		change(&j.Spec)
	}
	controllertest.Create(c, j)
	look(c)
}

// look gives the controller the time that it collects news for, some times over: one step leads to the next.
func look(c *controllertest.Cluster) {
	for range 3 {
		c.Pass(time.Second)
	}
}

func get(c *controllertest.Cluster) *batchv1.Job {
	return controllertest.Get[*batchv1.Job](c, "default", "sum")
}

func active(c *controllertest.Cluster) []*corev1.Pod {
	pods := slices.DeleteFunc(controllertest.List[*corev1.Pod](c, "default"), func(pod *corev1.Pod) bool { return !controllers.IsActive(pod) })
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return strings.Compare(a.Annotations[batchv1.JobCompletionIndexAnnotation], b.Annotations[batchv1.JobCompletionIndexAnnotation])
	})
	return pods
}

// end lets a pod end with an exit code, and the controller see it.
func end(c *controllertest.Cluster, pod *corev1.Pod, code int32) {
	c.T.Helper()
	endNow(c, pod, code)
	look(c)
}

func endNow(c *controllertest.Cluster, pod *corev1.Pod, code int32) {
	c.T.Helper()
	if pod.Spec.NodeName == "" {
		c.Bind(pod, "worker-1")
	}
	controllertest.ChangeStatus(c, pod.Namespace, pod.Name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodSucceeded
		if code != 0 {
			pod.Status.Phase = corev1.PodFailed
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.Now()},
		}}}
	})
}

func conditions(j *batchv1.Job) []string {
	var list []string
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			list = append(list, fmt.Sprintf("%s %s", c.Type, c.Reason))
		}
	}
	return list
}

func wantConditions(c *controllertest.Cluster, want ...string) {
	c.T.Helper()
	if diff := cmp.Diff(want, conditions(get(c))); diff != "" {
		c.T.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func counts(j *batchv1.Job) string {
	return fmt.Sprintf("active %d, succeeded %d, failed %d", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
}

func wantCounts(c *controllertest.Cluster, want string) {
	c.T.Helper()
	if got := counts(get(c)); got != want {
		c.T.Errorf("%s, wanted %s", got, want)
	}
}

func TestCompletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(3)), ptr.To(int32(2)) })
		wantCounts(c, "active 2, succeeded 0, failed 0")
		end(c, active(c)[0], 0)
		wantCounts(c, "active 2, succeeded 1, failed 0")
		end(c, active(c)[0], 0)
		wantCounts(c, "active 1, succeeded 2, failed 0")
		end(c, active(c)[0], 0)
		wantCounts(c, "active 0, succeeded 3, failed 0")
		wantConditions(c, "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached")
		j := get(c)
		if j.Status.CompletionTime == nil || j.Status.StartTime == nil {
			t.Errorf("times are %v and %v", j.Status.StartTime, j.Status.CompletionTime)
		}
		for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
			if len(pod.Finalizers) > 0 {
				t.Errorf("%s keeps the finalizers %v", pod.Name, pod.Finalizers)
			}
		}
		if got := c.Events("Job", "sum"); !slices.Contains(got, "Completed: Job completed") {
			t.Errorf("events are %v", got)
		}
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.BackoffLimit = ptr.To(int32(2)) })
		for _, wait := range []time.Duration{10 * time.Second, 20 * time.Second} {
			end(c, active(c)[0], 1)
			c.Pass(wait - 4*time.Second) // and three have passed
			if n := len(active(c)); n != 0 {
				t.Errorf("%d pods before %s were over", n, wait)
			}
			c.Pass(2 * time.Second)
			if n := len(active(c)); n != 1 {
				t.Fatalf("%d pods after %s", n, wait)
			}
		}
		wantCounts(c, "active 1, succeeded 0, failed 2")
		end(c, active(c)[0], 1)
		wantCounts(c, "active 0, succeeded 0, failed 3")
		wantConditions(c, "FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded")
		if got := c.Events("Job", "sum"); !slices.Contains(got, "BackoffLimitExceeded: Job has reached the specified backoff limit") {
			t.Errorf("events are %v", got)
		}
	})
}

func TestDeadlineAndWaitingForTheLastPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = ptr.To(int64(30)) })
		c.Bind(active(c)[0], "worker-1")
		c.Pass(26 * time.Second) // and three have passed
		wantConditions(c)
		c.Pass(2 * time.Second)
		wantConditions(c, "FailureTarget DeadlineExceeded")
		pod := controllertest.List[*corev1.Pod](c, "default")[0]
		if pod.DeletionTimestamp == nil {
			t.Fatal("the pod runs on")
		}
		wantCounts(c, "active 0, succeeded 0, failed 1")
		if len(pod.Finalizers) > 0 {
			t.Errorf("%s keeps the finalizers %v", pod.Name, pod.Finalizers)
		}
		end(c, pod, 0) // the Job has failed: it comes too late to count as a success
		controllertest.Delete[*corev1.Pod](c, "default", pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.Pass(time.Second)
		wantConditions(c, "FailureTarget DeadlineExceeded", "Failed DeadlineExceeded")
		wantCounts(c, "active 0, succeeded 0, failed 1")
	})
}

func TestIndexed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = ptr.To(batchv1.IndexedCompletion), ptr.To(int32(4)), ptr.To(int32(4))
		})
		pods := active(c)
		if len(pods) != 4 || !strings.HasPrefix(pods[2].Name, "sum-2-") || pods[2].Spec.Hostname != "sum-2" ||
			pods[2].Labels[batchv1.JobCompletionIndexAnnotation] != "2" {
			t.Fatalf("pods are %v", pods)
		}
		if env := pods[2].Spec.Containers[0].Env; len(env) != 1 || env[0].Name != "JOB_COMPLETION_INDEX" {
			t.Errorf("environment is %v", env)
		}
		for _, i := range []int{0, 1, 3} {
			end(c, pods[i], 0)
		}
		if got := get(c).Status.CompletedIndexes; got != "0,1,3" {
			t.Errorf("completed indexes are %q", got)
		}
		end(c, pods[2], 1)
		c.Pass(11 * time.Second)
		end(c, active(c)[0], 0)
		if got := get(c).Status.CompletedIndexes; got != "0-3" {
			t.Errorf("completed indexes are %q", got)
		}
		wantCounts(c, "active 0, succeeded 4, failed 1")
		wantConditions(c, "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached")
	})
}

func TestBackoffLimitPerIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = ptr.To(batchv1.IndexedCompletion), ptr.To(int32(2)), ptr.To(int32(2))
			s.BackoffLimitPerIndex = ptr.To(int32(1))
		})
		pods := active(c)
		end(c, pods[1], 1)
		c.Pass(11 * time.Second)
		pods = active(c)
		if len(pods) != 2 || pods[1].Annotations[batchv1.JobIndexFailureCountAnnotation] != "1" {
			t.Fatalf("pods are %v", pods)
		}
		end(c, pods[1], 1)
		if got := ptr.Deref(get(c).Status.FailedIndexes, ""); got != "1" {
			t.Errorf("failed indexes are %q", got)
		}
		end(c, pods[0], 0)
		c.Pass(time.Second)
		wantConditions(c, "FailureTarget FailedIndexes", "Failed FailedIndexes")
		wantCounts(c, "active 0, succeeded 1, failed 2")
	})
}

func TestPodFailurePolicy(t *testing.T) {
	policy := &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{Action: batchv1.PodFailurePolicyActionFailJob, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{42}}},
		{Action: batchv1.PodFailurePolicyActionIgnore, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}},
	}}
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.PodFailurePolicy, s.BackoffLimit = policy, ptr.To(int32(0)) })
		pod := active(c)[0]
		controllertest.ChangeStatus(c, "default", pod.Name, func(pod *corev1.Pod) {
			controllers.SetPodCondition(&pod.Status, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
		})
		end(c, pod, 137)
		wantConditions(c) // a disruption is not the program's fault
		c.Pass(11 * time.Second)
		pod = active(c)[0]
		end(c, pod, 42)
		wantConditions(c, "FailureTarget PodFailurePolicy", "Failed PodFailurePolicy")
		want := fmt.Sprintf("Container main for pod default/%s failed with exit code 42 matching FailJob rule at index 0", pod.Name)
		if got := get(c).Status.Conditions[0].Message; got != want {
			t.Errorf("message is %q, wanted %q", got, want)
		}
	})
}

func TestSuccessPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = ptr.To(batchv1.IndexedCompletion), ptr.To(int32(3)), ptr.To(int32(3))
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: ptr.To("0")}}}
		})
		end(c, active(c)[0], 0)
		c.Pass(time.Second)
		wantConditions(c, "SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy")
		if left := active(c); len(left) != 0 {
			t.Errorf("%d pods run on", len(left))
		}
		if status := get(c).Status; status.Succeeded != 1 || status.Failed != 0 {
			t.Errorf("%d succeeded and %d failed: what is cut short by success has not failed", status.Succeeded, status.Failed)
		}
	})
}

// Pods that a Job can do without, because it is suspended or wants fewer, have not failed.
func TestPodsThatAreNotWantedAnyMore(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*batchv1.JobSpec)
		left   int
	}{
		"suspended":        {func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) }, 0},
		"less parallelism": {func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(1)) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, func(s *batchv1.JobSpec) { s.Parallelism = ptr.To(int32(3)) })
				controllertest.Change(c, "default", "sum", func(j *batchv1.Job) { test.change(&j.Spec) })
				c.Pass(time.Minute)
				status := get(c).Status
				if n := len(active(c)); n != test.left || int(status.Active) != test.left || status.Failed != 0 {
					t.Errorf("%d pods run, the status has %d active and %d failed", n, status.Active, status.Failed)
				}
			})
		})
	}
}

func TestSuspendAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) })
		wantConditions(c, "Suspended JobSuspended")
		if n := len(active(c)); n != 0 {
			t.Errorf("%d pods of a suspended job", n)
		}
		controllertest.Change(c, "default", "sum", func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(false) })
		look(c)
		wantConditions(c)
		end(c, active(c)[0], 0)
		wantConditions(c, "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached")
		want := []string{"Completed: Job completed", "Resumed: Job resumed", "SuccessfulCreate", "Suspended: Job suspended"}
		got := c.Events("Job", "sum")
		for i := range got {
			if strings.HasPrefix(got[i], "SuccessfulCreate") {
				got[i] = "SuccessfulCreate"
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestLostPodCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, nil)
		pod := active(c)[0]
		controllertest.Delete[*corev1.Pod](c, "default", pod.Name)
		c.Pass(time.Second)
		wantCounts(c, "active 0, succeeded 0, failed 1") // deleted, and counted before it went
		c.Pass(40 * time.Second)
		wantCounts(c, "active 1, succeeded 0, failed 1")
	})
}

func TestDeletedJobTakesItsPods(t *testing.T) {
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, nil)
				controllertest.Delete[*batchv1.Job](c, "default", "sum", metav1.DeleteOptions{PropagationPolicy: &policy})
				c.Pass(time.Minute)
				if pods := controllertest.List[*corev1.Pod](c, "default"); len(pods) != 0 {
					t.Errorf("%d pods are left, with %v", len(pods), pods[0].Finalizers)
				}
				if jobs := controllertest.List[*batchv1.Job](c, "default"); len(jobs) != 0 {
					t.Errorf("the job is left, with %v", jobs[0].Finalizers)
				}
			})
		})
	}
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.TTLSecondsAfterFinished = ptr.To(int32(60)) })
		end(c, active(c)[0], 0)
		c.Pass(57 * time.Second) // and two have passed since it was complete
		get(c)
		c.Pass(2 * time.Second)
		if _, err := client.Of[*batchv1.Job](c.Client).Get(context.Background(), "default", "sum"); !apierrors.IsNotFound(err) {
			t.Errorf("the job is still there: %v", err)
		}
	})
}

// News of pods are collected for a second, what a user changes is acted on at once.
func TestNewsOfPodsAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(4)), ptr.To(int32(2)) })
		first := active(c)
		endNow(c, first[0], 0)
		c.Pass(600 * time.Millisecond)
		endNow(c, first[1], 0)
		c.Pass(300 * time.Millisecond)
		wantCounts(c, "active 2, succeeded 0, failed 0")
		c.Pass(200 * time.Millisecond)
		wantCounts(c, "active 2, succeeded 2, failed 0")
		if pods := active(c); len(pods) != 2 || slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return pod.Name == first[0].Name }) {
			t.Errorf("%d pods run", len(pods))
		}
		controllertest.Change(c, "default", "sum", func(j *batchv1.Job) { j.Spec.Parallelism = ptr.To(int32(0)) })
		synctest.Wait()
		if pods := active(c); len(pods) != 0 {
			t.Errorf("%d pods run after nobody wants them", len(pods))
		}
	})
}

// No more than 500 pods are counted in one step, and the Job ends when all are.
func TestManyPodsAreCountedInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = ptr.To(int32(620)), ptr.To(int32(620)) })
		look(c) // no more than 500 are made at once either
		pods := active(c)
		if len(pods) != 620 {
			t.Fatalf("%d pods run", len(pods))
		}
		for _, pod := range pods {
			endNow(c, pod, 0)
		}
		c.Pass(1100 * time.Millisecond)
		if j := get(c); j.Status.Succeeded != 500 || len(conditions(j)) > 1 {
			t.Errorf("after a step: %s, %v", counts(j), conditions(j))
		}
		look(c)
		wantCounts(c, "active 0, succeeded 620, failed 0")
		wantConditions(c, "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached")
	})
}
