package kinds

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// changeable is how the error lists what an update of a pod may change. A negative grace period never gets here: it has
// become 1 when the pod was decoded.
var changeable = strings.Join([]string{
	"`spec.containers[*].image`", "`spec.initContainers[*].image`", "`spec.activeDeadlineSeconds`",
	"`spec.tolerations` (only additions to existing tolerations)",
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
}, ",")

// validatePodUpdate: a pod is a wish that is being fulfilled, so very little of it can change. What may change is put
// back to what it was, and then nothing may differ.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePodAndSpec(pod)
	errs = append(errs, validatePodAnnotationUpdate(pod, old)...)
	for _, list := range []struct {
		name      string
		now, then []corev1.Container
	}{{"containers", pod.Spec.Containers, old.Spec.Containers}, {"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers}} {
		if len(list.now) != len(list.then) {
			return append(errs, field.Forbidden(path.Child(list.name), "pod updates may not add or remove containers"))
		}
		for i := range list.now {
			at := path.Child(list.name).Index(i)
			errs = append(errs, required(list.now[i].Image, at.Child("image"), "")...)
			errs = append(errs, validateImageSpace(&list.now[i], at)...)
		}
	}
	deadline, stop := validateDeadlineUpdate(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))
	if errs = append(errs, deadline...); stop {
		return errs
	}
	errs = append(errs, onlyAddedTolerations(pod.Spec.Tolerations, old.Spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, onlyRemovedGates(pod.Spec.SchedulingGates, old.Spec.SchedulingGates, path.Child("schedulingGates"))...)
	if equality.Semantic.DeepEqual(pod.Spec, old.Spec) {
		return errs
	}
	spec := putBack(&pod.Spec, &old.Spec)
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, narrowGatedPod(spec, &old.Spec, path)...)
	}
	if !equality.Semantic.DeepEqual(*spec, old.Spec) {
		errs = append(errs, field.Forbidden(path, fmt.Sprintf("pod updates may not change fields other than %s\n%v", changeable,
			diff.Diff(internalForm(old.Spec), internalForm(*spec)))))
	}
	return errs
}

// putBack returns a copy of a spec in which all that may change is as it was.
func putBack(spec, old *corev1.PodSpec) *corev1.PodSpec {
	spec = spec.DeepCopy()
	for i := range spec.Containers {
		spec.Containers[i].Image = old.Containers[i].Image
	}
	for i := range spec.InitContainers {
		spec.InitContainers[i].Image = old.InitContainers[i].Image
	}
	spec.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	spec.SchedulingGates, spec.Tolerations = old.SchedulingGates, old.Tolerations
	return spec
}

// validateDeadlineUpdate: a deadline can be set or brought nearer. stop is true when nothing more is worth checking.
func validateDeadlineUpdate(deadline, old *int64, path *field.Path) (errs field.ErrorList, stop bool) {
	switch {
	case deadline == nil && old == nil:
		return nil, false
	case deadline == nil:
		return field.ErrorList{field.Invalid(path, deadline, "must not update from a positive integer to nil value")}, false
	case *deadline < 0 || *deadline > math.MaxInt32:
		return field.ErrorList{field.Invalid(path, *deadline, validation.InclusiveRangeError(0, math.MaxInt32))}, true
	case old != nil && *old < *deadline:
		return field.ErrorList{field.Invalid(path, *deadline, "must be less than or equal to previous value")}, true
	}
	return nil, false
}

// onlyAddedTolerations: what a pod tolerates cannot be taken back, but for how long it does can change.
func onlyAddedTolerations(list, old []corev1.Toleration, path *field.Path) field.ErrorList {
	for _, before := range old {
		if !slices.ContainsFunc(list, func(t corev1.Toleration) bool {
			return t.Key == before.Key && t.Operator == before.Operator && t.Value == before.Value && t.Effect == before.Effect
		}) {
			return field.ErrorList{field.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return validateTolerations(list, path)
}

func onlyRemovedGates(list, old []corev1.PodSchedulingGate, path *field.Path) (errs field.ErrorList) {
	for i, gate := range list {
		if !slices.Contains(old, gate) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", gate.Name)))
		}
	}
	return errs
}

// narrowGatedPod: a pod that is held back from scheduling may still say more narrowly which nodes it wants. What it may
// change is put back in spec.
func narrowGatedPod(spec, old *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	for key, value := range old.NodeSelector {
		if now, ok := spec.NodeSelector[key]; !ok || now != value {
			errs = append(errs, field.Invalid(path.Child("nodeSelector"), spec.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	spec.NodeSelector = old.NodeSelector
	var now, before *corev1.NodeAffinity
	if spec.Affinity != nil {
		now = spec.Affinity.NodeAffinity
	}
	if old.Affinity != nil {
		before = old.Affinity.NodeAffinity
	}
	if equality.Semantic.DeepEqual(now, before) {
		return errs
	}
	errs = append(errs, narrowNodeAffinity(now, before, path.Child("affinity", "nodeAffinity", requiredTerms, "nodeSelectorTerms"))...)
	switch {
	case spec.Affinity == nil:
		spec.Affinity = &corev1.Affinity{NodeAffinity: before}
	case old.Affinity == nil && spec.Affinity.PodAffinity == nil && spec.Affinity.PodAntiAffinity == nil:
		spec.Affinity = nil
	default:
		spec.Affinity.NodeAffinity = before
	}
	return errs
}

func narrowNodeAffinity(now, before *corev1.NodeAffinity, path *field.Path) (errs field.ErrorList) {
	terms := func(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
		if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
			return nil
		}
		return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	list, old := terms(now), terms(before)
	if len(old) > 0 && len(old) != len(list) {
		return field.ErrorList{field.Invalid(path, internalForm(list), "no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	for i := range old {
		if !narrower(&list[i], &old[i]) {
			errs = append(errs, field.Invalid(path.Index(i), internalForm(list[i]), "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

// narrower says whether a term only adds to another; a term that matched nothing stays so.
func narrower(term, old *corev1.NodeSelectorTerm) bool {
	begins := func(list, start []corev1.NodeSelectorRequirement) bool {
		return len(list) >= len(start) && (len(start) == 0 || equality.Semantic.DeepEqual(list[:len(start)], start))
	}
	if len(old.MatchExpressions)+len(old.MatchFields) == 0 && len(term.MatchExpressions)+len(term.MatchFields) > 0 {
		return false
	}
	return begins(term.MatchExpressions, old.MatchExpressions) && begins(term.MatchFields, old.MatchFields)
}

// validatePodAnnotationUpdate keeps the annotations that took effect when the pod was created.
func validatePodAnnotationUpdate(pod, old *corev1.Pod) (errs field.ErrorList) {
	path := field.NewPath("metadata", "annotations")
	kept := func(key string) (what string, ok bool) {
		if strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			return "AppArmor annotations", true
		}
		return "mirror pod annotation", key == corev1.MirrorPodAnnotationKey
	}
	for _, key := range slices.Sorted(maps.Keys(old.Annotations)) {
		if value, ok := pod.Annotations[key]; ok && value == old.Annotations[key] {
			continue
		}
		if what, ok := kept(key); ok {
			errs = append(errs, field.Forbidden(path.Key(key), "may not remove or update "+what))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		if _, ok := old.Annotations[key]; ok {
			continue
		}
		if what, ok := kept(key); ok {
			errs = append(errs, field.Forbidden(path.Key(key), "may not add "+what))
		}
	}
	return append(errs, validatePodAnnotations(pod.Annotations, &pod.Spec, path)...)
}
