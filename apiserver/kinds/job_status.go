package kinds

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateJobStatus checks what a job's controller reports. Whoever waits for a job relies on its conditions, so they must
// not contradict each other or go back. As in Kubernetes, most rules are asked only when a change could have broken them:
// a status from before they existed can still be written.
func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	path := field.NewPath("status")
	errs := validateJobCounts(&j.Status, path)
	errs = append(errs, validateJobEnd(j, old, path)...)
	errs = append(errs, validateJobIndexes(j, old, path)...)
	return append(errs, validateJobProgress(j, old, path)...)
}

func validateJobCounts(s *batchv1.JobStatus, path *field.Path) field.ErrorList {
	errs := nonNegativeCounts(path, count{"active", int64(s.Active)}, count{"succeeded", int64(s.Succeeded)}, count{"failed", int64(s.Failed)})
	errs = append(errs, nonNegativePointer(s.Ready, path.Child("ready"))...)
	errs = append(errs, nonNegativePointer(s.Terminating, path.Child("terminating"))...)
	if uncounted := s.UncountedTerminatedPods; uncounted != nil {
		at := path.Child("uncountedTerminatedPods")
		errs = append(errs, distinctUIDs(uncounted.Succeeded, nil, at.Child("succeeded"))...)
		errs = append(errs, distinctUIDs(uncounted.Failed, uncounted.Succeeded, at.Child("failed"))...)
	}
	return errs
}

func distinctUIDs(uids, before []types.UID, path *field.Path) (errs field.ErrorList) {
	for i, uid := range uids {
		switch {
		case uid == "":
			errs = append(errs, field.Invalid(path.Index(i), uid, "must not be empty"))
		case slices.Contains(before, uid), slices.Contains(uids[:i], uid):
			errs = append(errs, field.Duplicate(path.Index(i), uid))
		}
	}
	return errs
}

// validateJobEnd checks what must hold when a job is over.
func validateJobEnd(j, old *batchv1.Job, path *field.Path) (errs field.ErrorList) {
	s, conditions := &j.Status, path.Child("conditions")
	complete, failed := jobCondition(j, batchv1.JobComplete), jobCondition(j, batchv1.JobFailed)
	criteria, target := jobCondition(j, batchv1.JobSuccessCriteriaMet), jobCondition(j, batchv1.JobFailureTarget)
	becomesComplete := complete && !jobCondition(old, batchv1.JobComplete)
	becomesFailed := failed && !jobCondition(old, batchv1.JobFailed)
	finished, becomesFinished := complete || failed, becomesComplete || becomesFailed
	refuse := func(wrong bool, message string) {
		if wrong {
			errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, message))
		}
	}
	refuse(complete && failed && (becomesComplete || becomesFailed), "cannot set Complete=True and Failed=true conditions")
	refuse(complete && target && (becomesComplete || !jobCondition(old, batchv1.JobFailureTarget)), "cannot set Complete=True and FailureTarget=true conditions")
	completionChanged := !equality.Semantic.DeepEqual(s.CompletionTime, old.Status.CompletionTime)
	if s.CompletionTime != nil && !complete && (completionChanged || jobCondition(old, batchv1.JobComplete)) {
		errs = append(errs, field.Invalid(path.Child("completionTime"), s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
	}
	if s.CompletionTime == nil && complete && (becomesComplete || completionChanged) {
		errs = append(errs, field.Required(path.Child("completionTime"), "completionTime is required for Complete jobs"))
	}
	startChanged := !equality.Semantic.DeepEqual(s.StartTime, old.Status.StartTime)
	if s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) && (startChanged || completionChanged) {
		errs = append(errs, field.Invalid(path.Child("completionTime"), s.CompletionTime, "completionTime cannot be set before startTime"))
	}
	refuse(becomesFailed && !target, "cannot set Failed=True condition without the FailureTarget=true condition")
	refuse(becomesComplete && !criteria, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	if s.Active > 0 && finished && (becomesFinished || s.Active != old.Status.Active) {
		errs = append(errs, field.Invalid(path.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if s.StartTime == nil && finished && (becomesFinished || startChanged) {
		errs = append(errs, field.Required(path.Child("startTime"), "startTime is required for finished job"))
	}
	if u := s.UncountedTerminatedPods; becomesFinished && u != nil && len(u.Failed)+len(u.Succeeded) > 0 {
		errs = append(errs, field.Invalid(path.Child("uncountedTerminatedPods"), internalForm(u), "uncountedTerminatedPods needs to be empty for finished job"))
	}
	if n := s.Terminating; n != nil && *n > 0 && finished && (becomesFinished || orZero32(n) != orZero32(old.Status.Terminating)) {
		errs = append(errs, field.Invalid(path.Child("terminating"), n, "terminating>0 is invalid for finished job"))
	}
	if s.Ready != nil && *s.Ready > s.Active && (orZero32(s.Ready) != orZero32(old.Status.Ready) || s.Active != old.Status.Active) {
		errs = append(errs, field.Invalid(path.Child("ready"), *s.Ready, "cannot set more ready pods than active"))
	}
	refuse(criteria && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
	refuse(criteria && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	refuse(j.Spec.SuccessPolicy != nil && complete && !criteria, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	return errs
}

// validateJobIndexes checks the lists of indexes that are done and that have failed.
func validateJobIndexes(j, old *batchv1.Job, path *field.Path) (errs field.ErrorList) {
	s, completions := &j.Status, orZero32(j.Spec.Completions)
	completed, failed := path.Child("completedIndexes"), path.Child("failedIndexes")
	sameCompleted := s.CompletedIndexes == old.Status.CompletedIndexes
	sameFailed := equality.Semantic.DeepEqual(s.FailedIndexes, old.Status.FailedIndexes)
	if sameCompleted && sameFailed {
		return nil
	}
	done, err := parseIndexes(s.CompletedIndexes, completions)
	if err != nil && indexed(&j.Spec) && !sameCompleted {
		errs = append(errs, field.Invalid(completed, s.CompletedIndexes, "error parsing completedIndexes: "+err.Error()))
	}
	if s.CompletedIndexes != "" && !indexed(&j.Spec) && !sameCompleted {
		errs = append(errs, field.Invalid(completed, s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"))
	}
	if s.FailedIndexes == nil {
		return errs
	}
	broken, err := parseIndexes(*s.FailedIndexes, completions)
	switch {
	case j.Spec.BackoffLimitPerIndex == nil && !sameFailed:
		errs = append(errs, field.Invalid(failed, *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
	case err != nil && !sameFailed:
		errs = append(errs, field.Invalid(failed, s.FailedIndexes, "error parsing failedIndexes: "+err.Error()))
	}
	if index, both := overlap(done, broken); both {
		errs = append(errs, field.Invalid(failed, *s.FailedIndexes, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", index)))
	}
	return errs
}

// validateJobProgress refuses to go back on what was reported.
func validateJobProgress(j, old *batchv1.Job, path *field.Path) (errs field.ErrorList) {
	s, was, conditions := &j.Status, &old.Status, path.Child("conditions")
	for _, typ := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if jobCondition(old, typ) && !jobCondition(j, typ) {
			errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, fmt.Sprintf("cannot disable the terminal %s=True condition", typ)))
		}
	}
	if s.Failed < was.Failed {
		errs = append(errs, field.Invalid(path.Child("failed"), s.Failed, "cannot decrease the failed counter"))
	}
	// An indexed job that shrinks, with its parallelism, forgets the indexes that are no more.
	resizable := indexed(&j.Spec) && equality.Semantic.DeepEqual(j.Spec.Completions, j.Spec.Parallelism)
	if s.Succeeded < was.Succeeded && !resizable {
		errs = append(errs, field.Invalid(path.Child("succeeded"), s.Succeeded, "cannot decrease the succeeded counter"))
	}
	if s.CompletionTime != nil && was.CompletionTime != nil && !s.CompletionTime.Equal(was.CompletionTime) {
		errs = append(errs, field.Invalid(path.Child("completionTime"), s.CompletionTime, "completionTime cannot be mutated"))
	}
	suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
	if was.StartTime != nil && !was.StartTime.Equal(s.StartTime) && !suspended {
		errs = append(errs, field.Required(path.Child("startTime"), "startTime cannot be removed for unsuspended job"))
	}
	if jobCondition(old, batchv1.JobSuccessCriteriaMet) && !jobCondition(j, batchv1.JobSuccessCriteriaMet) {
		errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, "cannot disable the SuccessCriteriaMet=True condition"))
	}
	if jobCondition(old, batchv1.JobComplete) && !jobCondition(old, batchv1.JobSuccessCriteriaMet) && jobCondition(j, batchv1.JobSuccessCriteriaMet) {
		errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"))
	}
	return errs
}
