package cronjob

import (
	"errors"
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
	zone *time.Location // that the CronJob names, or UTC
}

// badSchedule is a schedule or time zone that cannot be used, with the reason that its event has.
type badSchedule struct{ reason, message string }

func (e *badSchedule) Error() string { return e.message }

func parse(job *batchv1.CronJob) (*times, *badSchedule) {
	text := job.Spec.Schedule
	zone := time.UTC
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

// errNever is what Kubernetes says of a schedule without times, such as 59 23 31 2 *.
var errNever = errors.New("time difference between two schedules is less than 1 second")

// due returns the last time of the schedule that has passed, zero if none has, and how many have since the last run: those
// that startingDeadlineSeconds puts out of reach are not counted.
func (t *times) due(job *batchv1.CronJob, now time.Time) (due time.Time, missed int64, err error) {
	earliest := lastRun(job)
	if limit := job.Spec.StartingDeadlineSeconds; limit != nil {
		if deadline := now.Add(-time.Duration(*limit) * time.Second); deadline.After(earliest) {
			earliest = deadline
		}
	}
	return t.latest(earliest, now)
}

// lastRun is from when on runs can be due: the last one, or the CronJob's creation.
func lastRun(job *batchv1.CronJob) time.Time {
	if job.Status.LastScheduleTime != nil {
		return job.Status.LastScheduleTime.Time
	}
	return job.CreationTimestamp.Time
}

// latest returns the last time after one and not after another, and about how many there are. After a long time off it
// would take long to go through all: it jumps near the end, as far as the interval of the first two reaches, and goes on
// from there. Where a schedule pauses, for the night or a weekend, the jump can land in the pause: then the runs before it
// count as missed, but none is due, as in Kubernetes.
func (t *times) latest(earliest, now time.Time) (at time.Time, missed int64, err error) {
	first := t.Next(earliest)
	second := t.Next(first)
	switch {
	case now.Before(first):
		return time.Time{}, 0, nil
	case now.Before(second):
		return first, 0, nil
	}
	interval := second.Sub(first).Round(time.Second)
	if interval < time.Second {
		return time.Time{}, 0, errNever
	}
	missed = int64(now.Sub(first).Truncate(time.Second)/interval) + 1
	start := first.Add(time.Duration(missed-2) * interval)
	for next := t.Next(start); !next.After(now); next = t.Next(next) {
		at = next
	}
	return at, missed, nil
}

// next is how long until the next time of the schedule. It is counted from the last run, for a schedule like @every 5m has
// no times of its own.
func (t *times) next(job *batchv1.CronJob, now time.Time) time.Duration {
	from, missed, err := t.latest(lastRun(job), now)
	if from.IsZero() {
		from = now
		if err == nil && missed == 0 {
			from = lastRun(job)
		}
	}
	return t.Next(from).Add(slack).Sub(now)
}

// stamp is a time as Jobs have it in their annotation: in the CronJob's zone, or UTC.
func (t *times) stamp(at time.Time) string { return at.In(t.zone).Format(time.RFC3339) }
