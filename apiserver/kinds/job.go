package kinds

import (
	"fmt"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func job() *Kind {
	spec, status := batchv1.JobSpec{}.SwaggerDoc(), batchv1.JobStatus{}.SwaggerDoc()
	return Row[*batchv1.Job]{
		Base: Kind{
			Group: "batch", Version: "v1", Kind: "Job", Plural: "jobs", Singular: "job", Categories: []string{"all"},
			Namespaced: true, UnconditionalUpdate: true, OrphanByDefault: true, FieldNames: []string{"status.successful"},
		},
		New:              func() *batchv1.Job { return &batchv1.Job{} },
		NewList:          func() runtime.Object { return &batchv1.JobList{} },
		Default:          defaultJob,
		PrepareForCreate: prepareJobForCreate,
		PrepareForUpdate: func(j, old *batchv1.Job) {
			j.Status = old.Status
			dropDisabledFields(&j.Spec.Template.Spec)
			raiseGeneration(j, old, j.Spec, old.Spec)
		},
		Validate:       validateJob,
		ValidateUpdate: validateJobUpdate,
		Warnings: func(j, old *batchv1.Job) (warnings []string) {
			if old == nil {
				warnings = hostnameWarnings(j.Name, podNamesAndHostnames)
			} else if old.Generation == j.Generation {
				return nil
			}
			return append(warnings, jobWarnings(&j.Spec, field.NewPath("spec"))...)
		},
		HasStatus:      true,
		PrepareStatus:  func(j, old *batchv1.Job) { j.Spec = old.Spec },
		ValidateStatus: validateJobStatus,
		Fields: func(j *batchv1.Job) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
		},
		Columns: append(append([]metav1.TableColumnDefinition{
			nameColumn(),
			column("Status", "string", "Status of the job."),
			column("Completions", "string", status["succeeded"]),
			column("Duration", "string", "Time required to complete the job."),
			ageColumn(),
		}, containerColumns()...), wideColumn("Selector", "string", spec["selector"])),
		Cells: func(j *batchv1.Job) []any {
			names, images := containerCells(j.Spec.Template.Spec.Containers)
			return []any{j.Name, jobState(j), jobCompletions(j), jobDuration(j), age(j.CreationTimestamp), names, images, selectorCell(j.Spec.Selector)}
		},
	}.Kind()
}

func defaultJob(j *batchv1.Job) {
	defaultJobSpec(&j.Spec)
	takeTemplateLabels(j)
	setDefaultPointer(&j.Spec.CompletionMode, batchv1.NonIndexedCompletion)
	setDefaultPointer(&j.Spec.Suspend, false)
	setDefaultPointer(&j.Spec.ManualSelector, false)
	// Without a failure policy a pod is replaced as soon as it is told to stop, with one only when it has failed.
	replacement := batchv1.TerminatingOrFailed
	if j.Spec.PodFailurePolicy != nil {
		replacement = batchv1.Failed
	}
	setDefaultPointer(&j.Spec.PodReplacementPolicy, replacement)
	if j.Spec.Completions == nil && j.Spec.Parallelism == nil {
		setDefaultPointer(&j.Spec.Completions, 1)
	}
	setDefaultPointer(&j.Spec.Parallelism, 1)
	if j.Spec.BackoffLimit == nil {
		limit := int32(6)
		if j.Spec.BackoffLimitPerIndex != nil {
			limit = math.MaxInt32
		}
		j.Spec.BackoffLimit = &limit
	}
}

// defaultJobSpec fills in what a job and the template of a cron job have in common: the rest of a template's defaults
// come when its job is created.
func defaultJobSpec(spec *batchv1.JobSpec) {
	defaultPodTemplate(&spec.Template)
	if spec.PodFailurePolicy == nil {
		return
	}
	noneIfEmpty(&spec.PodFailurePolicy.Rules)
	for i := range spec.PodFailurePolicy.Rules {
		conditions := spec.PodFailurePolicy.Rules[i].OnPodConditions
		for j := range conditions {
			setDefault(&conditions[j].Status, corev1.ConditionTrue)
		}
	}
}

// takeTemplateLabels gives a job without labels those of its pods. As in Kubernetes it is one and the same map, so that what
// is generated for the pods later is the job's, too.
func takeTemplateLabels(j *batchv1.Job) {
	if len(j.Labels) == 0 && j.Spec.Template.Labels != nil {
		j.Labels = j.Spec.Template.Labels
	}
}

// prepareJobForCreate makes the selector from the job's uid, so that no two jobs ever count each other's pods.
func prepareJobForCreate(j *batchv1.Job) {
	j.Generation, j.Status = 1, batchv1.JobStatus{}
	dropDisabledFields(&j.Spec.Template.Spec)
	if manualSelector(j) {
		return
	}
	template := &j.Spec.Template
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	for key, value := range jobLabels(j) {
		if _, set := template.Labels[key]; !set {
			template.Labels[key] = value
		}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, set := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !set {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
	// Kubernetes does this as it reads the job back, so it never refuses a job for the labels that it generated: a name
	// too long for a label is an error of the template alone.
	if len(validation.IsValidLabelValue(j.Name)) == 0 {
		takeTemplateLabels(j)
	}
}

func manualSelector(j *batchv1.Job) bool {
	return j.Spec.ManualSelector != nil && *j.Spec.ManualSelector
}

const (
	oldControllerUIDLabel = "controller-uid"
	oldJobNameLabel       = "job-name"
)

// jobLabels are the labels of a job's pods, under their present and their old names.
func jobLabels(j *batchv1.Job) map[string]string {
	return map[string]string{
		oldControllerUIDLabel: string(j.UID), oldJobNameLabel: j.Name,
		batchv1.ControllerUidLabel: string(j.UID), batchv1.JobNameLabel: j.Name,
	}
}

// jobState is a job in one word.
func jobState(j *batchv1.Job) string {
	switch {
	case jobCondition(j, batchv1.JobComplete):
		return "Complete"
	case jobCondition(j, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case jobCondition(j, batchv1.JobSuspended):
		return "Suspended"
	case jobCondition(j, batchv1.JobFailureTarget):
		return "FailureTarget"
	case jobCondition(j, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func jobCondition(j *batchv1.Job, typ batchv1.JobConditionType) bool {
	for _, c := range j.Status.Conditions {
		if c.Type == typ {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func jobCompletions(j *batchv1.Job) string {
	switch parallel := orZero32(j.Spec.Parallelism); {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallel > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallel)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job) string {
	switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
	case start == nil:
		return ""
	case end == nil:
		return duration.HumanDuration(time.Since(start.Time))
	default:
		return duration.HumanDuration(end.Sub(start.Time))
	}
}
