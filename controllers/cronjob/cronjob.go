package cronjob

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "cronjob-controller"

	workers = 5 // Kubernetes' default
)

// Controller runs all CronJobs.
type Controller struct {
	controllers.Base
	crons client.Informer[*batchv1.CronJob]
	jobs  client.Informer[*batchv1.Job]
	wrote controllers.Writes // by the CronJob's UID: statuses that the cache may not show yet
	loop  *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:  base,
		crons: client.InformerFor[*batchv1.CronJob](base.Informers),
		jobs:  client.InformerFor[*batchv1.Job](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	controllers.IndexByOwner(c.jobs)
	c.crons.Handle(client.Handler[*batchv1.CronJob]{
		Add: func(cron *batchv1.CronJob) {
			c.loop.Add(controllers.Key(cron), controllers.Cause("cronjobs", cron, "added"))
		},
		Update: func(old, cron *batchv1.CronJob) {
			if old.ResourceVersion != cron.ResourceVersion {
				c.changed(old, cron)
			}
		},
		Delete: func(cron *batchv1.CronJob) {
			c.wrote.Forget(string(cron.UID))
			c.loop.Add(controllers.Key(cron), controllers.Cause("cronjobs", cron, "deleted"))
		},
	})
	tell := func(job *batchv1.Job, what string) {
		if cron, ok := controllers.ControllerOf(c.crons, "CronJob", job); ok {
			c.loop.Add(controllers.Key(cron), controllers.Cause("jobs", job, what))
		}
	}
	c.jobs.Handle(client.Handler[*batchv1.Job]{
		Add: func(job *batchv1.Job) { tell(job, "added") },
		Update: func(old, job *batchv1.Job) {
			if old.ResourceVersion == job.ResourceVersion {
				return
			}
			if before := metav1.GetControllerOfNoCopy(old); before != nil && !metav1.IsControlledBy(job, &metav1.ObjectMeta{UID: before.UID}) {
				tell(old, "left")
			}
			tell(job, "changed")
		},
		Delete: func(job *batchv1.Job) { tell(job, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// changed looks at a CronJob at once, except when its schedule or time zone is another: then only at the next time of that
// schedule, so that a new schedule does not make up for runs that it would have had in the past.
func (c *Controller) changed(old, cron *batchv1.CronJob) {
	key, cause := controllers.Key(cron), controllers.Cause("cronjobs", cron, "changed")
	if old.Spec.Schedule != cron.Spec.Schedule || !ptr.Equal(old.Spec.TimeZone, cron.Spec.TimeZone) {
		if times, err := parse(cron); err == nil {
			c.loop.AddAfter(key, times.next(cron, time.Now()), cause)
			return
		}
	}
	c.loop.Add(key, cause)
}

// Reconcile forgets old Jobs, notes which have ended, makes the one that is due, and asks for the next time.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	shared, ok := c.crons.Get(namespace, name)
	if !ok {
		loop.Say(ctx, "Gone")
		return 0, nil
	}
	if controllers.Missing(&c.wrote, string(shared.UID), []*batchv1.CronJob{shared}) {
		loop.Say(ctx, "WaitForCache")
		return 0, nil // an older list of active jobs would miss one that this controller has deleted
	}
	r := &run{Controller: c, cron: shared.DeepCopy(), jobs: controllers.Owned(c.jobs, shared.UID)}
	cleanErr := r.cleanUp(ctx)
	again, runErr := time.Duration(0), r.follow(ctx)
	if runErr == nil && shared.DeletionTimestamp == nil {
		again, runErr = r.start(ctx)
	}
	if runErr == nil {
		runErr = cleanErr
	}
	if !equality.Semantic.DeepEqual(shared.Status, r.cron.Status) {
		written, err := client.Of[*batchv1.CronJob](c.Client).UpdateStatus(ctx, r.cron)
		if err != nil {
			return again, controllers.IgnoreNotFound(err)
		}
		c.wrote.Wrote(string(written.UID), written)
	}
	return again, runErr
}

// run is one CronJob while it is reconciled.
type run struct {
	*Controller
	cron *batchv1.CronJob // a copy of our own; its status is what will be written
	jobs []*batchv1.Job   // all that are its
}

// start makes the Job that is due, if any, and returns how long until the next one is.
func (r *run) start(ctx context.Context) (time.Duration, error) {
	if ptr.Deref(r.cron.Spec.Suspend, false) {
		loop.Say(ctx, "Suspended")
		return 0, nil
	}
	times, bad := parse(r.cron)
	now := time.Now()
	var due time.Time
	var missed int64
	if bad == nil {
		var err error
		if due, missed, err = times.due(r.cron, now); err != nil {
			bad = &badSchedule{"InvalidSchedule", fmt.Sprintf("invalid schedule: %s : %s", r.cron.Spec.Schedule, err)}
		}
	}
	if bad != nil {
		loop.Say(ctx, "BadSchedule", "error", bad.Error())
		r.Events.Event(r.cron, corev1.EventTypeWarning, bad.reason, "%s", bad.Error())
		return 0, nil // only the user can mend it
	}
	next := times.next(r.cron, now)
	loop.Say(ctx, "Schedule", "due", due.String(), "missed", missed, "next", next.String())
	if !due.IsZero() && missed > manyMissed {
		r.Events.Event(r.cron, corev1.EventTypeWarning, "TooManyMissedTimes",
			"too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	switch {
	case due.IsZero():
		return next, nil
	case r.tooLate(due, now):
		r.Events.Event(r.cron, corev1.EventTypeWarning, "MissSchedule", "Missed scheduled time to start a job: %s", due.UTC().Format(time.RFC1123Z))
		return next, nil
	case r.wasStarted(due):
		return next, nil
	}
	if len(r.cron.Status.Active) > 0 {
		switch r.cron.Spec.ConcurrencyPolicy {
		case batchv1.ForbidConcurrent:
			loop.Say(ctx, "StillRunning")
			r.Events.Event(r.cron, corev1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
			return next, nil
		case batchv1.ReplaceConcurrent:
			if err := r.deleteActive(ctx); err != nil {
				return 0, err
			}
		}
	}
	err := r.create(ctx, due)
	return times.next(r.cron, now), err // counted from the run that was just noted
}

func (r *run) tooLate(due, now time.Time) bool {
	limit := r.cron.Spec.StartingDeadlineSeconds
	return limit != nil && due.Add(time.Duration(*limit)*time.Second).Before(now)
}

func (r *run) wasStarted(due time.Time) bool {
	if last := r.cron.Status.LastScheduleTime; last != nil && last.Time.Equal(due) {
		return true
	}
	for _, active := range r.cron.Status.Active {
		if active.Name == jobName(r.cron, due) {
			return true
		}
	}
	return false
}

// jobName holds the time in minutes, so that one run is one name.
func jobName(cron *batchv1.CronJob, due time.Time) string {
	return fmt.Sprintf("%s-%d", cron.Name, due.Unix()/60)
}

func ended(job *batchv1.Job) batchv1.JobConditionType {
	for _, condition := range job.Status.Conditions {
		if (condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed) && condition.Status == corev1.ConditionTrue {
			return condition.Type
		}
	}
	return ""
}

// byStart orders Jobs by their start, those that never started last.
func byStart(a, b *batchv1.Job) int {
	x, y := a.Status.StartTime, b.Status.StartTime
	switch {
	case x.Equal(y):
		return strings.Compare(a.Name, b.Name)
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	return x.Compare(y.Time)
}
