package kinds

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePod checks a new pod.
func validatePod(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePodAndSpec(pod)
	if len(pod.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(path.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	errs = append(errs, seccompMatches(&pod.ObjectMeta, &pod.Spec, path)...)
	return append(errs, appArmorMatches(&pod.ObjectMeta, &pod.Spec, path)...)
}

// validatePodAndSpec checks what must hold for a pod at any time.
func validatePodAndSpec(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePodAnnotations(pod.Annotations, &pod.Spec, field.NewPath("metadata", "annotations"))
	errs = append(errs, validatePodSpec(&pod.Spec, &pod.ObjectMeta, path)...)
	if pod.Spec.ServiceAccountName == "" {
		errs = append(errs, tokensWithoutAccount(pod.Spec.Volumes, path.Child("volumes"))...)
	}
	for i := range pod.Spec.Containers {
		errs = append(errs, validateImageSpace(&pod.Spec.Containers[i], path.Child("containers").Index(i))...)
	}
	for i := range pod.Spec.InitContainers {
		errs = append(errs, validateImageSpace(&pod.Spec.InitContainers[i], path.Child("initContainers").Index(i))...)
	}
	return errs
}

// tokensWithoutAccount refuses tokens of the service account in a pod that has none.
func tokensWithoutAccount(volumes []corev1.Volume, path *field.Path) (errs field.ErrorList) {
	for i, volume := range volumes {
		if volume.Projected == nil {
			continue
		}
		for j, source := range volume.Projected.Sources {
			if source.ServiceAccountToken != nil {
				errs = append(errs, field.Forbidden(path.Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken"),
					"must not be specified when serviceAccountName is not set"))
			}
		}
	}
	return errs
}

// validatePodTemplate checks what a workload makes its pods from.
func validatePodTemplate(template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := validLabels(template.Labels, path.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, path.Child("annotations"))...)
	errs = append(errs, validatePodAnnotations(template.Annotations, &template.Spec, path.Child("annotations"))...)
	errs = append(errs, validatePodSpec(&template.Spec, nil, path.Child("spec"))...)
	errs = append(errs, seccompMatches(&template.ObjectMeta, &template.Spec, path.Child("spec"))...)
	if len(template.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// validatePodAnnotations checks the annotations that mean something to Kubernetes.
func validatePodAnnotations(annotations map[string]string, spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if len(annotations) == 0 {
		return nil
	}
	if value, mirror := annotations[corev1.MirrorPodAnnotationKey]; mirror && spec.NodeName == "" {
		errs = append(errs, field.Invalid(path.Key(corev1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if value, ok := annotations[corev1.PodDeletionCost]; ok && !deletionCost(value) {
		errs = append(errs, field.Invalid(path.Key(corev1.PodDeletionCost), value, "must be a 32bit integer"))
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if key == corev1.SeccompPodAnnotationKey || strings.HasPrefix(key, corev1.SeccompContainerAnnotationKeyPrefix) {
			errs = append(errs, seccompAnnotation(annotations[key], path.Child(key))...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix)
		if !ok {
			continue
		}
		if !hasContainer(spec, name) {
			errs = append(errs, field.Invalid(path.Key(key), name, "container not found"))
		}
		if profile := annotations[key]; !appArmorAnnotation(profile) {
			errs = append(errs, field.Invalid(path.Key(key), profile, "invalid AppArmor profile name: "+strconv.Quote(profile)))
		}
	}
	return errs
}

// deletionCost says whether the value is a number as its readers parse it.
func deletionCost(value string) bool {
	if value == "" || len(value) > 1 && value[0] == '0' || value[0] == '+' || strings.HasPrefix(value, "-0") {
		return false
	}
	_, err := strconv.ParseInt(value, 10, 32)
	return err == nil
}

func hasContainer(spec *corev1.PodSpec, name string) (found bool) {
	eachContainer(spec, nil, func(c *corev1.Container, _ *field.Path) { found = found || c.Name == name })
	return found
}

func seccompAnnotation(profile string, path *field.Path) field.ErrorList {
	switch profile {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return nil
	}
	if local, ok := strings.CutPrefix(profile, corev1.SeccompLocalhostProfileNamePrefix); ok {
		return localPath(local, path)
	}
	return field.ErrorList{field.Invalid(path, profile, "must be a valid seccomp profile")}
}

func appArmorAnnotation(profile string) bool {
	return profile == "" || profile == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault ||
		profile == corev1.DeprecatedAppArmorBetaProfileNameUnconfined || strings.HasPrefix(profile, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
}

// seccompMatches: where an old annotation and the field that replaced it are both set, they must say the same.
func seccompMatches(meta *metav1.ObjectMeta, spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if len(meta.Annotations) == 0 {
		return nil
	}
	check := func(profile *corev1.SeccompProfile, key string, path *field.Path) {
		annotation, annotated := meta.Annotations[key]
		if profile == nil || !annotated {
			return
		}
		matches := true
		local, isLocal := strings.CutPrefix(annotation, corev1.SeccompLocalhostProfileNamePrefix)
		switch profile.Type {
		case corev1.SeccompProfileTypeUnconfined:
			matches = annotation == corev1.SeccompProfileNameUnconfined
		case corev1.SeccompProfileTypeRuntimeDefault:
			matches = annotation == corev1.SeccompProfileRuntimeDefault || annotation == corev1.DeprecatedSeccompProfileDockerDefault
		case corev1.SeccompProfileTypeLocalhost:
			matches = isLocal
			if isLocal && (profile.LocalhostProfile == nil || *profile.LocalhostProfile != local) {
				errs = append(errs, field.Forbidden(path.Child("localhostProfile"), "seccomp profile in annotation and field must match"))
			}
		}
		if !matches {
			errs = append(errs, field.Forbidden(path.Child("type"), "seccomp type in annotation and field must match"))
		}
	}
	if s := spec.SecurityContext; s != nil {
		check(s.SeccompProfile, corev1.SeccompPodAnnotationKey, path.Child("securityContext", "seccompProfile"))
	}
	eachContainer(spec, path, func(c *corev1.Container, at *field.Path) {
		if c.SecurityContext != nil {
			check(c.SecurityContext.SeccompProfile, corev1.SeccompContainerAnnotationKeyPrefix+c.Name, at.Child("securityContext", "seccompProfile"))
		}
	})
	return errs
}

// appArmorMatches is the same for AppArmor, where a container without a profile has its pod's.
func appArmorMatches(meta *metav1.ObjectMeta, spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if len(meta.Annotations) == 0 || spec.OS != nil && spec.OS.Name == corev1.Windows {
		return nil
	}
	var pod *corev1.AppArmorProfile
	if spec.SecurityContext != nil {
		pod = spec.SecurityContext.AppArmorProfile
	}
	eachContainer(spec, path, func(c *corev1.Container, at *field.Path) {
		profile := pod
		if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			profile = c.SecurityContext.AppArmorProfile
		}
		annotation, annotated := meta.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
		if profile == nil || !annotated {
			return
		}
		matches := true
		local, isLocal := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
		at = at.Child("securityContext", "appArmorProfile")
		switch profile.Type {
		case corev1.AppArmorProfileTypeUnconfined:
			matches = annotation == corev1.DeprecatedAppArmorBetaProfileNameUnconfined
		case corev1.AppArmorProfileTypeRuntimeDefault:
			matches = annotation == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault
		case corev1.AppArmorProfileTypeLocalhost:
			matches = isLocal
			if isLocal && (profile.LocalhostProfile == nil || *profile.LocalhostProfile != local) {
				errs = append(errs, field.Forbidden(at.Child("localhostProfile"), "apparmor profile in annotation and field must match"))
			}
		}
		if !matches {
			errs = append(errs, field.Forbidden(at.Child("type"), "apparmor type in annotation and field must match"))
		}
	})
	return errs
}
