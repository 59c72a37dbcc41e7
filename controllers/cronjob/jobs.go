package cronjob

import (
	"context"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// follow takes Jobs that have ended, or are gone, off the list of active ones.
func (r *run) follow(ctx context.Context) error {
	known := map[types.UID]bool{}
	for _, job := range r.jobs {
		known[job.UID] = true
		how, active := ended(job), r.isActive(job.UID)
		switch {
		case active && how != "":
			r.drop(job.UID)
			r.Events.Event(r.cron, corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", job.Name, how)
			loop.Say(ctx, "JobEnded", "name", job.Name, "condition", how)
		case !active && how == "":
			// Perhaps our own, of which the status could not be written.
			fresh, err := client.Of[*batchv1.CronJob](r.Client).Get(ctx, r.cron.Namespace, r.cron.Name)
			if err != nil {
				return controllers.IgnoreNotFound(err)
			}
			if slices.ContainsFunc(fresh.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == job.UID }) {
				r.cron = fresh.DeepCopy()
				continue
			}
			r.Events.Event(r.cron, corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", job.Name)
		}
		if how == batchv1.JobComplete && job.Status.CompletionTime != nil &&
			(r.cron.Status.LastSuccessfulTime == nil || job.Status.CompletionTime.After(r.cron.Status.LastSuccessfulTime.Time)) {
			r.cron.Status.LastSuccessfulTime = job.Status.CompletionTime
		}
	}
	for _, ref := range slices.Clone(r.cron.Status.Active) {
		if known[ref.UID] {
			continue
		}
		// The cache may not show it yet: the API knows.
		job, err := client.Of[*batchv1.Job](r.Client).Get(ctx, r.cron.Namespace, ref.Name)
		if err == nil && job.UID == ref.UID {
			continue
		}
		if controllers.IgnoreNotFound(err) != nil {
			return err
		}
		r.drop(ref.UID)
		r.Events.Event(r.cron, corev1.EventTypeNormal, "MissingJob", "Active job went missing: %v", ref.Name)
	}
	return nil
}

func (r *run) isActive(uid types.UID) bool {
	return slices.ContainsFunc(r.cron.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == uid })
}

func (r *run) drop(uid types.UID) {
	r.cron.Status.Active = slices.DeleteFunc(slices.Clone(r.cron.Status.Active), func(ref corev1.ObjectReference) bool { return ref.UID == uid })
	if len(r.cron.Status.Active) == 0 {
		r.cron.Status.Active = nil
	}
}

// create makes the Job of a time.
func (r *run) create(ctx context.Context, due time.Time) error {
	times, bad := parse(r.cron)
	if bad != nil {
		return bad
	}
	template := r.cron.Spec.JobTemplate.DeepCopy()
	annotations := maps.Clone(template.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = times.stamp(due)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: jobName(r.cron, due), Namespace: r.cron.Namespace, Labels: template.Labels, Annotations: annotations,
			CreationTimestamp: metav1.Time{Time: due}, OwnerReferences: []metav1.OwnerReference{controllers.OwnerRef(r.cron)},
		},
		Spec: template.Spec,
	}
	loop.Say(ctx, "CreateJob", "name", job.Name)
	created, err := client.Of[*batchv1.Job](r.Client).Create(ctx, job)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case apierrors.IsAlreadyExists(err):
		// Ours, of a step whose status was not written.
		if created, err = client.Of[*batchv1.Job](r.Client).Get(ctx, job.Namespace, job.Name); err != nil {
			return err
		}
		if owner := metav1.GetControllerOfNoCopy(created); owner == nil || owner.UID != r.cron.UID {
			loop.Say(ctx, "NameTaken", "name", job.Name)
			return nil // somebody else's: Kubernetes leaves it, and the run, alone
		}
	case err != nil:
		r.Events.Event(r.cron, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return err
	default:
		r.Events.Event(r.cron, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %v", created.Name)
	}
	if !r.isActive(created.UID) { // one that has ended meanwhile too: the next step sees that it has
		r.cron.Status.Active = append(slices.Clone(r.cron.Status.Active), corev1.ObjectReference{
			APIVersion: "batch/v1", Kind: "Job", Namespace: created.Namespace, Name: created.Name, UID: created.UID, ResourceVersion: created.ResourceVersion,
		})
	}
	r.cron.Status.LastScheduleTime = &metav1.Time{Time: due}
	return nil
}

func (r *run) deleteActive(ctx context.Context) error {
	for _, ref := range slices.Clone(r.cron.Status.Active) {
		job, err := client.Of[*batchv1.Job](r.Client).Get(ctx, r.cron.Namespace, ref.Name)
		if err != nil { // of one that is gone, the next try takes note
			r.Events.Event(r.cron, corev1.EventTypeWarning, "FailedGet", "Get job: %v", err)
			return err
		}
		loop.Say(ctx, "ReplaceJob", "name", ref.Name)
		if err := r.delete(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) delete(ctx context.Context, job *batchv1.Job) error {
	err := client.Of[*batchv1.Job](r.Client).Delete(ctx, job.Namespace, job.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	if controllers.IgnoreNotFound(err) != nil {
		r.Events.Event(r.cron, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return err
	}
	r.drop(job.UID)
	r.Events.Event(r.cron, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", job.Name)
	return nil
}

// cleanUp deletes the oldest ended Jobs beyond the history limits. A Job that is deleted before its end was noted, because
// its limit is 0, leaves the active ones without a word.
func (r *run) cleanUp(ctx context.Context) error {
	limits := []*int32{r.cron.Spec.SuccessfulJobsHistoryLimit, r.cron.Spec.FailedJobsHistoryLimit}
	for i, how := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		limit := limits[i]
		if limit == nil {
			continue
		}
		jobs := slices.DeleteFunc(slices.Clone(r.jobs), func(job *batchv1.Job) bool { return ended(job) != how || job.DeletionTimestamp != nil })
		slices.SortFunc(jobs, byStart)
		for _, job := range jobs[:max(len(jobs)-int(*limit), 0)] {
			loop.Say(ctx, "ForgetJob", "name", job.Name)
			if err := r.delete(ctx, job); err != nil {
				return err
			}
		}
	}
	return nil
}
