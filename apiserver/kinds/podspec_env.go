package kinds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// env checks a container's variables and where their values come from.
func (c *specCheck) env(vars []corev1.EnvVar, path *field.Path) (errs field.ErrorList) {
	for i := range vars {
		v, at := &vars[i], path.Index(i)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, invalid(at.Child("name"), v.Name, validation.IsRelaxedEnvVarName(v.Name))...)
		}
		errs = append(errs, c.envSource(v, at.Child("valueFrom"))...)
	}
	return errs
}

// envFields are the fields of a pod that a variable can show.
var envFields = []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
	"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}

func (c *specCheck) envSource(v *corev1.EnvVar, path *field.Path) (errs field.ErrorList) {
	from, sources := v.ValueFrom, 0
	if from == nil {
		return nil
	}
	if from.FieldRef != nil {
		sources++
		errs = append(errs, validateFieldRef(from.FieldRef, envFields, path.Child("fieldRef"))...)
	}
	if from.ResourceFieldRef != nil {
		sources++
		errs = append(errs, validateResourceFieldRef(from.ResourceFieldRef, false, path.Child("resourceFieldRef"))...)
	}
	if from.ConfigMapKeyRef != nil {
		sources++
		errs = append(errs, validateKeyRef(from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, path.Child("configMapKeyRef"))...)
	}
	if from.SecretKeyRef != nil {
		sources++
		errs = append(errs, validateKeyRef(from.SecretKeyRef.Name, from.SecretKeyRef.Key, path.Child("secretKeyRef"))...)
	}
	if from.FileKeyRef != nil {
		sources++
		errs = append(errs, c.fileKeyRef(from.FileKeyRef, path.Child("fileKeyRef"))...)
	}
	switch {
	case sources == 0:
		errs = append(errs, field.Invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(path, "", "may not be specified when `value` is not empty"))
	case sources > 1:
		errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
	}
	return errs
}

func validateEnvFrom(sources []corev1.EnvFromSource, path *field.Path) (errs field.ErrorList) {
	for i, source := range sources {
		at, n := path.Index(i), 0
		if source.Prefix != "" {
			errs = append(errs, invalid(at.Child("prefix"), source.Prefix, validation.IsRelaxedEnvVarName(source.Prefix))...)
		}
		if source.ConfigMapRef != nil {
			n++
			errs = append(errs, objectName(source.ConfigMapRef.Name, at.Child("configMapRef", "name"))...)
		}
		if source.SecretRef != nil {
			n++
			errs = append(errs, objectName(source.SecretRef.Name, at.Child("secretRef", "name"))...)
		}
		switch n {
		case 0:
			errs = append(errs, field.Invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
		case 2:
			errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
		}
	}
	return errs
}

func validateKeyRef(name, key string, path *field.Path) field.ErrorList {
	errs := dnsSubdomain(name, path.Child("name"))
	if key == "" {
		return append(errs, field.Required(path.Child("key"), ""))
	}
	return append(errs, invalid(path.Child("key"), key, validation.IsConfigMapKey(key))...)
}

// fileKeyRef checks a variable that is read from a file in an emptyDir volume.
func (c *specCheck) fileKeyRef(ref *corev1.FileKeySelector, path *field.Path) (errs field.ErrorList) {
	if ref.Key == "" {
		errs = append(errs, field.Required(path.Child("key"), ""))
	} else {
		errs = append(errs, invalid(path.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))...)
	}
	switch volume := c.volume(ref.VolumeName); {
	case ref.VolumeName == "":
		errs = append(errs, field.Required(path.Child("volumeName"), ""))
	case volume == nil:
		errs = append(errs, field.NotFound(path.Child("volumeName"), ref.VolumeName))
	case volume.EmptyDir == nil:
		errs = append(errs, field.Invalid(path.Child("volumeName"), ref.VolumeName, "referenced volume must be of type emptyDir"))
	}
	if ref.Path == "" {
		return append(errs, field.Required(path.Child("path"), ""))
	}
	return append(errs, localPath(ref.Path, path.Child("path"))...)
}

// validateFieldRef checks a reference to a field of the pod itself.
func validateFieldRef(ref *corev1.ObjectFieldSelector, allowed []string, path *field.Path) field.ErrorList {
	if ref.APIVersion == "" {
		return field.ErrorList{field.Required(path.Child("apiVersion"), "")}
	}
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(path.Child("fieldPath"), "")}
	}
	label, subscript, subscripted := splitSubscript(ref.FieldPath)
	switch {
	case ref.APIVersion != "v1":
		return field.ErrorList{field.Invalid(path.Child("fieldPath"), ref.FieldPath,
			"error converting fieldPath: unsupported pod version: "+ref.APIVersion)}
	case subscripted && label == "metadata.annotations":
		return qualifiedName(strings.ToLower(subscript), path)
	case subscripted && label == "metadata.labels":
		return qualifiedName(subscript, path)
	case subscripted || !downwardLabel(ref.FieldPath):
		return field.ErrorList{field.Invalid(path.Child("fieldPath"), ref.FieldPath,
			"error converting fieldPath: field label not supported: "+label)}
	}
	label = ref.FieldPath
	if label == "spec.host" {
		label = "spec.nodeName"
	}
	return oneOf(label, path.Child("fieldPath"), allowed...)
}

// splitSubscript takes metadata.labels['app'] apart.
func splitSubscript(fieldPath string) (label, subscript string, ok bool) {
	rest, ok := strings.CutSuffix(fieldPath, "']")
	if !ok {
		return fieldPath, "", false
	}
	label, subscript, ok = strings.Cut(rest, "['")
	if !ok || label == "" {
		return fieldPath, "", false
	}
	return label, subscript, true
}

// downwardLabel says whether a field's name is known at all; whether it can be shown depends on where.
func downwardLabel(label string) bool {
	switch label {
	case "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
		"spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
		"status.podIP", "status.podIPs", "spec.host":
		return true
	}
	return false
}

// containerResourceFields are the amounts of a container that a variable or a file can show.
var containerResourceFields = []string{"limits.cpu", "limits.ephemeral-storage", "limits.memory",
	"requests.cpu", "requests.ephemeral-storage", "requests.memory"}

// validateResourceFieldRef checks a reference to an amount of a container. In a volume the container must be named.
func validateResourceFieldRef(ref *corev1.ResourceFieldSelector, inVolume bool, path *field.Path) (errs field.ErrorList) {
	pages := strings.HasPrefix(ref.Resource, "limits.hugepages-") || strings.HasPrefix(ref.Resource, "requests.hugepages-")
	switch {
	case inVolume && ref.ContainerName == "":
		errs = append(errs, field.Required(path.Child("containerName"), ""))
	case ref.Resource == "":
		errs = append(errs, field.Required(path.Child("resource"), ""))
	case !pages:
		errs = append(errs, oneOf(ref.Resource, path.Child("resource"), containerResourceFields...)...)
	}
	return append(errs, validateDivisor(ref.Resource, ref.Divisor, path.Child("divisor"))...)
}

func validateDivisor(name string, divisor resource.Quantity, path *field.Path) field.ErrorList {
	if divisor.IsZero() {
		return nil
	}
	unit := divisor.String()
	_, kind, _ := strings.Cut(name, ".")
	switch {
	case kind == "cpu":
		if unit != "1" && unit != "1m" {
			return field.ErrorList{field.Invalid(path, name, "only divisor's values 1m and 1 are supported with the cpu resource")}
		}
		return nil
	case kind == "ephemeral-storage":
		kind = "local ephemeral storage"
	case strings.HasPrefix(kind, "hugepages-"):
		kind = "hugepages"
	case kind != "memory":
		return nil
	}
	switch unit {
	case "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei":
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, fmt.Sprintf(
		"only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the %s resource", kind))}
}
