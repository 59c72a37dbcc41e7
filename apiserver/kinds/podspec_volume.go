package kinds

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	oneVolumeType = "may not specify more than 1 volume type"
	fileModeRange = "must be a number between 0 and 0777 (octal), both inclusive"
)

// volumes checks the volumes of a pod, and remembers those that are right: only they can be mounted.
func (c *specCheck) volumes(at *field.Path) (errs field.ErrorList) {
	for i := range c.spec.Volumes {
		volume, here := &c.spec.Volumes[i], at.Index(i)
		found := c.volumeSource(volume, here)
		if volume.Name == "" {
			found = append(found, field.Required(here.Child("name"), ""))
		} else {
			found = append(found, dnsLabel(volume.Name, here.Child("name"))...)
		}
		if c.volume(volume.Name) != nil {
			found = append(found, field.Duplicate(here.Child("name"), volume.Name))
		}
		if len(found) == 0 {
			c.valid = append(c.valid, volume)
		}
		errs = append(errs, found...)
		if claim := volume.PersistentVolumeClaim; claim != nil && c.createsClaim(claim.ClaimName) {
			errs = append(errs, field.Invalid(here.Child("persistentVolumeClaim", "claimName"), claim.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return errs
}

// volume finds a volume by its name, among those that are right.
func (c *specCheck) volume(name string) *corev1.Volume {
	for _, v := range c.valid {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// createsClaim says whether a claim will be made for one of the pod's ephemeral volumes.
func (c *specCheck) createsClaim(name string) bool {
	if c.meta == nil || c.meta.Name == "" {
		return false
	}
	return slices.ContainsFunc(c.spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil && name == c.meta.Name+"-"+v.Name })
}

// volumeSource checks that a volume comes from one place, and that place.
func (c *specCheck) volumeSource(v *corev1.Volume, at *field.Path) (errs field.ErrorList) {
	n := 0
	// check counts the sources. A few of Kubernetes' messages name the field differently from the API: as is where.
	check := func(set bool, name, as string, valid func(at *field.Path) field.ErrorList) {
		switch {
		case !set:
		case n > 0:
			errs = append(errs, field.Forbidden(at.Child(name), oneVolumeType))
		default:
			n++
			errs = append(errs, valid(at.Child(as))...)
		}
	}
	s := &v.VolumeSource
	check(s.EmptyDir != nil, "emptyDir", "emptyDir", func(at *field.Path) field.ErrorList {
		if limit := s.EmptyDir.SizeLimit; limit != nil && limit.Sign() < 0 {
			return field.ErrorList{field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")}
		}
		return nil
	})
	check(s.HostPath != nil, "hostPath", "hostPath", func(at *field.Path) field.ErrorList { return validateHostPathVolume(s.HostPath, at) })
	check(s.GitRepo != nil, "gitRepo", "gitRepo", func(at *field.Path) field.ErrorList {
		return append(required(s.GitRepo.Repository, at.Child("repository"), ""), localPath(s.GitRepo.Directory, at.Child("directory"))...)
	})
	check(s.GCEPersistentDisk != nil, "gcePersistentDisk", "persistentDisk", func(at *field.Path) field.ErrorList {
		return validateGCEVolume(s.GCEPersistentDisk, at)
	})
	check(s.AWSElasticBlockStore != nil, "awsElasticBlockStore", "awsElasticBlockStore", func(at *field.Path) field.ErrorList {
		return validateAWSVolume(s.AWSElasticBlockStore, at)
	})
	check(s.Secret != nil, "secret", "secret", func(at *field.Path) field.ErrorList {
		errs := required(s.Secret.SecretName, at.Child("secretName"), "")
		return append(errs, validateItems(s.Secret.DefaultMode, s.Secret.Items, at)...)
	})
	check(s.NFS != nil, "nfs", "nfs", func(at *field.Path) field.ErrorList { return validateNFSVolume(s.NFS, at) })
	check(s.ISCSI != nil, "iscsi", "iscsi", func(at *field.Path) field.ErrorList { return validateISCSIVolume(s.ISCSI, at) })
	if s.ISCSI != nil && s.ISCSI.InitiatorName != nil && len(v.Name+":"+s.ISCSI.TargetPortal) > 64 {
		errs = append(errs, field.Invalid(at.Child("name"), v.Name, iscsiTooLong))
	}
	check(s.Glusterfs != nil, "glusterfs", "glusterfs", func(at *field.Path) field.ErrorList {
		return append(required(s.Glusterfs.EndpointsName, at.Child("endpoints"), ""), required(s.Glusterfs.Path, at.Child("path"), "")...)
	})
	check(s.Flocker != nil, "flocker", "flocker", func(at *field.Path) field.ErrorList { return validateFlockerVolume(s.Flocker, at) })
	check(s.PersistentVolumeClaim != nil, "persistentVolumeClaim", "persistentVolumeClaim", func(at *field.Path) field.ErrorList {
		return required(s.PersistentVolumeClaim.ClaimName, at.Child("claimName"), "")
	})
	check(s.RBD != nil, "rbd", "rbd", func(at *field.Path) field.ErrorList {
		return validateRBDVolume(s.RBD.CephMonitors, s.RBD.RBDImage, at)
	})
	check(s.Cinder != nil, "cinder", "cinder", func(at *field.Path) field.ErrorList {
		return append(required(s.Cinder.VolumeID, at.Child("volumeID"), ""), secretRefName(s.Cinder.SecretRef, at)...)
	})
	check(s.CephFS != nil, "cephFS", "cephfs", func(at *field.Path) field.ErrorList { return validateMonitors(s.CephFS.Monitors, at) })
	check(s.Quobyte != nil, "quobyte", "quobyte", func(at *field.Path) field.ErrorList { return validateQuobyteVolume(s.Quobyte, at) })
	check(s.DownwardAPI != nil, "downwarAPI", "downwardAPI", func(at *field.Path) field.ErrorList { return validateDownwardVolume(s.DownwardAPI, at) })
	check(s.FC != nil, "fc", "fc", func(at *field.Path) field.ErrorList { return validateFCVolume(s.FC, at) })
	check(s.FlexVolume != nil, "flexVolume", "flexVolume", func(at *field.Path) field.ErrorList {
		return validateFlexVolume(s.FlexVolume.Driver, s.FlexVolume.Options, at)
	})
	check(s.ConfigMap != nil, "configMap", "configMap", func(at *field.Path) field.ErrorList {
		errs := required(s.ConfigMap.Name, at.Child("name"), "")
		return append(errs, validateItems(s.ConfigMap.DefaultMode, s.ConfigMap.Items, at)...)
	})
	check(s.AzureFile != nil, "azureFile", "azureFile", func(at *field.Path) field.ErrorList {
		return append(required(s.AzureFile.SecretName, at.Child("secretName"), ""), required(s.AzureFile.ShareName, at.Child("shareName"), "")...)
	})
	check(s.VsphereVolume != nil, "vsphereVolume", "vsphereVolume", func(at *field.Path) field.ErrorList {
		return required(s.VsphereVolume.VolumePath, at.Child("volumePath"), "")
	})
	check(s.PhotonPersistentDisk != nil, "photonPersistentDisk", "photonPersistentDisk", func(at *field.Path) field.ErrorList {
		return required(s.PhotonPersistentDisk.PdID, at.Child("pdID"), "")
	})
	check(s.PortworxVolume != nil, "portworxVolume", "portworxVolume", func(at *field.Path) field.ErrorList {
		return required(s.PortworxVolume.VolumeID, at.Child("volumeID"), "")
	})
	check(s.AzureDisk != nil, "azureDisk", "azureDisk", func(at *field.Path) field.ErrorList { return validateAzureDiskVolume(s.AzureDisk, at) })
	check(s.StorageOS != nil, "storageos", "storageos", func(at *field.Path) field.ErrorList {
		errs := validateStorageOSVolume(s.StorageOS.VolumeName, s.StorageOS.VolumeNamespace, at)
		return append(errs, secretRefName(s.StorageOS.SecretRef, at)...)
	})
	check(s.Projected != nil, "projected", "projected", func(at *field.Path) field.ErrorList { return validateProjectedVolume(s.Projected, at) })
	check(s.ScaleIO != nil, "scaleIO", "scaleIO", func(at *field.Path) field.ErrorList {
		return validateScaleIOVolume(s.ScaleIO.Gateway, s.ScaleIO.System, s.ScaleIO.VolumeName, at)
	})
	check(s.CSI != nil, "csi", "csi", func(at *field.Path) field.ErrorList {
		errs := csiDriverName(s.CSI.Driver, at.Child("driver"))
		if ref := s.CSI.NodePublishSecretRef; ref != nil {
			if ref.Name == "" {
				return append(errs, field.Required(at.Child("nodePublishSecretRef", "name"), ""))
			}
			errs = append(errs, dnsSubdomain(ref.Name, at.Child("name"))...) // Kubernetes leaves out the reference's own name here
		}
		return errs
	})
	check(s.Ephemeral != nil, "ephemeral", "ephemeral", func(ephemeral *field.Path) field.ErrorList { return c.ephemeralVolume(v, ephemeral, at) })
	check(s.Image != nil, "image", "image", func(at *field.Path) (errs field.ErrorList) {
		if c.meta != nil {
			errs = required(s.Image.Reference, at.Child("reference"), "")
		}
		return append(errs, validatePullPolicy(s.Image.PullPolicy, at.Child("pullPolicy"))...)
	})
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a volume type"))
	}
	return errs
}

// ephemeralVolume checks a volume whose claim is made with the pod and named after both.
func (c *specCheck) ephemeralVolume(v *corev1.Volume, at, volume *field.Path) (errs field.ErrorList) {
	template := v.Ephemeral.VolumeClaimTemplate
	if template == nil {
		errs = append(errs, field.Required(at.Child("volumeClaimTemplate"), ""))
	} else {
		errs = append(errs, validateClaimTemplate(template, at.Child("volumeClaimTemplate"))...)
	}
	if c.meta != nil && c.meta.Name != "" && v.Name != "" {
		claim := c.meta.Name + "-" + v.Name
		for _, message := range validation.IsDNS1123Subdomain(claim) {
			errs = append(errs, field.Invalid(volume.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", claim, message)))
		}
	}
	return errs
}

// fileMode checks the permission bits of a file in a volume.
func fileMode(mode *int32, at *field.Path) field.ErrorList {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		return field.ErrorList{field.Invalid(at, *mode, fileModeRange)}
	}
	return nil
}

// validateItems checks which keys become which files.
func validateItems(mode *int32, items []corev1.KeyToPath, at *field.Path) field.ErrorList {
	errs := fileMode(mode, at.Child("defaultMode"))
	for i := range items {
		errs = append(errs, validateKeyToPath(&items[i], at.Child("items").Index(i))...)
	}
	return errs
}

func validateKeyToPath(item *corev1.KeyToPath, at *field.Path) field.ErrorList {
	errs := required(item.Key, at.Child("key"), "")
	errs = append(errs, required(item.Path, at.Child("path"), "")...)
	errs = append(errs, unreservedPath(item.Path, at.Child("path"))...)
	return append(errs, fileMode(item.Mode, at.Child("mode"))...)
}

// noBacksteps refuses a path that goes up.
func noBacksteps(value string, at *field.Path) field.ErrorList {
	for part := range strings.SplitSeq(value, "/") {
		if part == ".." {
			return field.ErrorList{field.Invalid(at, value, "must not contain '..'")}
		}
	}
	return nil
}

// localPath checks a path that must stay below where it begins.
func localPath(value string, at *field.Path) (errs field.ErrorList) {
	if path.IsAbs(value) {
		errs = append(errs, field.Invalid(at, value, "must be a relative path"))
	}
	return append(errs, noBacksteps(value, at)...)
}

// unreservedPath is a local path that does not begin with two dots: kubelet keeps such names for itself.
func unreservedPath(value string, at *field.Path) field.ErrorList {
	errs := localPath(value, at)
	if strings.HasPrefix(value, "..") && !strings.HasPrefix(value, "../") {
		errs = append(errs, field.Invalid(at, value, "must not start with '..'"))
	}
	return errs
}

// downwardVolumeFields are the fields of a pod that a file can show.
var downwardVolumeFields = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}

func validateDownwardVolume(s *corev1.DownwardAPIVolumeSource, at *field.Path) field.ErrorList {
	errs := fileMode(s.DefaultMode, at.Child("defaultMode"))
	for i := range s.Items {
		errs = append(errs, validateDownwardFile(&s.Items[i], at)...)
	}
	return errs
}

func validateDownwardFile(file *corev1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	errs := required(file.Path, at.Child("path"), "")
	errs = append(errs, unreservedPath(file.Path, at.Child("path"))...)
	switch {
	case file.FieldRef != nil:
		errs = append(errs, validateFieldRef(file.FieldRef, downwardVolumeFields, at.Child("fieldRef"))...)
		if file.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case file.ResourceFieldRef != nil:
		errs = append(errs, validateResourceFieldRef(file.ResourceFieldRef, true, at.Child("resourceFieldRef"))...)
	default:
		errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
	}
	return append(errs, fileMode(file.Mode, at.Child("mode"))...)
}
