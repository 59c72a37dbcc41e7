package kinds

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The sizes up to which a job's status can still list its indexes.
const (
	mostIndexes         = 100_000
	mostAtOnceWhenLarge = 10_000
)

func validateJob(j *batchv1.Job) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateGeneratedSelector(j)
	errs = append(errs, validateJobAndSelector(&j.Spec, path)...)
	if completions := orZero32(j.Spec.Completions); indexed(&j.Spec) && completions > 0 {
		// The pod of the last index must still be a host of its name.
		if host := fmt.Sprintf("%s-%d", j.Name, completions-1); len(validation.IsDNS1123Label(host)) > 0 {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+host))
		}
	}
	return errs
}

func indexed(spec *batchv1.JobSpec) bool {
	return spec.CompletionMode != nil && *spec.CompletionMode == batchv1.IndexedCompletion
}

// validateGeneratedSelector checks that a user did not set what is generated to something else.
func validateGeneratedSelector(j *batchv1.Job) (errs field.ErrorList) {
	if manualSelector(j) || j.Spec.Selector == nil {
		return nil
	}
	if j.UID == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "uid"), ""))
	}
	wanted, at := jobLabels(j), field.NewPath("spec", "template", "metadata", "labels")
	for _, key := range []string{oldControllerUIDLabel, oldJobNameLabel, batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		switch value, set := j.Spec.Template.Labels[key]; {
		case !set:
			errs = append(errs, field.Required(at.Key(key), fmt.Sprintf("must be '%s'", wanted[key])))
		case value != wanted[key]:
			errs = append(errs, field.Invalid(at.Key(key), j.Spec.Template.Labels, fmt.Sprintf("must be '%s'", wanted[key])))
		}
	}
	if matcher, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !matcher.Matches(labels.Set(wanted)) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

func validateJobAndSelector(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := validateJobSpec(spec, path)
	if spec.Selector == nil {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	} else {
		errs = append(errs, labelSelector(spec.Selector, path.Child("selector"))...)
	}
	if matcher, err := metav1.LabelSelectorAsSelector(spec.Selector); err == nil {
		errs = append(errs, templateMatches(&spec.Template, matcher, path.Child("template"))...)
	}
	return errs
}

// validateJobSpec checks a job's spec, but for its selector, which the template of a cron job does not have.
func validateJobSpec(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := nonNegativePointer(spec.Parallelism, path.Child("parallelism"))
	errs = append(errs, nonNegativePointer(spec.Completions, path.Child("completions"))...)
	errs = append(errs, nonNegativePointer(spec.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))...)
	errs = append(errs, nonNegativePointer(spec.BackoffLimit, path.Child("backoffLimit"))...)
	errs = append(errs, nonNegativePointer(spec.TTLSecondsAfterFinished, path.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, nonNegativePointer(spec.BackoffLimitPerIndex, path.Child("backoffLimitPerIndex"))...)
	if spec.MaxFailedIndexes != nil {
		errs = append(errs, nonNegativePointer(spec.MaxFailedIndexes, path.Child("maxFailedIndexes"))...)
		if spec.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
		}
	}
	if by := spec.ManagedBy; by != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(path.Child("managedBy"), *by)...)
		if len(*by) > 63 {
			errs = append(errs, field.TooLong(path.Child("managedBy"), "", 63))
		}
	}
	errs = append(errs, validateCompletionMode(spec, path)...)
	if spec.PodFailurePolicy != nil {
		errs = append(errs, validateFailurePolicy(spec, path.Child("podFailurePolicy"))...)
	}
	if spec.SuccessPolicy != nil {
		errs = append(errs, validateSuccessPolicy(spec, path.Child("successPolicy"))...)
	}
	if replacement := spec.PodReplacementPolicy; replacement != nil {
		allowed := []batchv1.PodReplacementPolicy{batchv1.Failed, batchv1.TerminatingOrFailed}
		if spec.PodFailurePolicy != nil {
			allowed = allowed[:1]
		}
		errs = append(errs, oneOf(*replacement, path.Child("podReplacementPolicy"), allowed...)...)
	}
	errs = append(errs, validatePodTemplate(&spec.Template, path.Child("template"))...)
	if spec.Scheduling != nil {
		errs = append(errs, field.Forbidden(path.Child("scheduling"), "")) // not turned on yet
	}
	return append(errs, validateJobRestartPolicy(spec, path.Child("template", "spec", "restartPolicy"))...)
}

// validateJobRestartPolicy: pods that run for ever do not complete. Always is also what is there by default, so it reads as
// left out.
func validateJobRestartPolicy(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	switch policy := spec.Template.Spec.RestartPolicy; {
	case policy == corev1.RestartPolicyAlways, policy == "":
		return field.ErrorList{field.Required(path, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		return oneOf(policy, path, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	case spec.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever:
		return field.ErrorList{field.Invalid(path, policy, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))}
	}
	return nil
}

func validateCompletionMode(spec *batchv1.JobSpec, path *field.Path) (errs field.ErrorList) {
	if spec.CompletionMode != nil {
		errs = append(errs, oneOf(*spec.CompletionMode, path.Child("completionMode"), batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
	}
	if indexed(spec) {
		return append(errs, validateIndexed(spec, path)...)
	}
	if spec.CompletionMode == nil || *spec.CompletionMode == batchv1.NonIndexedCompletion {
		const needed = "requires indexed completion mode"
		if spec.BackoffLimitPerIndex != nil {
			errs = append(errs, field.Invalid(path.Child("backoffLimitPerIndex"), *spec.BackoffLimitPerIndex, needed))
		}
		if spec.MaxFailedIndexes != nil {
			errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *spec.MaxFailedIndexes, needed))
		}
	}
	return errs
}

// validateIndexed keeps the list of an indexed job's indexes of a size that its status can hold.
func validateIndexed(spec *batchv1.JobSpec, path *field.Path) (errs field.ErrorList) {
	parallelism, failed := path.Child("parallelism"), path.Child("maxFailedIndexes")
	if spec.Completions == nil {
		errs = append(errs, field.Required(path.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
	}
	if n := spec.Parallelism; n != nil && *n > mostIndexes {
		errs = append(errs, field.Invalid(parallelism, *n, fmt.Sprintf("must be less than or equal to %d when completion mode is %s", mostIndexes, batchv1.IndexedCompletion)))
	}
	if n := spec.MaxFailedIndexes; n != nil {
		if spec.Completions != nil && *n > *spec.Completions {
			errs = append(errs, field.Invalid(failed, *n, "must be less than or equal to completions"))
		}
		if *n > mostIndexes {
			errs = append(errs, field.Invalid(failed, *n, fmt.Sprintf("must be less than or equal to %d", mostIndexes)))
		}
	}
	if orZero32(spec.Completions) <= mostIndexes || spec.BackoffLimitPerIndex == nil {
		return errs
	}
	tooMany := fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", mostAtOnceWhenLarge, mostIndexes)
	if spec.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(failed, fmt.Sprintf("must be specified when completions is above %d", mostIndexes)))
	}
	if n := spec.Parallelism; n != nil && *n > mostAtOnceWhenLarge {
		errs = append(errs, field.Invalid(parallelism, *n, tooMany))
	}
	if n := spec.MaxFailedIndexes; n != nil && *n > mostAtOnceWhenLarge {
		errs = append(errs, field.Invalid(failed, *n, tooMany))
	}
	return errs
}

// validateJobUpdate: what a job is to do stays as it was; how many of its pods run at once may change.
func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	path, now, then := field.NewPath("spec"), &j.Spec, &old.Spec
	errs := validateJobAndSelector(now, path)
	errs = append(errs, validateCompletionsUpdate(now, then, path)...)
	errs = append(errs, immutable(now.Selector, then.Selector, path.Child("selector"))...)
	errs = append(errs, validateJobTemplateUpdate(now, then, mutableTemplate(old), path.Child("template"))...)
	errs = append(errs, immutable(now.CompletionMode, then.CompletionMode, path.Child("completionMode"))...)
	errs = append(errs, immutableInternal(now.PodFailurePolicy, then.PodFailurePolicy, path.Child("podFailurePolicy"))...)
	errs = append(errs, immutable(now.BackoffLimitPerIndex, then.BackoffLimitPerIndex, path.Child("backoffLimitPerIndex"))...)
	errs = append(errs, immutable(now.ManagedBy, then.ManagedBy, path.Child("managedBy"))...)
	return append(errs, immutableInternal(now.SuccessPolicy, then.SuccessPolicy, path.Child("successPolicy"))...)
}

// validateCompletionsUpdate: an indexed job can grow and shrink, together with its parallelism.
func validateCompletionsUpdate(spec, old *batchv1.JobSpec, path *field.Path) field.ErrorList {
	at := path.Child("completions")
	switch {
	case !indexed(spec):
		return immutable(spec.Completions, old.Completions, at)
	case spec.Completions == nil, equality.Semantic.DeepEqual(spec.Completions, old.Completions):
		return nil
	case *spec.Completions != orZero32(spec.Parallelism):
		return field.ErrorList{field.Invalid(at, spec.Completions, "can only be modified in tandem with "+path.Child("parallelism").String())}
	}
	return nil
}

// mutableTemplate: a suspended job has no pods, and a queueing controller may still say where they go and what they get.
func mutableTemplate(old *batchv1.Job) bool {
	return old.Spec.Suspend != nil && *old.Spec.Suspend && old.Status.Active == 0
}

func validateJobTemplateUpdate(spec, old *batchv1.JobSpec, mutable bool, path *field.Path) field.ErrorList {
	now, then := &spec.Template, old.Template.DeepCopy()
	if mutable {
		letMove(&now.Spec, &then.Spec)
		return immutableInternal(now.Spec, then.Spec, path.Child("spec"))
	}
	return immutableInternal(*now, *then, path)
}

// letMove gives the old spec what the new one says about where pods go and what they get, so that it is not compared.
func letMove(now, then *corev1.PodSpec) {
	switch {
	case now.Affinity == nil && then.Affinity != nil:
		then.Affinity.NodeAffinity = nil
		if *then.Affinity == (corev1.Affinity{}) {
			then.Affinity = nil
		}
	case now.Affinity != nil && then.Affinity == nil:
		then.Affinity = &corev1.Affinity{NodeAffinity: now.Affinity.NodeAffinity}
	case now.Affinity != nil:
		then.Affinity.NodeAffinity = now.Affinity.NodeAffinity
	}
	then.NodeSelector, then.Tolerations, then.SchedulingGates = now.NodeSelector, now.Tolerations, now.SchedulingGates
	for _, list := range [][2][]corev1.Container{{now.Containers, then.Containers}, {now.InitContainers, then.InitContainers}} {
		if len(list[0]) == len(list[1]) {
			for i := range list[0] {
				list[1][i].Resources = list[0][i].Resources
			}
		}
	}
}

func jobWarnings(spec *batchv1.JobSpec, path *field.Path) (warnings []string) {
	if indexed(spec) && orZero32(spec.Completions) > mostIndexes && orZero32(spec.Parallelism) > mostAtOnceWhenLarge {
		warnings = append(warnings, path.String()+": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "+
			"Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	return append(warnings, templateWarnings(&spec.Template, path.Child("template"))...)
}

// validateFailurePolicy checks what a pod's failure means for its job.
func validateFailurePolicy(spec *batchv1.JobSpec, path *field.Path) (errs field.ErrorList) {
	const most = 20
	rules, at := spec.PodFailurePolicy.Rules, path.Child("rules")
	if len(rules) > most {
		errs = append(errs, field.TooMany(at, len(rules), most))
	}
	actions := []batchv1.PodFailurePolicyAction{batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore}
	for i := range rules {
		rule, here := &rules[i], at.Index(i)
		action := here.Child("action")
		switch {
		case rule.Action == "":
			errs = append(errs, field.Required(action, fmt.Sprintf("valid values: %q", actions)))
		case rule.Action == batchv1.PodFailurePolicyActionFailIndex && spec.BackoffLimitPerIndex == nil:
			errs = append(errs, field.Invalid(action, rule.Action, "requires the backoffLimitPerIndex to be set"))
		default:
			errs = append(errs, oneOf(rule.Action, action, actions...)...)
		}
		if rule.OnExitCodes != nil {
			errs = append(errs, validateOnExitCodes(rule.OnExitCodes, &spec.Template.Spec, here.Child("onExitCodes"))...)
		}
		errs = append(errs, validateOnPodConditions(rule.OnPodConditions, here.Child("onPodConditions"))...)
		switch {
		case rule.OnExitCodes != nil && len(rule.OnPodConditions) > 0:
			errs = append(errs, field.Invalid(here, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
		case rule.OnExitCodes == nil && len(rule.OnPodConditions) == 0:
			errs = append(errs, field.Invalid(here, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
		}
	}
	return errs
}

func validateOnPodConditions(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, path *field.Path) (errs field.ErrorList) {
	const most = 20
	if len(patterns) > most {
		errs = append(errs, field.TooMany(path, len(patterns), most))
	}
	states := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
	for i, pattern := range patterns {
		at := path.Index(i)
		errs = append(errs, qualifiedName(string(pattern.Type), at.Child("type"))...)
		if pattern.Status == "" {
			errs = append(errs, field.Required(at.Child("status"), fmt.Sprintf("valid values: %q", states)))
		} else {
			errs = append(errs, oneOf(pattern.Status, at.Child("status"), states...)...)
		}
	}
	return errs
}

func validateOnExitCodes(codes *batchv1.PodFailurePolicyOnExitCodesRequirement, spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	const most = 255
	operators := []batchv1.PodFailurePolicyOnExitCodesOperator{batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn}
	if codes.Operator == "" {
		errs = append(errs, field.Required(path.Child("operator"), fmt.Sprintf("valid values: %q", operators)))
	} else {
		errs = append(errs, oneOf(codes.Operator, path.Child("operator"), operators...)...)
	}
	if name := codes.ContainerName; name != nil && !slices.ContainsFunc(spec.Containers, named(*name)) && !slices.ContainsFunc(spec.InitContainers, named(*name)) {
		errs = append(errs, field.Invalid(path.Child("containerName"), *name, "must be one of the container or initContainer names in the pod template"))
	}
	values := path.Child("values")
	switch n := len(codes.Values); {
	case n == 0:
		errs = append(errs, field.Invalid(values, codes.Values, "at least one value is required"))
	case n > most:
		errs = append(errs, field.TooMany(values, n, most))
	}
	for i, code := range codes.Values {
		if codes.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && code == 0 {
			errs = append(errs, field.Invalid(values.Index(i), code, "must not be 0 for the In operator"))
		}
		if slices.Contains(codes.Values[:i], code) {
			errs = append(errs, field.Duplicate(values.Index(i), code))
		}
	}
	if !slices.IsSorted(codes.Values) {
		errs = append(errs, field.Invalid(values, codes.Values, "must be ordered"))
	}
	return errs
}

// validateSuccessPolicy checks when an indexed job counts as done before all its indexes are.
func validateSuccessPolicy(spec *batchv1.JobSpec, path *field.Path) (errs field.ErrorList) {
	const mostRules, longest = 20, 64 * 1024
	if !indexed(spec) {
		return field.ErrorList{field.Invalid(path, internalForm(*spec.SuccessPolicy), "requires indexed completion mode")}
	}
	rules, at := spec.SuccessPolicy.Rules, path.Child("rules")
	if len(rules) == 0 {
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	}
	if len(rules) > mostRules {
		errs = append(errs, field.TooMany(at, len(rules), mostRules))
	}
	completions := orZero32(spec.Completions)
	for i, rule := range rules {
		here, total := at.Index(i), int32(0)
		if rule.SucceededCount == nil && rule.SucceededIndexes == nil {
			errs = append(errs, field.Required(here, "at least one of succeededCount or succeededIndexes must be specified"))
		}
		if list := rule.SucceededIndexes; list != nil {
			if len(*list) > longest {
				errs = append(errs, field.TooLong(here.Child("succeededIndexes"), *list, longest))
			}
			var err error
			if total, err = countIndexes(*list, completions); err != nil {
				errs = append(errs, field.Invalid(here.Child("succeededIndexes"), *list, "error parsing succeededIndexes: "+err.Error()))
			}
		}
		if n := rule.SucceededCount; n != nil {
			count := here.Child("succeededCount")
			errs = append(errs, nonNegative(*n, count)...)
			if *n > completions {
				errs = append(errs, field.Invalid(count, *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
			}
			if rule.SucceededIndexes != nil && *n > total {
				errs = append(errs, field.Invalid(count, *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", total)))
			}
		}
	}
	return errs
}
