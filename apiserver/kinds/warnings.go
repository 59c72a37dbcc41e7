package kinds

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Warnings go back as headers, and kubectl prints them. They are about what is accepted and still is hardly meant.

// hostnameWarnings are about a new object's name that pods will have, or that theirs begin with: it becomes their host name.
func hostnameWarnings(name, use string) []string {
	if messages := validation.IsDNS1123Label(name); len(messages) > 0 {
		return []string{fmt.Sprintf("metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is recommended: %v", use, messages)}
	}
	return nil
}

// workloadWarnings are about the pods that a workload makes. Who changes anything but its spec hears nothing again.
func workloadWarnings[T comparableObject](w, old T, template *corev1.PodTemplateSpec) []string {
	path := field.NewPath("spec", "template")
	switch {
	case template == nil:
		return nil
	case old == *new(T):
		return append(hostnameWarnings(w.GetName(), podNamesAndHostnames), templateWarnings(template, path)...)
	}
	return changedTemplateWarnings(w, old, template, path)
}

// comparableObject is a kind's Go type, whose nil says that there is no old object.
type comparableObject interface {
	Object
	comparable
}

const podNamesAndHostnames = "Pod names and hostnames"

// changedTemplateWarnings are those of a template whose object is new, or has another generation than before.
func changedTemplateWarnings[T comparableObject](w, old T, template *corev1.PodTemplateSpec, path *field.Path) []string {
	if old != *new(T) && w.GetGeneration() == old.GetGeneration() {
		return nil
	}
	return templateWarnings(template, path)
}

func storageClassWarnings(c *storagev1.StorageClass) (warnings []string) {
	for i, topology := range c.AllowedTopologies {
		for j, expression := range topology.MatchLabelExpressions {
			if message, old := oldNodeLabels[expression.Key]; old {
				at := field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(j).Child("key")
				warnings = append(warnings, fmt.Sprintf("%s: %s", at, message))
			}
		}
	}
	return warnings
}

func runtimeClassWarnings(c *nodev1.RuntimeClass) (warnings []string) {
	if c.Scheduling == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(c.Scheduling.NodeSelector)) {
		if message, old := oldNodeLabels[key]; old {
			warnings = append(warnings, fmt.Sprintf("%s: %s", field.NewPath("scheduling", "nodeSelector"), message))
		}
	}
	return warnings
}

// enforceMountableSecrets is an annotation of service accounts that nobody should begin to use.
const enforceMountableSecrets = "kubernetes.io/enforce-mountable-secrets"

func serviceAccountWarnings(a, old *corev1.ServiceAccount) []string {
	_, has := a.Annotations[enforceMountableSecrets]
	if old != nil {
		if _, had := old.Annotations[enforceMountableSecrets]; had {
			return nil
		}
	}
	if !has {
		return nil
	}
	return []string{fmt.Sprintf("metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets", enforceMountableSecrets)}
}
