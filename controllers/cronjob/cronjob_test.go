package cronjob_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

// A Job that cannot be read is not replaced; that is said, and tried again.
func TestReplacingAJobThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "* * * * *", func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = batchv1.ReplaceConcurrent })
		c.Pass(time.Minute + time.Second)
		c.Faults.Set(func(verb, resource, _ string) error {
			if verb == "get" && resource == "jobs" {
				return errors.New("no answer")
			}
			return nil
		})
		c.Pass(time.Minute)
		if diff := cmp.Diff([]string{"1"}, jobs(c)); diff != "" {
			t.Errorf("while it cannot be read: jobs (-want +got):\n%s", diff)
		}
		if events := c.Events("CronJob", "tick"); !slices.Contains(events, "FailedGet: Get job: no answer") {
			t.Errorf("events %q", events)
		}
		c.Faults.Set(nil)
		c.Pass(30 * time.Second)
		if diff := cmp.Diff([]string{"2"}, jobs(c)); diff != "" {
			t.Errorf("then: jobs (-want +got):\n%s", diff)
		}
	})
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

// A schedule that never comes is said so; one whose interval pauses makes up for nothing within the pause; @every counts
// from the last run.
func TestMissedRunsOfOddSchedules(t *testing.T) {
	const missedMany = "TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
	for _, test := range []struct {
		name, schedule string
		deadline       *int64
		off            time.Duration // suspended from midnight on
		jobs           []string
		events         []string
	}{
		{name: "never", schedule: "59 23 31 2 *", off: time.Minute, events: []string{
			"InvalidSchedule: invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"}},
		{name: "night", schedule: "30 6-16/4 * * *", off: 23 * time.Hour},
		{name: "evening", schedule: "30 6-16/4 * * *", off: 15 * time.Hour, jobs: []string{"870"}}, // 14:30
		{name: "every", schedule: "@every 5m", off: 17 * time.Minute, jobs: []string{"15"}},
		{name: "100", schedule: "* * * * *", off: 100*time.Minute + time.Second, jobs: []string{"100"}},
		{name: "101", schedule: "* * * * *", off: 101*time.Minute + time.Second, jobs: []string{"101"}, events: []string{missedMany}},
		{name: "deadline", schedule: "* * * * *", off: 101*time.Minute + time.Second, deadline: ptr.To(int64(100)), jobs: []string{"101"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, test.schedule, func(s *batchv1.CronJobSpec) {
					s.Suspend, s.StartingDeadlineSeconds = ptr.To(true), test.deadline
				})
				c.Pass(test.off)
				controllertest.Change(c, "default", "tick", func(cron *batchv1.CronJob) { cron.Spec.Suspend = ptr.To(false) })
				c.Settle()
				if diff := cmp.Diff(test.jobs, jobs(c)); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
				said := slices.DeleteFunc(c.Events("CronJob", "tick"), func(event string) bool { return strings.HasPrefix(event, "SuccessfulCreate") })
				if diff := cmp.Diff(test.events, said, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestEveryIsCountedFromTheLastRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "@every 5m", nil)
		c.Pass(7 * time.Minute)
		finish(c, batchv1.JobComplete)
		c.Pass(3*time.Minute + time.Second)
		if diff := cmp.Diff([]string{"10", "5"}, jobs(c)); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
	})
}

// A schedule that is changed does not make up for runs that it would have had.
func TestAnotherScheduleBeginsAtItsNextTime(t *testing.T) {
	for name, change := range map[string]func(*batchv1.CronJobSpec){
		"schedule": func(s *batchv1.CronJobSpec) { s.Schedule = "0 * * * *" },
		"zone":     func(s *batchv1.CronJobSpec) { s.TimeZone = ptr.To("Asia/Kolkata") }, // the old one's minute 30
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, map[string]string{"schedule": "0 0 1 6 *", "zone": "30 3,7 * * *"}[name], nil)
				c.Pass(90 * time.Minute)
				controllertest.Change(c, "default", "tick", func(cron *batchv1.CronJob) { change(&cron.Spec) })
				c.Pass(time.Minute)
				if diff := cmp.Diff([]string(nil), jobs(c)); diff != "" {
					t.Errorf("at once (-want +got):\n%s", diff)
				}
				c.Pass(29*time.Minute + time.Second)
				if diff := cmp.Diff([]string{"120"}, jobs(c)); diff != "" {
					t.Errorf("at its next time (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A limit of 0 deletes a Job before anybody says that it has ended.
func TestNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "0 * * * *", func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = ptr.To(int32(0)) })
		c.Pass(time.Hour + time.Second)
		name := controllertest.List[*batchv1.Job](c, "default")[0].Name
		finish(c, batchv1.JobComplete)
		got := c.Events("CronJob", "tick")
		slices.Sort(got)
		if diff := cmp.Diff([]string{"SuccessfulCreate: Created job " + name, "SuccessfulDelete: Deleted job " + name}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if status := get(c).Status; len(status.Active) != 0 || status.LastSuccessfulTime == nil {
			t.Errorf("status is %+v", status)
		}
	})
}

// While a run waits for the one before it, each change of that Job is an occasion to say so again.
func TestForbiddenRunIsToldAtEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "0 * * * *", func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = batchv1.ForbidConcurrent })
		c.Pass(2*time.Hour + time.Second)
		for _, note := range []string{"one", "two"} {
			c.Pass(time.Minute)
			name := controllertest.List[*batchv1.Job](c, "default")[0].Name
			controllertest.Change(c, "default", name, func(job *batchv1.Job) { job.Annotations["note"] = note })
		}
		c.Pass(time.Second)
		var told int32
		for _, event := range controllertest.List[*corev1.Event](c, "default") {
			if event.Reason == "JobAlreadyActive" {
				told += max(event.Count, 1)
			}
		}
		if told != 3 {
			t.Errorf("told %d times", told)
		}
		finish(c, batchv1.JobComplete)
		if diff := cmp.Diff([]string{"120", "60"}, jobs(c)); diff != "" {
			t.Errorf("the run that waited (-want +got):\n%s", diff)
		}
	})
}

func TestANameThatIsTakenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "0 * * * *", nil)
		template := controllertest.Template("other", "busybox")
		template.Labels, template.Spec.RestartPolicy = nil, corev1.RestartPolicyNever
		name := fmt.Sprintf("tick-%d", time.Now().Add(time.Hour).Unix()/60)
		controllertest.Create(c, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: batchv1.JobSpec{Template: template}})
		c.Pass(time.Hour + time.Second)
		if said, status := c.Events("CronJob", "tick"), get(c).Status; len(said) != 0 || len(status.Active) != 0 || status.LastScheduleTime != nil {
			t.Errorf("events %v, status %+v", said, status)
		}
	})
}

// Without a zone a Job's time is told in UTC, wherever the program runs.
func TestTheStampIsInUTC(t *testing.T) {
	here := time.Local
	time.Local = time.FixedZone("here", 3*60*60)
	defer func() { time.Local = here }()
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, "0 * * * *", nil)
		c.Pass(time.Hour + time.Second)
		if got := controllertest.List[*batchv1.Job](c, "default")[0].Annotations[batchv1.CronJobScheduledTimestampAnnotation]; got != "2000-01-01T01:00:00Z" {
			t.Errorf("it is %s", got)
		}
	})
}
