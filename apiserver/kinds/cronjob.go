package kinds

import (
	"fmt"
	"strings"
	"time"
	// The names of time zones must not depend on the machine.
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func cronJob() *Kind {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return Row[*batchv1.CronJob]{
		Base: Kind{
			Group: "batch", Version: "v1", Kind: "CronJob", Plural: "cronjobs", Singular: "cronjob", ShortNames: []string{"cj"},
			Categories: []string{"all"}, Namespaced: true, UnconditionalUpdate: true,
		},
		New:     func() *batchv1.CronJob { return &batchv1.CronJob{} },
		NewList: func() runtime.Object { return &batchv1.CronJobList{} },
		Default: defaultCronJob,
		PrepareForCreate: func(c *batchv1.CronJob) {
			c.Generation, c.Status = 1, batchv1.CronJobStatus{}
			dropDisabledFields(&c.Spec.JobTemplate.Spec.Template.Spec)
		},
		PrepareForUpdate: func(c, old *batchv1.CronJob) {
			c.Status = old.Status
			dropDisabledFields(&c.Spec.JobTemplate.Spec.Template.Spec)
			raiseGeneration(c, old, c.Spec, old.Spec)
		},
		Validate: func(c *batchv1.CronJob) field.ErrorList {
			errs := validateCronJob(c, nil)
			// Its jobs are named NAME-MINUTES, and their names are labels.
			if len(c.Name) > validation.DNS1035LabelMaxLength-11 {
				errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters"))
			}
			return errs
		},
		ValidateUpdate: validateCronJob,
		Warnings:       cronJobWarnings,
		HasStatus:      true,
		PrepareStatus:  func(c, old *batchv1.CronJob) { c.Spec = old.Spec },
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Schedule", "string", spec["schedule"]),
			column("Timezone", "string", spec["timeZone"]),
			column("Suspend", "boolean", spec["suspend"]),
			column("Active", "integer", status["active"]),
			column("Last Schedule", "string", status["lastScheduleTime"]),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", batchv1.JobSpec{}.SwaggerDoc()["selector"])),
		Cells: cronJobCells,
	}.Kind()
}

func cronJobCells(c *batchv1.CronJob) []any {
	zone, last := "<none>", "<none>"
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if c.Status.LastScheduleTime != nil {
		last = age(*c.Status.LastScheduleTime)
	}
	suspend := "<unset>"
	if c.Spec.Suspend != nil {
		suspend = fmt.Sprintf("%t", *c.Spec.Suspend)
	}
	names, images := containerCells(c.Spec.JobTemplate.Spec.Template.Spec.Containers)
	selector := ""
	if s := c.Spec.JobTemplate.Spec.Selector; s != nil {
		selector = selectorCell(s)
	}
	return []any{c.Name, c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, age(c.CreationTimestamp), names, images, orNone(selector)}
}

func defaultCronJob(c *batchv1.CronJob) {
	setDefault(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setDefaultPointer(&c.Spec.Suspend, false)
	setDefaultPointer(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	setDefaultPointer(&c.Spec.FailedJobsHistoryLimit, 1)
	defaultJobSpec(&c.Spec.JobTemplate.Spec)
}

// validateCronJob checks a cron job; old is nil for a new one.
func validateCronJob(c, old *batchv1.CronJob) (errs field.ErrorList) {
	path, spec := field.NewPath("spec"), &c.Spec
	schedule := path.Child("schedule")
	if spec.Schedule != "" {
		errs = append(errs, validateSchedule(spec, old != nil && strings.Contains(old.Spec.Schedule, "TZ"), schedule)...)
	}
	errs = append(errs, nonNegativePointer(spec.StartingDeadlineSeconds, path.Child("startingDeadlineSeconds"))...)
	if zone := spec.TimeZone; zone != nil && (old == nil || old.Spec.TimeZone == nil || *old.Spec.TimeZone != *zone) {
		errs = append(errs, validateTimeZone(*zone, path.Child("timeZone"))...)
	}
	errs = append(errs, oneOfRequired(spec.ConcurrencyPolicy, path.Child("concurrencyPolicy"),
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	errs = append(errs, validateJobTemplate(&spec.JobTemplate.Spec, path.Child("jobTemplate", "spec"))...)
	errs = append(errs, nonNegativePointer(spec.SuccessfulJobsHistoryLimit, path.Child("successfulJobsHistoryLimit"))...)
	errs = append(errs, nonNegativePointer(spec.FailedJobsHistoryLimit, path.Child("failedJobsHistoryLimit"))...)
	return append(errs, required(spec.Schedule, schedule, "")...) // declared in the API's types, and such checks come last
}

// validateSchedule checks a schedule. A time zone in it was never meant to work; cron jobs that have one may keep it.
func validateSchedule(spec *batchv1.CronJobSpec, zoneAllowed bool, path *field.Path) (errs field.ErrorList) {
	if _, err := cron.ParseStandard(spec.Schedule); err != nil {
		errs = append(errs, field.Invalid(path, spec.Schedule, err.Error()))
	}
	switch hasZone := strings.Contains(spec.Schedule, "TZ"); {
	case hasZone && !zoneAllowed:
		errs = append(errs, field.Invalid(path, spec.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case hasZone && spec.TimeZone != nil:
		errs = append(errs, field.Invalid(path, spec.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

// validateTimeZone checks a name from the time zone database: letters and the like in parts of at most 14.
func validateTimeZone(zone string, path *field.Path) (errs field.ErrorList) {
	if zone == "" {
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be nil or non-empty string")}
	}
	for part := range strings.SplitSeq(zone, "/") {
		odd := func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_+", r))
		}
		if part == "" || len(part) > 14 || part == "." || part == ".." || strings.HasPrefix(part, "-") || strings.ContainsFunc(part, odd) {
			return field.ErrorList{field.Invalid(path, zone, "unknown time zone "+zone)}
		}
	}
	if strings.EqualFold(zone, "Local") {
		errs = append(errs, field.Invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(zone); err != nil {
		errs = append(errs, field.Invalid(path, zone, err.Error()))
	}
	return errs
}

// validateJobTemplate checks the template of a cron job's jobs, whose selectors are always generated.
func validateJobTemplate(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := validateJobSpec(spec, path)
	if spec.Selector != nil {
		errs = append(errs, field.Invalid(path.Child("selector"), spec.Selector, "`selector` will be auto-generated"))
	}
	if manual := spec.ManualSelector; manual != nil && *manual {
		errs = append(errs, field.NotSupported(path.Child("manualSelector"), manual, []string{"nil", "false"}))
	}
	return errs
}

func cronJobWarnings(c, old *batchv1.CronJob) (warnings []string) {
	jobs := func() []string {
		return jobWarnings(&c.Spec.JobTemplate.Spec, field.NewPath("spec", "jobTemplate", "spec"))
	}
	if old == nil {
		return append(hostnameWarnings(c.Name, podNamesAndHostnames), jobs()...)
	}
	if c.Generation != old.Generation {
		warnings = jobs()
	}
	// A new schedule with a zone is refused, an old one is left alone.
	if strings.Contains(c.Spec.Schedule, "TZ") {
		warnings = append(warnings, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "+
			"see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
	}
	return warnings
}
