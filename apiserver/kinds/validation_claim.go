package kinds

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateClaimTemplate checks the claim that is made for an ephemeral volume. Of its metadata only labels and annotations
// may be set: the rest is made with it.
func validateClaimTemplate(template *corev1.PersistentVolumeClaimTemplate, path *field.Path) field.ErrorList {
	meta := path.Child("metadata")
	errs := apivalidation.ValidateAnnotations(template.Annotations, meta.Child("annotations"))
	errs = append(errs, validLabels(template.Labels, meta.Child("labels"))...)
	errs = append(errs, onlyFields(template.ObjectMeta, map[string]bool{"Annotations": true, "Labels": true}, "cannot be set", meta)...)
	return append(errs, validateClaimSpec(&template.Spec, path.Child("spec"))...)
}

// validateClaimSpec checks what storage is claimed.
func validateClaimSpec(spec *corev1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	errs := validateAccessModes(spec.AccessModes, "at least 1 access mode is required", path.Child("accessModes"), func() field.ErrorList {
		return labelSelector(spec.Selector, path.Child("selector"))
	})
	size := path.Child("resources").Key(string(corev1.ResourceStorage))
	if storage, ok := spec.Resources.Requests[corev1.ResourceStorage]; ok {
		errs = append(errs, positiveQuantity(storage, size)...)
	} else {
		errs = append(errs, field.Required(size, ""))
	}
	if class := spec.StorageClassName; class != nil && *class != "" {
		errs = append(errs, dnsSubdomain(*class, path.Child("storageClassName"))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, oneOf(*spec.VolumeMode, path.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	errs = append(errs, validateDataSources(spec, path)...)
	if class := spec.VolumeAttributesClassName; class != nil && *class != "" {
		errs = append(errs, dnsSubdomain(*class, path.Child("volumeAttributesClassName"))...)
	}
	return errs
}

// validateAccessModes checks how a volume may be mounted. between checks what Kubernetes does after the first look.
func validateAccessModes(modes []corev1.PersistentVolumeAccessMode, ifNone string, path *field.Path, between func() field.ErrorList) (errs field.ErrorList) {
	if len(modes) == 0 {
		errs = append(errs, field.Required(path, ifNone))
	}
	if between != nil {
		errs = append(errs, between()...)
	}
	single, shared := false, false
	for _, mode := range modes {
		unknown := oneOf(mode, path, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		errs = append(errs, unknown...)
		single = single || mode == corev1.ReadWriteOncePod
		shared = shared || mode != corev1.ReadWriteOncePod && len(unknown) == 0
	}
	if single && shared {
		errs = append(errs, field.Forbidden(path, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

// validateDataSources checks what a claim is filled from, in its old and its new form.
func validateDataSources(spec *corev1.PersistentVolumeClaimSpec, path *field.Path) (errs field.ErrorList) {
	source, ref := spec.DataSource, spec.DataSourceRef
	if source != nil {
		errs = append(errs, validateDataSource(source.APIGroup, source.Kind, source.Name, path.Child("dataSource"))...)
	}
	if ref == nil {
		return errs
	}
	at := path.Child("dataSourceRef")
	errs = append(errs, validateDataSource(ref.APIGroup, ref.Kind, ref.Name, at)...)
	elsewhere := ref.Namespace != nil && *ref.Namespace != ""
	if elsewhere {
		errs = append(errs, dnsLabel(*ref.Namespace, at.Child("namespace"))...)
	}
	switch {
	case source == nil:
	case elsewhere:
		errs = append(errs, field.Invalid(path, path.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
	case !equality.Semantic.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name:
		errs = append(errs, field.Invalid(path, path.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func validateDataSource(group *string, kind, name string, path *field.Path) field.ErrorList {
	errs := required(name, path.Child("name"), "")
	errs = append(errs, required(kind, path.Child("kind"), "")...)
	if group == nil || *group == "" {
		if kind != "PersistentVolumeClaim" {
			errs = append(errs, field.Invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
		}
		return errs
	}
	return append(errs, dnsSubdomain(*group, path.Child("apiGroup"))...)
}

// claimWarnings are about sizes that are not whole bytes.
func claimWarnings(spec *corev1.PersistentVolumeClaimSpec, path *field.Path) (warnings []string) {
	storage := spec.Resources.Requests[corev1.ResourceStorage]
	if fractional(storage) {
		warnings = append(warnings, fractionalWarning(storage, path.Child("resources", "requests").Key(string(corev1.ResourceStorage))))
	}
	limit := spec.Resources.Limits[corev1.ResourceStorage]
	if fractional(limit) {
		warnings = append(warnings, fractionalWarning(limit, path.Child("resources", "limits").Key(string(corev1.ResourceStorage))))
	}
	return slices.Clip(warnings)
}
