package kinds

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PrepareEphemeralContainers lets nothing change but the list of ephemeral containers: what `kubectl debug` adds.
func PrepareEphemeralContainers(object, old Object) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	before, wanted := old.(*corev1.Pod), pod.Spec.EphemeralContainers
	keepAllOf(pod, before)
	pod.Spec.EphemeralContainers = wanted
	raiseGeneration(pod, before, pod.Spec, before.Spec)
}

// keepAllOf makes a pod what it was before, but for what says from which version it was changed and by whom.
func keepAllOf(pod, before *corev1.Pod) {
	meta := pod.ObjectMeta
	*pod = *before.DeepCopy()
	pod.ResourceVersion, pod.ManagedFields = meta.ResourceVersion, meta.ManagedFields
}

// ValidateEphemeralContainers checks a change of the list: containers may be added to it, but neither changed nor removed.
func ValidateEphemeralContainers(object, old Object) field.ErrorList {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	before := old.(*corev1.Pod)
	errs := validatePodAndSpec(pod)
	if _, static := before.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	path := field.NewPath("spec", "ephemeralContainers")
	now := map[string]*corev1.EphemeralContainer{}
	for i := range pod.Spec.EphemeralContainers {
		now[pod.Spec.EphemeralContainers[i].Name] = &pod.Spec.EphemeralContainers[i]
	}
	for i := range before.Spec.EphemeralContainers {
		was := &before.Spec.EphemeralContainers[i]
		is, still := now[was.Name]
		switch {
		case !still:
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", was.Name)))
		case !equality.Semantic.DeepEqual(was, is):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", was.Name,
				diff.Diff(internalForm(*was), internalForm(*is)))))
		}
	}
	return errs
}
