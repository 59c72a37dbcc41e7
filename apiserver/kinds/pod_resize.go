package kinds

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PrepareResize lets nothing change but the resources of containers and their resize policies. When containers come or go,
// or change places, everything is left as it is for the check to see.
func PrepareResize(object, old Object) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	before := old.(*corev1.Pod)
	wanted := pod.Spec
	keepAllOf(pod, before)
	pod.Spec.Containers = resized(wanted.Containers, before.Spec.Containers)
	pod.Spec.InitContainers = resized(wanted.InitContainers, before.Spec.InitContainers)
	pod.Spec.Resources = wanted.Resources
	raiseGeneration(pod, before, pod.Spec, before.Spec)
}

// resized are the old containers with the new ones' resources.
func resized(wanted, old []corev1.Container) []corev1.Container {
	if !sameNames(wanted, old) {
		return wanted
	}
	var all []corev1.Container
	for i := range old {
		c := *old[i].DeepCopy()
		c.Resources, c.ResizePolicy = wanted[i].Resources, wanted[i].ResizePolicy
		all = append(all, c)
	}
	return all
}

func sameNames(a, b []corev1.Container) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

// ValidateResize checks new resources of a pod that may be running: cpu and memory can be changed, though not taken away,
// and the pod's quality of service class stays.
func ValidateResize(object, old Object) field.ErrorList {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	before := old.(*corev1.Pod)
	errs := validatePodAndSpec(pod)
	_, static := before.Annotations[corev1.MirrorPodAnnotationKey]
	for _, never := range []struct {
		holds  bool
		reason string
	}{
		{static, "static pods cannot be resized"},
		{before.Spec.OS != nil && before.Spec.OS.Name == corev1.Windows, "windows pods cannot be resized"},
		{pod.Spec.Resources != nil || before.Spec.Resources != nil, "pods with pod-level resources cannot be resized"},
	} {
		if never.holds {
			return field.ErrorList{field.Forbidden(field.NewPath(""), never.reason)}
		}
	}
	path := field.NewPath("spec")
	class := before.Status.QOSClass
	if class == "" {
		class = podQOS(&before.Spec)
	}
	if class != podQOS(&pod.Spec) {
		errs = append(errs, field.Invalid(path, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if order := validateResizeOrder(pod, before, path); len(order) > 0 {
		return append(errs, order...)
	}
	return append(errs, validateResizedContainers(pod, before, path)...)
}

func validateResizeOrder(pod, old *corev1.Pod, path *field.Path) (errs field.ErrorList) {
	for _, list := range []struct {
		name, word string
		now, was   []corev1.Container
	}{
		{"containers", "containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", "initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		if len(list.now) != len(list.was) {
			errs = append(errs, field.Forbidden(path.Child(list.name), list.word+" may not be added or removed on resize"))
			continue
		}
		for i := range list.now {
			if list.now[i].Name != list.was[i].Name {
				errs = append(errs, field.Forbidden(path.Child(list.name).Index(i).Child("name"), list.word+" may not be renamed or reordered on resize"))
			}
		}
	}
	return errs
}

// validateResizedContainers compares containers that stand in the same order.
func validateResizedContainers(pod, old *corev1.Pod, path *field.Path) (errs field.ErrorList) {
	for i := range old.Spec.InitContainers {
		if isSidecar(&old.Spec.InitContainers[i]) {
			errs = append(errs, nothingTakenAway(&pod.Spec.InitContainers[i], &old.Spec.InitContainers[i], path.Child("initContainers").Index(i).Child("resources"))...)
		}
	}
	for i := range old.Spec.Containers {
		errs = append(errs, nothingTakenAway(&pod.Spec.Containers[i], &old.Spec.Containers[i], path.Child("containers").Index(i).Child("resources"))...)
	}
	// What may change is put back to what it was, and then nothing may differ.
	spec := pod.Spec.DeepCopy()
	for i := range spec.Containers {
		c, was := &spec.Containers[i], &old.Spec.Containers[i]
		if putBackResources(&c.Resources, &was.Resources); !equality.Semantic.DeepEqual(c.Resources, was.Resources) {
			errs = append(errs, field.Forbidden(path, "only cpu and memory resources are mutable"))
		}
		c.ResizePolicy = was.ResizePolicy
	}
	for i := range spec.InitContainers {
		c, was := &spec.InitContainers[i], &old.Spec.InitContainers[i]
		if isSidecar(c) {
			if putBackResources(&c.Resources, &was.Resources); !equality.Semantic.DeepEqual(c.Resources, was.Resources) {
				errs = append(errs, field.Forbidden(path, "only cpu and memory resources for sidecar containers are mutable"))
			}
			c.ResizePolicy = was.ResizePolicy
		} else if !equality.Semantic.DeepEqual(c, was) {
			errs = append(errs, field.Forbidden(path, "resources for non-sidecar init containers are immutable"))
		}
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(*spec, old.Spec) {
		errs = append(errs, field.Forbidden(path, fmt.Sprintf("only cpu and memory resources are mutable\n%v",
			diff.Diff(internalForm(old.Spec), internalForm(*spec)))))
	}
	return errs
}

// nothingTakenAway: a request or a limit of a running container can be changed or added, but not removed.
func nothingTakenAway(c, old *corev1.Container, path *field.Path) (errs field.ErrorList) {
	for _, list := range []struct {
		name     string
		now, was corev1.ResourceList
	}{{"requests", c.Resources.Requests, old.Resources.Requests}, {"limits", c.Resources.Limits, old.Resources.Limits}} {
		for name := range list.was {
			if _, still := list.now[name]; !still {
				errs = append(errs, field.Forbidden(path.Child(list.name), "resource "+list.name+" cannot be removed"))
				break
			}
		}
	}
	return errs
}

// putBackResources makes cpu and memory what they were.
func putBackResources(now, was *corev1.ResourceRequirements) {
	now.Requests = withResizable(now.Requests, was.Requests)
	now.Limits = withResizable(now.Limits, was.Limits)
}

func withResizable(now, was corev1.ResourceList) corev1.ResourceList {
	back := now.DeepCopy()
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		delete(back, name)
		if quantity, ok := was[name]; ok {
			if back == nil {
				back = corev1.ResourceList{}
			}
			back[name] = quantity
		}
	}
	return back
}
