package cronjob

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
)

// manyMissed is how many runs may be missed before people are told that something is wrong.
const manyMissed = 100

// slack makes the controller come back a little after a time, so that it has surely passed.
const slack = 100 * time.Millisecond

// times is a schedule in its time zone.
type times struct {
	cron.Schedule
	zone *time.Location // nil when the CronJob names none
}

// badSchedule is a schedule or time zone that cannot be used, with the reason that its event has.
type badSchedule struct{ reason, message string }

func (e *badSchedule) Error() string { return e.message }

func parse(job *batchv1.CronJob) (*times, *badSchedule) {
	text := job.Spec.Schedule
	var zone *time.Location
	if job.Spec.TimeZone != nil {
		var err error
		if zone, err = time.LoadLocation(*job.Spec.TimeZone); err != nil {
			return nil, &badSchedule{"UnknownTimeZone", fmt.Sprintf("invalid timeZone: %q: %s", *job.Spec.TimeZone, err)}
		}
		text = "TZ=" + *job.Spec.TimeZone + " " + text
	} else if !strings.Contains(text, "TZ=") {
		// Without a zone Kubernetes takes the controller manager's own, which is UTC nearly everywhere: here always, so that
		// a schedule means the same on a laptop as on the shared platform.
		text = "TZ=UTC " + text
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return nil, &badSchedule{"UnparseableSchedule", fmt.Sprintf("unparseable schedule: %q : %s", job.Spec.Schedule, err)}
	}
	return &times{schedule, zone}, nil
}

// since is from when on runs can be due: the last one, or the CronJob's creation, but no longer ago than
// startingDeadlineSeconds.
func since(job *batchv1.CronJob, now time.Time) time.Time {
	earliest := job.CreationTimestamp.Time
	if job.Status.LastScheduleTime != nil {
		earliest = job.Status.LastScheduleTime.Time
	}
	if limit := job.Spec.StartingDeadlineSeconds; limit != nil {
		if deadline := now.Add(-time.Duration(*limit) * time.Second); deadline.After(earliest) {
			earliest = deadline
		}
	}
	return earliest
}

// due returns the last time of the schedule that has passed, zero if none has, and how many have.
func (t *times) due(job *batchv1.CronJob, now time.Time) (due time.Time, missed int64) {
	earliest := since(job, now)
	first := t.Next(earliest)
	if first.IsZero() || first.After(now) {
		return time.Time{}, 0
	}
	second := t.Next(first)
	if second.IsZero() || second.After(now) {
		return first, 1
	}
	// After a long time off it would take long to go through all: jump near the end, as far as the interval of the first
	// two reaches, and go on from there.
	interval := second.Sub(first).Round(time.Second)
	missed = int64(now.Sub(first)/interval) + 1
	due = first
	start := first.Add(time.Duration(max(missed-2, 0)) * interval)
	if !start.Equal(first) {
		start = start.Add(-time.Second)
	}
	for at := t.Next(start); !at.IsZero() && !at.After(now); at = t.Next(at) {
		due = at
	}
	return due, missed
}

// next is how long until the next time of the schedule; 0 when there is none.
func (t *times) next(job *batchv1.CronJob, now time.Time) time.Duration {
	at := t.Next(now)
	if at.IsZero() {
		return 0
	}
	return at.Sub(now) + slack
}

// stamp is a time as Jobs have it in their annotation: in the CronJob's zone.
func (t *times) stamp(at time.Time) string {
	if t.zone != nil {
		at = at.In(t.zone)
	}
	return at.Format(time.RFC3339)
}
