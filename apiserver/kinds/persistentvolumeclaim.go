package kinds

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"slices"
)

func persistentVolumeClaim() *Kind {
	return Row[*corev1.PersistentVolumeClaim]{
		Base: Kind{
			Version: "v1", Kind: "PersistentVolumeClaim", Plural: "persistentvolumeclaims", Singular: "persistentvolumeclaim",
			ShortNames: []string{"pvc"}, Namespaced: true, UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *corev1.PersistentVolumeClaim { return &corev1.PersistentVolumeClaim{} },
		NewList: func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },
		Default: func(c *corev1.PersistentVolumeClaim) {
			for _, list := range []corev1.ResourceList{c.Spec.Resources.Limits, c.Spec.Resources.Requests, c.Status.Capacity, c.Status.AllocatedResources} {
				roundUp(list)
			}
			setDefault(&c.Status.Phase, corev1.ClaimPending)
			setDefaultPointer(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		},
		PrepareForCreate: func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
			alignDataSources(&c.Spec, nil)
		},
		PrepareForUpdate: func(c, old *corev1.PersistentVolumeClaim) {
			c.Status = old.Status
			alignDataSources(&c.Spec, &old.Spec)
		},
		Validate: func(c *corev1.PersistentVolumeClaim) field.ErrorList {
			return validateClaimSpec(&c.Spec, field.NewPath("spec"))
		},
		// A change must be a whole claim, and one that this claim may become.
		ValidateUpdate: func(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
			return append(validateClaimSpec(&c.Spec, field.NewPath("spec")), validateClaimUpdate(c, old)...)
		},
		Warnings: func(c, _ *corev1.PersistentVolumeClaim) []string {
			return append(betaClassWarning(c.Annotations), claimWarnings(&c.Spec, field.NewPath("spec"))...)
		},
		HasStatus:      true,
		PrepareStatus:  func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec },
		ValidateStatus: func(c, _ *corev1.PersistentVolumeClaim) field.ErrorList { return validateClaimStatus(c) },
		Columns:        claimColumns(),
		Cells:          claimCells,
	}.Kind()
}

// alignDataSources makes dataSource and its newer form dataSourceRef say the same. The older one knows claims and snapshots
// only, the newer one no other namespace than the claim's.
func alignDataSources(spec, old *corev1.PersistentVolumeClaimSpec) {
	if old == nil || old.DataSource == nil {
		if s := spec.DataSource; s != nil && !claimOrSnapshot(s.APIGroup, s.Kind) {
			spec.DataSource = nil
		}
	}
	if ref := spec.DataSourceRef; ref != nil && ref.Namespace != nil && *ref.Namespace != "" {
		if old == nil || old.DataSourceRef == nil {
			spec.DataSourceRef = nil
		}
	}
	switch source, ref := spec.DataSource, spec.DataSourceRef; {
	case ref != nil && ref.Namespace != nil && *ref.Namespace != "":
	case source != nil && ref == nil:
		spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: source.APIGroup, Kind: source.Kind, Name: source.Name}
	case source == nil && ref != nil:
		spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

func claimOrSnapshot(group *string, kind string) bool {
	g := ""
	if group != nil {
		g = *group
	}
	return kind == "PersistentVolumeClaim" && g == "" || kind == "VolumeSnapshot" && g == "snapshot.storage.k8s.io"
}

// validateClaimUpdate: what is claimed does not change, so that nobody gets around quotas; but for a bound claim's size,
// which may grow.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateClaimSpec(&c.Spec, at)
	now, before := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if before.VolumeName == "" {
		before.VolumeName = now.VolumeName
	}
	errs = append(errs, claimClassUpdate(c, old, now)...)
	if c.Status.Phase == corev1.ClaimBound {
		if now.Resources.Requests != nil {
			now.Resources.Requests[corev1.ResourceStorage] = old.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		now.VolumeAttributesClassName = before.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(now, before) {
		errs = append(errs, field.Forbidden(at, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+
			diff.Diff(internalForm(*before), internalForm(*now))))
	}
	size, was, has := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage], old.Status.Capacity[corev1.ResourceStorage]
	if size.Cmp(was) < 0 && size.Cmp(has) <= 0 {
		errs = append(errs, field.Forbidden(at.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	errs = append(errs, immutable(c.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	// A class that the volume has got cannot be taken away again.
	if class := c.Spec.VolumeAttributesClassName; old.Status.CurrentVolumeAttributesClassName != nil {
		switch name := at.Child("volumeAttributesClassName"); {
		case equality.Semantic.DeepEqual(class, old.Spec.VolumeAttributesClassName):
		case class == nil:
			errs = append(errs, field.Forbidden(name, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"))
		case *class == "":
			errs = append(errs, field.Forbidden(name, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil"))
		}
	}
	return errs
}

// claimClassUpdate: a claim without a class may get one (when a default class appears), and the old annotation may move to
// the field. It puts back what may change in spec, a copy of the claim's.
func claimClassUpdate(c, old *corev1.PersistentVolumeClaim, spec *corev1.PersistentVolumeClaimSpec) field.ErrorList {
	class, annotation := c.Spec.StorageClassName, corev1.BetaStorageClassAnnotation
	before, annotated := old.Annotations[annotation]
	now, stillAnnotated := c.Annotations[annotation]
	given := old.Spec.StorageClassName == nil && class != nil && (!annotated || *class == before)
	if given && annotated && (!stillAnnotated || now == before) {
		spec.StorageClassName = nil
		return nil
	}
	if given {
		spec.StorageClassName = nil
	}
	if now != before {
		return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(annotation), now, "field is immutable")}
	}
	return nil
}

func validateClaimStatus(c *corev1.PersistentVolumeClaim) (errs field.ErrorList) {
	errs = required(c.ResourceVersion, field.NewPath("resourceVersion"), "")
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(field.NewPath("Spec", "accessModes"), ""))
	}
	at := field.NewPath("status")
	for _, name := range sortedNames(c.Status.Capacity) {
		if q := c.Status.Capacity[name]; q.Value() < 0 {
			errs = append(errs, field.Invalid(at.Child("capacity").Key(string(name)), q.Value(), "must be a valid resource quantity"))
		}
	}
	for name, status := range c.Status.AllocatedResourceStatuses {
		allocated := at.Child("allocatedResourceStatuses")
		errs = append(errs, claimResource(name, allocated)...)
		if !slices.Contains(resizeStatuses, status) {
			// Kubernetes shows the resource here, not its status.
			errs = append(errs, field.NotSupported(allocated, corev1.ClaimResourceStatus(name), resizeStatuses))
		}
	}
	for _, name := range sortedNames(c.Status.AllocatedResources) {
		q, allocated := c.Status.AllocatedResources[name], at.Child("allocatedResources")
		if bad := claimResource(name, allocated); len(bad) > 0 {
			errs = append(errs, bad...)
			continue
		}
		if q.Value() < 0 {
			errs = append(errs, field.Invalid(allocated.Key(string(name)), q.Value(), "must be a valid resource quantity"))
			continue
		}
		errs = append(errs, resourceQuantity(corev1.ResourceStorage, q, allocated.Key(string(name)))...)
	}
	return errs
}

// resizeStatuses are what can be said of a resize, in the order of their names.
var resizeStatuses = []corev1.ClaimResourceStatus{
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizePending,
}

// claimResource checks the name of what a claim has: storage, or something that is not Kubernetes' own.
func claimResource(name corev1.ResourceName, at *field.Path) field.ErrorList {
	if errs := qualifiedName(string(name), at); len(errs) > 0 || !nativeResource(name) || name == corev1.ResourceStorage {
		return errs
	}
	return field.ErrorList{field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceStorage})}
}

func claimColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		nameColumn(),
		column("Status", "string", status["phase"]),
		column("Volume", "string", spec["volumeName"]),
		column("Capacity", "string", status["capacity"]),
		column("Access Modes", "string", status["accessModes"]),
		column("StorageClass", "string", "StorageClass of the pvc"),
		column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
		ageColumn(),
		wideColumn("VolumeMode", "string", spec["volumeMode"]),
	}
}

func claimCells(c *corev1.PersistentVolumeClaim) []any {
	phase, capacity, modes, class := string(c.Status.Phase), "", "", ""
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	if c.Spec.VolumeName != "" {
		size := c.Status.Capacity[corev1.ResourceStorage]
		capacity, modes = size.String(), accessModesCell(c.Status.AccessModes)
	}
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	if beta, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = beta
	}
	return []any{c.Name, phase, c.Spec.VolumeName, capacity, modes, class, orUnsetPointer(c.Spec.VolumeAttributesClassName),
		age(c.CreationTimestamp), orUnsetPointer(c.Spec.VolumeMode)}
}
