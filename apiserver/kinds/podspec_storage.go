package kinds

import (
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The kinds of storage that a volume in a pod, and mostly a persistent volume too, can name.

func validateHostPathVolume(s *corev1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	if s.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	errs := noBacksteps(s.Path, at.Child("path"))
	if s.Type != nil {
		errs = append(errs, oneOf(*s.Type, at.Child("type"), corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev,
			corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket)...)
	}
	return errs
}

func validateGCEVolume(s *corev1.GCEPersistentDiskVolumeSource, at *field.Path) field.ErrorList {
	return append(required(s.PDName, at.Child("pdName"), ""), diskPartition(s.Partition, at)...)
}

func validateAWSVolume(s *corev1.AWSElasticBlockStoreVolumeSource, at *field.Path) field.ErrorList {
	return append(required(s.VolumeID, at.Child("volumeID"), ""), diskPartition(s.Partition, at)...)
}

func diskPartition(n int32, at *field.Path) field.ErrorList {
	if n < 0 || n > 255 {
		return field.ErrorList{field.Invalid(at.Child("partition"), n, validation.InclusiveRangeError(1, 255))}
	}
	return nil
}

func validateNFSVolume(s *corev1.NFSVolumeSource, at *field.Path) field.ErrorList {
	errs := required(s.Server, at.Child("server"), "")
	errs = append(errs, required(s.Path, at.Child("path"), "")...)
	if !path.IsAbs(s.Path) {
		errs = append(errs, field.Invalid(at.Child("path"), s.Path, "must be an absolute path"))
	}
	return errs
}

const iscsiTooLong = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."

// iscsiNames are the three forms of the names of iSCSI nodes, by their prefix.
var iscsiNames = sync.OnceValue(func() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"iqn": regexp.MustCompile(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`),
		"eui": regexp.MustCompile(`^eui.[[:alnum:]]{16}$`),
		"naa": regexp.MustCompile(`^naa.[[:alnum:]]{32}$`),
	}
})

func iscsiName(name string, at *field.Path) field.ErrorList {
	form := iscsiNames()[name[:min(3, len(name))]]
	switch {
	case form == nil:
		return field.ErrorList{field.Invalid(at, name, "must be valid format starting with iqn, eui, or naa")}
	case !form.MatchString(name):
		return field.ErrorList{field.Invalid(at, name, "must be valid format")}
	}
	return nil
}

func validateISCSIVolume(s *corev1.ISCSIVolumeSource, at *field.Path) field.ErrorList {
	errs := required(s.TargetPortal, at.Child("targetPortal"), "")
	if s.IQN == "" {
		errs = append(errs, field.Required(at.Child("iqn"), ""))
	} else {
		errs = append(errs, iscsiName(s.IQN, at.Child("iqn"))...)
	}
	errs = append(errs, lun(s.Lun, at.Child("lun"))...)
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		errs = append(errs, field.Required(at.Child("secretRef"), ""))
	}
	if s.InitiatorName != nil {
		errs = append(errs, iscsiName(*s.InitiatorName, at.Child("initiatorname"))...)
	}
	return errs
}

func lun(n int32, at *field.Path) field.ErrorList {
	if n < 0 || n > 255 {
		return field.ErrorList{field.Invalid(at, n, validation.InclusiveRangeError(0, 255))}
	}
	return nil
}

func validateFlockerVolume(s *corev1.FlockerVolumeSource, at *field.Path) (errs field.ErrorList) {
	if s.DatasetName == "" && s.DatasetUUID == "" {
		errs = append(errs, field.Required(at, "one of datasetName and datasetUUID is required"))
	}
	if s.DatasetName != "" && s.DatasetUUID != "" {
		errs = append(errs, field.Invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(s.DatasetName, "/") {
		errs = append(errs, field.Invalid(at.Child("datasetName"), s.DatasetName, "must not contain '/'"))
	}
	return errs
}

func validateMonitors(monitors []string, at *field.Path) field.ErrorList {
	if len(monitors) == 0 {
		return field.ErrorList{field.Required(at.Child("monitors"), "")}
	}
	return nil
}

func validateRBDVolume(monitors []string, image string, at *field.Path) field.ErrorList {
	return append(validateMonitors(monitors, at), required(image, at.Child("image"), "")...)
}

// secretRefName checks an optional reference to a secret in the same namespace.
func secretRefName(ref *corev1.LocalObjectReference, at *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	return required(ref.Name, at.Child("secretRef", "name"), "")
}

func validateQuobyteVolume(s *corev1.QuobyteVolumeSource, at *field.Path) (errs field.ErrorList) {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	switch {
	case s.Registry == "":
		errs = append(errs, field.Required(at.Child("registry"), pairs))
	case len(s.Tenant) >= 65:
		errs = append(errs, field.Required(at.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for pair := range strings.SplitSeq(s.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(at.Child("registry"), s.Registry, pairs))
			}
		}
	}
	return append(errs, required(s.Volume, at.Child("volume"), "")...)
}

func validateFCVolume(s *corev1.FCVolumeSource, at *field.Path) (errs field.ErrorList) {
	targets, wwids := len(s.TargetWWNs) > 0, len(s.WWIDs) > 0
	switch {
	case !targets && !wwids:
		errs = append(errs, field.Required(at.Child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"))
	case targets && wwids:
		errs = append(errs, field.Invalid(at.Child("targetWWNs"), s.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	if !targets {
		return errs
	}
	if s.Lun == nil {
		return append(errs, field.Required(at.Child("lun"), "lun is required if targetWWNs is specified"))
	}
	return append(errs, lun(*s.Lun, at.Child("lun"))...)
}

func validateFlexVolume(driver string, options map[string]string, at *field.Path) field.ErrorList {
	errs := required(driver, at.Child("driver"), "")
	for _, option := range slices.Sorted(maps.Keys(options)) {
		namespace, _, _ := strings.Cut(option, "/")
		namespace = "." + strings.ToLower(namespace)
		if strings.HasSuffix(namespace, ".kubernetes.io") || strings.HasSuffix(namespace, ".k8s.io") {
			errs = append(errs, field.Invalid(at.Child("options").Key(option), option, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

func validateAzureDiskVolume(s *corev1.AzureDiskVolumeSource, at *field.Path) field.ErrorList {
	errs := required(s.DiskName, at.Child("diskName"), "")
	errs = append(errs, required(s.DataDiskURI, at.Child("diskURI"), "")...)
	if s.CachingMode != nil {
		errs = append(errs, oneOf(*s.CachingMode, at.Child("cachingMode"),
			corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)...)
	}
	if s.Kind == nil {
		return errs
	}
	errs = append(errs, oneOf(*s.Kind, at.Child("kind"), corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk, corev1.AzureSharedBlobDisk)...)
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *s.Kind == corev1.AzureManagedDisk {
		prefix, form = "/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(s.DataDiskURI, prefix) {
		errs = append(errs, field.NotSupported(at.Child("diskURI"), s.DataDiskURI, []string{form}))
	}
	return errs
}

func validateStorageOSVolume(name, namespace string, at *field.Path) (errs field.ErrorList) {
	if name == "" {
		errs = append(errs, field.Required(at.Child("volumeName"), ""))
	} else {
		errs = append(errs, dnsLabel(name, at.Child("volumeName"))...)
	}
	if namespace != "" {
		errs = append(errs, dnsLabel(namespace, at.Child("volumeNamespace"))...)
	}
	return errs
}

func validateScaleIOVolume(gateway, system, name string, at *field.Path) field.ErrorList {
	errs := required(gateway, at.Child("gateway"), "")
	errs = append(errs, required(system, at.Child("system"), "")...)
	return append(errs, required(name, at.Child("volumeName"), "")...)
}

// csiDriverName checks the name of a storage driver.
func csiDriverName(name string, at *field.Path) (errs field.ErrorList) {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if len(name) > 63 {
		errs = append(errs, field.TooLong(at, "", 63))
	}
	return append(errs, invalid(at, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}
