package explain

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// job judges a Job by its conditions, then by its pods.
func (d *diagnosis) job(o *batchv1.Job) {
	pods := owned[*corev1.Pod](d.Snapshot, o)
	for _, c := range o.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			d.add(Notice, "JobComplete", o, "succeeded", o.Status.Succeeded)
			return
		case batchv1.JobFailed:
			d.jobFailed(o, c, pods)
			return
		case batchv1.JobSuspended:
			d.add(Problem, "JobSuspended", o)
			return
		}
	}
	if d.held(o, "job-controller") {
		return
	}
	if e := d.lastEvent(refOf(o), nil, "FailedCreate"); e != nil && len(pods) == 0 {
		d.refused(o, deref(o.Spec.Parallelism), 0, e.Message)
		return
	}
	before := len(d.findings)
	follow(d, pods...)
	if len(d.findings) == before {
		d.add(Waiting, "JobRunning", o, "active", o.Status.Active, "succeeded", o.Status.Succeeded, "completions", max(deref(o.Spec.Completions), 1),
			"failed", o.Status.Failed, "limit", deref(o.Spec.BackoffLimit))
	}
}

// jobFailed judges why a Job has given up, and shows how its pods ended.
func (d *diagnosis) jobFailed(o *batchv1.Job, c batchv1.JobCondition, pods []*corev1.Pod) {
	reason := "JobFailed"
	switch c.Reason {
	case batchv1.JobReasonBackoffLimitExceeded, batchv1.JobReasonDeadlineExceeded, batchv1.JobReasonPodFailurePolicy:
		reason = "Job" + c.Reason
	}
	f := d.add(Problem, reason, o, "failed", o.Status.Failed, "limit", deref(o.Spec.BackoffLimit), "seconds", deref(o.Spec.ActiveDeadlineSeconds), "message", c.Message)
	for i := len(pods) - 1; i >= 0; i-- {
		if pods[i].Status.Phase == corev1.PodFailed {
			for _, status := range pods[i].Status.ContainerStatuses {
				if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
					f.Args["exitCode"], f.Args["pod"] = t.ExitCode, pods[i].Name
					f.Log = d.log(pods[i], status.Name, false)
				}
			}
			break
		}
	}
	follow(d, pods...)
}

// cronJob judges a CronJob, and the newest job of it.
func (d *diagnosis) cronJob(o *batchv1.CronJob) {
	switch {
	case deref(o.Spec.Suspend):
		d.add(Problem, "CronJobSuspended", o)
		return
	case d.held(o, "cronjob-controller"):
		return
	}
	if e := d.lastEvent(refOf(o), nil, "UnparseableSchedule", "TooManyMissedTimes", "FailedCreate", "UnknownTimeZone"); e != nil {
		d.add(Problem, "CronJobProblem", o, "schedule", o.Spec.Schedule, "message", e.Message)
	}
	jobs := owned[*batchv1.Job](d.Snapshot, o)
	if o.Status.LastScheduleTime == nil {
		d.add(Waiting, "CronJobNotYet", o, "schedule", o.Spec.Schedule)
		return
	}
	var newest *batchv1.Job
	for _, j := range jobs {
		if newest == nil || newest.CreationTimestamp.Before(&j.CreationTimestamp) {
			newest = j
		}
	}
	if newest != nil {
		follow(d, newest)
	}
}
