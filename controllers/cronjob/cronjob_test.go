package cronjob_test

import (
	"fmt"
	"slices"
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
	"kubette/controllers/cronjob"
	"kubette/controllers/garbagecollector"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{cronjob.New(base), garbagecollector.New(base, controllertest.Discovery)}
	})
}

func create(c *controllertest.Cluster, schedule string, change func(*batchv1.CronJobSpec)) {
	c.T.Helper()
	template := controllertest.Template("sum", "busybox")
	template.Labels = nil
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "tick", Namespace: "default"}, Spec: batchv1.CronJobSpec{
		Schedule: schedule, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
	}}
	if change != nil {
		change(&cron.Spec)
	}
	controllertest.Create(c, cron)
	c.Settle()
}

func get(c *controllertest.Cluster) *batchv1.CronJob {
	return controllertest.Get[*batchv1.CronJob](c, "default", "tick")
}

// jobs are the names of the jobs, by the minutes since the test began.
func jobs(c *controllertest.Cluster) []string {
	c.T.Helper()
	var names []string
	for _, job := range controllertest.List[*batchv1.Job](c, "default") {
		var minute int64
		if _, err := fmt.Sscanf(job.Name, "tick-%d", &minute); err != nil {
			c.T.Fatal(err)
		}
		names = append(names, fmt.Sprint(minute-time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()/60))
	}
	slices.Sort(names)
	return names
}

func finish(c *controllertest.Cluster, how batchv1.JobConditionType) {
	c.T.Helper()
	for _, job := range controllertest.List[*batchv1.Job](c, "default") {
		if len(job.Status.Conditions) > 0 {
			continue
		}
		controllertest.ChangeStatus(c, "default", job.Name, func(job *batchv1.Job) {
			before := batchv1.JobFailureTarget
			if how == batchv1.JobComplete {
				before = batchv1.JobSuccessCriteriaMet
				job.Status.CompletionTime = ptr.To(metav1.Now())
			}
			job.Status.StartTime = &job.CreationTimestamp
			for _, kind := range []batchv1.JobConditionType{before, how} {
				job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
			}
		})
	}
	c.Settle()
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "*/2 * * * *", nil)
		c.Pass(2*time.Minute - time.Second)
		if diff := cmp.Diff([]string(nil), jobs(c)); diff != "" {
			t.Errorf("before the time (-want +got):\n%s", diff)
		}
		c.Pass(2 * time.Second)
		if diff := cmp.Diff([]string{"2"}, jobs(c)); diff != "" {
			t.Errorf("at the time (-want +got):\n%s", diff)
		}
		cron := get(c)
		if len(cron.Status.Active) != 1 || cron.Status.LastScheduleTime == nil || !cron.Status.LastScheduleTime.Equal(&metav1.Time{Time: time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC)}) {
			t.Errorf("status is %+v", cron.Status)
		}
		finish(c, batchv1.JobComplete)
		cron = get(c)
		if len(cron.Status.Active) != 0 || cron.Status.LastSuccessfulTime == nil {
			t.Errorf("status after the job's end is %+v", cron.Status)
		}
		name := controllertest.List[*batchv1.Job](c, "default")[0].Name
		want := []string{"SawCompletedJob: Saw completed job: " + name + ", condition: Complete", "SuccessfulCreate: Created job " + name}
		got := c.Events("CronJob", "tick")
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestConcurrencyPolicies(t *testing.T) {
	for _, test := range []struct {
		policy batchv1.ConcurrencyPolicy
		want   []string
	}{
		{batchv1.AllowConcurrent, []string{"1", "2", "3"}},
		{batchv1.ForbidConcurrent, []string{"1"}},
		{batchv1.ReplaceConcurrent, []string{"3"}},
	} {
		t.Run(string(test.policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, "* * * * *", func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = test.policy })
				c.Pass(3*time.Minute + time.Second)
				if diff := cmp.Diff(test.want, jobs(c)); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestHistoryLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "* * * * *", func(s *batchv1.CronJobSpec) {
			s.SuccessfulJobsHistoryLimit, s.FailedJobsHistoryLimit = ptr.To(int32(2)), ptr.To(int32(1))
		})
		for i := range 6 {
			c.Pass(time.Minute)
			c.Pass(time.Second)
			finish(c, []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed}[i%2])
		}
		if diff := cmp.Diff([]string{"3", "5", "6"}, jobs(c)); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
	})
}

func TestSuspendAndMissedRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "0 * * * *", func(s *batchv1.CronJobSpec) { s.Suspend, s.StartingDeadlineSeconds = ptr.To(true), ptr.To(int64(600)) })
		c.Pass(3*time.Hour + 5*time.Minute)
		if diff := cmp.Diff([]string(nil), jobs(c)); diff != "" {
			t.Errorf("suspended (-want +got):\n%s", diff)
		}
		controllertest.Change(c, "default", "tick", func(cron *batchv1.CronJob) { cron.Spec.Suspend = ptr.To(false) })
		c.Settle()
		if diff := cmp.Diff([]string{"180"}, jobs(c)); diff != "" {
			t.Errorf("the last missed run is made up for (-want +got):\n%s", diff)
		}
	})
}

func TestTimeZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "30 2 * * *", func(s *batchv1.CronJobSpec) { s.TimeZone = ptr.To("Europe/Paris") })
		c.Pass(90*time.Minute + time.Second) // 01:30 in London
		found := controllertest.List[*batchv1.Job](c, "default")
		if len(found) != 1 || found[0].Annotations[batchv1.CronJobScheduledTimestampAnnotation] != "2000-01-01T02:30:00+01:00" {
			t.Fatalf("jobs are %v", found)
		}
	})
}
