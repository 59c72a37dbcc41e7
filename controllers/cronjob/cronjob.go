package cronjob

import (
	"context"
	"fmt"
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
				c.loop.Add(controllers.Key(cron), controllers.Cause("cronjobs", cron, "changed"))
			}
		},
		Delete: func(cron *batchv1.CronJob) {
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
			if ended(old) != ended(job) {
				tell(job, "ended")
			}
		},
		Delete: func(job *batchv1.Job) { tell(job, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile notes which Jobs have ended, makes the one that is due, forgets old ones, and asks for the next time.
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
	r := &run{Controller: c, cron: shared.DeepCopy(), jobs: controllers.Owned(c.jobs, shared.UID)}
	if err := r.follow(ctx); err != nil {
		return 0, err
	}
	again, runErr := time.Duration(0), error(nil)
	if shared.DeletionTimestamp == nil {
		again, runErr = r.start(ctx)
	}
	if err := r.cleanUp(ctx); err != nil && runErr == nil {
		runErr = err
	}
	if !equality.Semantic.DeepEqual(shared.Status, r.cron.Status) {
		if _, err := client.Of[*batchv1.CronJob](c.Client).UpdateStatus(ctx, r.cron); err != nil {
			return again, controllers.IgnoreNotFound(err)
		}
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
	times, err := parse(r.cron)
	if err != nil {
		loop.Say(ctx, "BadSchedule", "error", err.Error())
		r.Events.Event(r.cron, corev1.EventTypeWarning, err.reason, "%s", err.Error())
		return 0, nil // only the user can mend it
	}
	now := time.Now()
	due, missed := times.due(r.cron, now)
	next := times.next(r.cron, now)
	loop.Say(ctx, "Schedule", "due", due.String(), "missed", missed, "next", next.String())
	if missed > manyMissed {
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
	return next, r.create(ctx, due)
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

func startOf(job *batchv1.Job) metav1.Time {
	if job.Status.StartTime != nil {
		return *job.Status.StartTime
	}
	return job.CreationTimestamp
}
