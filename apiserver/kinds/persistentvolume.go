package kinds

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func persistentVolume() *Kind {
	return Row[*corev1.PersistentVolume]{
		Base: Kind{
			Version: "v1", Kind: "PersistentVolume", Plural: "persistentvolumes", Singular: "persistentvolume",
			ShortNames: []string{"pv"}, UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *corev1.PersistentVolume { return &corev1.PersistentVolume{} },
		NewList: func() runtime.Object { return &corev1.PersistentVolumeList{} },
		Default: defaultPersistentVolume,
		PrepareForCreate: func(v *corev1.PersistentVolume) {
			now := metav1.Now()
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
		},
		PrepareForUpdate: func(v, old *corev1.PersistentVolume) { v.Status = old.Status },
		Validate:         validatePersistentVolume,
		// A change must be a whole volume, and one that this volume may become.
		ValidateUpdate: func(v, old *corev1.PersistentVolume) field.ErrorList {
			return append(validatePersistentVolume(v), validatePersistentVolumeUpdate(v, old)...)
		},
		Warnings:      func(v, _ *corev1.PersistentVolume) []string { return persistentVolumeWarnings(v) },
		HasStatus:     true,
		PrepareStatus: preparePersistentVolumeStatus,
		ValidateStatus: func(v, _ *corev1.PersistentVolume) field.ErrorList {
			return required(v.ResourceVersion, field.NewPath("resourceVersion"), "")
		},
		Columns: persistentVolumeColumns(),
		Cells:   persistentVolumeCells,
	}.Kind()
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	roundUp(v.Spec.Capacity)
	setDefault(&v.Status.Phase, corev1.VolumePending)
	setDefault(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setDefaultPointer(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	s := &v.Spec.PersistentVolumeSource
	switch {
	case s.HostPath != nil:
		setDefaultPointer(&s.HostPath.Type, corev1.HostPathUnset)
	case s.RBD != nil:
		setDefault(&s.RBD.RBDPool, "rbd")
		setDefault(&s.RBD.RadosUser, "admin")
		setDefault(&s.RBD.Keyring, "/etc/ceph/keyring")
	case s.ISCSI != nil:
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	case s.AzureDisk != nil:
		setDefaultPointer(&s.AzureDisk.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		setDefaultPointer(&s.AzureDisk.Kind, corev1.AzureSharedBlobDisk)
		setDefaultPointer(&s.AzureDisk.FSType, "ext4")
		setDefaultPointer(&s.AzureDisk.ReadOnly, false)
	case s.ScaleIO != nil:
		setDefault(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setDefault(&s.ScaleIO.FSType, "xfs")
	}
}

func preparePersistentVolumeStatus(v, old *corev1.PersistentVolume) {
	v.Spec = old.Spec
	s, was := &v.Status, &old.Status
	switch {
	case s.Phase == was.Phase && s.LastPhaseTransitionTime == nil:
		s.LastPhaseTransitionTime = was.LastPhaseTransitionTime
	case s.Phase != was.Phase && (s.LastPhaseTransitionTime == nil || s.LastPhaseTransitionTime.Equal(was.LastPhaseTransitionTime)):
		now := metav1.Now()
		s.LastPhaseTransitionTime = &now
	}
}

func validatePersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	at, spec := field.NewPath("spec"), &v.Spec
	errs := validateAccessModes(spec.AccessModes, "", at.Child("accessModes"), nil)
	errs = append(errs, validateVolumeCapacity(spec.Capacity, at.Child("capacity"))...)
	reclaim := at.Child("persistentVolumeReclaimPolicy")
	errs = append(errs, oneOf(spec.PersistentVolumeReclaimPolicy, reclaim, corev1.PersistentVolumeReclaimDelete,
		corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	if affinity := at.Child("nodeAffinity", "required"); spec.NodeAffinity != nil && spec.NodeAffinity.Required != nil {
		errs = append(errs, validateNodeSelector(spec.NodeAffinity.Required, affinity)...)
	} else if spec.NodeAffinity != nil {
		errs = append(errs, field.Required(affinity, "must specify required node constraints"))
	}
	errs = append(errs, validateVolumeSource(v, at)...)
	if spec.HostPath != nil && path.Clean(spec.HostPath.Path) == "/" && spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(reclaim, "may not be 'recycle' for a hostPath mount of '/'"))
	}
	if spec.StorageClassName != "" {
		errs = append(errs, dnsSubdomain(spec.StorageClassName, at.Child("storageClassName"))...)
	}
	errs = append(errs, oneOf(*spec.VolumeMode, at.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	if class := spec.VolumeAttributesClassName; class != nil {
		name := at.Child("volumeAttributesClassName")
		if *class == "" {
			errs = append(errs, field.Required(name, "an empty string is disallowed"))
		} else {
			errs = append(errs, dnsSubdomain(*class, name)...)
		}
		if spec.CSI == nil {
			errs = append(errs, field.Required(at.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return errs
}

func validateVolumeCapacity(capacity corev1.ResourceList, at *field.Path) (errs field.ErrorList) {
	if len(capacity) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if _, ok := capacity[corev1.ResourceStorage]; !ok || len(capacity) > 1 {
		errs = append(errs, field.NotSupported(at, capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range sortedNames(capacity) {
		q, key := capacity[name], at.Key(string(name))
		if q.Value() < 0 {
			errs = append(errs, field.Invalid(key, q.Value(), "must be a valid resource quantity"))
		}
		errs = append(errs, positiveQuantity(q, key)...)
	}
	return errs
}

func validatePersistentVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	errs := validatePersistentVolume(v)
	at, now, before := field.NewPath("spec"), v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource
	if now.CSI != nil && before.CSI != nil && before.CSI.ControllerExpandSecretRef == nil {
		csi := *now.CSI
		csi.ControllerExpandSecretRef = nil
		now.CSI = &csi
	}
	if !equality.Semantic.DeepEqual(now, before) {
		errs = append(errs, field.Forbidden(at.Child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation\n"+
			diff.Diff(internalForm(before), internalForm(now))))
	}
	errs = append(errs, immutable(v.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if old.Spec.NodeAffinity != nil && !equality.Semantic.DeepEqual(v.Spec.NodeAffinity, old.Spec.NodeAffinity) {
		errs = append(errs, field.Invalid(field.NewPath("nodeAffinity"), internalForm(v.Spec.NodeAffinity), "field is immutable, except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(at.Child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	return errs
}

// persistentVolumeWarnings name what Kubernetes no longer supports, or will not for long.
func persistentVolumeWarnings(v *corev1.PersistentVolume) (warnings []string) {
	if v.DeletionTimestamp != nil {
		return nil
	}
	warnings = append(warnings, betaClassWarning(v.Annotations)...)
	if _, ok := v.Annotations["volume.beta.kubernetes.io/mount-options"]; ok {
		warnings = append(warnings, field.NewPath("metadata", "annotations").Key("volume.beta.kubernetes.io/mount-options").String()+
			`: deprecated since v1.31; use "mountOptions" attribute instead`)
	}
	if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		warnings = append(warnings, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "+
			"Instead, the recommended approach is to use dynamic provisioning.")
	}
	if affinity := v.Spec.NodeAffinity; affinity != nil && affinity.Required != nil {
		for i := range affinity.Required.NodeSelectorTerms {
			warnings = append(warnings, nodeTermWarnings(&affinity.Required.NodeSelectorTerms[i],
				field.NewPath("spec", "nodeAffinity", "required", "nodeSelectorTerms").Index(i))...)
		}
	}
	for _, s := range []struct {
		used bool
		text string
	}{
		{v.Spec.CephFS != nil, "spec.cephfs: deprecated in v1.28, non-functional in v1.31+"},
		{v.Spec.PhotonPersistentDisk != nil, "spec.photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+"},
		{v.Spec.RBD != nil, "spec.rbd: deprecated in v1.28, non-functional in v1.31+"},
		{v.Spec.ScaleIO != nil, "spec.scaleIO: deprecated in v1.16, non-functional in v1.22+"},
		{v.Spec.StorageOS != nil, "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"},
		{v.Spec.Glusterfs != nil, "spec.glusterfs: deprecated in v1.25, non-functional in v1.26+"},
	} {
		if s.used {
			warnings = append(warnings, s.text)
		}
	}
	return warnings
}

func betaClassWarning(annotations map[string]string) []string {
	if _, ok := annotations[corev1.BetaStorageClassAnnotation]; !ok {
		return nil
	}
	return []string{field.NewPath("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation).String() +
		`: deprecated since v1.8; use "storageClassName" attribute instead`}
}

func persistentVolumeColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		nameColumn(),
		column("Capacity", "string", spec["capacity"]),
		column("Access Modes", "string", spec["accessModes"]),
		column("Reclaim Policy", "string", spec["persistentVolumeReclaimPolicy"]),
		column("Status", "string", status["phase"]),
		column("Claim", "string", spec["claimRef"]),
		column("StorageClass", "string", "StorageClass of the pv"),
		column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
		column("Reason", "string", status["reason"]),
		ageColumn(),
		wideColumn("VolumeMode", "string", spec["volumeMode"]),
	}
}

func persistentVolumeCells(v *corev1.PersistentVolume) []any {
	claim, size, phase := "", v.Spec.Capacity[corev1.ResourceStorage], string(v.Status.Phase)
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	class := v.Spec.StorageClassName
	if beta, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = beta
	}
	return []any{v.Name, size.String(), accessModesCell(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim,
		class, orUnsetPointer(v.Spec.VolumeAttributesClassName), v.Status.Reason, age(v.CreationTimestamp), orUnsetPointer(v.Spec.VolumeMode)}
}

// accessModesCell writes access modes short: RWO,ROX.
func accessModesCell(modes []corev1.PersistentVolumeAccessMode) string {
	var short []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		if slices.Contains(modes, m.mode) {
			short = append(short, m.short)
		}
	}
	return strings.Join(short, ",")
}

func orUnsetPointer[T ~string](s *T) string {
	if s == nil {
		return "<unset>"
	}
	return string(*s)
}
