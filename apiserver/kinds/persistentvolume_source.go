package kinds

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateVolumeSource checks that a volume is in one place, and that place. kubette mounts paths of its own nodes only;
// what else Kubernetes knows is checked so that a manifest is judged as there.
func validateVolumeSource(v *corev1.PersistentVolume, at *field.Path) (errs field.ErrorList) {
	n := 0
	// check counts the sources. A few of Kubernetes' messages name the field differently from the API: as is where.
	check := func(set bool, name, as string, valid func(at *field.Path) field.ErrorList) {
		switch {
		case !set:
		case n > 0:
			errs = append(errs, field.Forbidden(at.Child(name), "may not specify more than 1 volume type"))
		default:
			n++
			errs = append(errs, valid(at.Child(as))...)
		}
	}
	s := &v.Spec.PersistentVolumeSource
	check(s.HostPath != nil, "hostPath", "hostPath", func(at *field.Path) field.ErrorList { return validateHostPathVolume(s.HostPath, at) })
	check(s.GCEPersistentDisk != nil, "gcePersistentDisk", "persistentDisk", func(at *field.Path) field.ErrorList {
		return validateGCEVolume(s.GCEPersistentDisk, at)
	})
	check(s.AWSElasticBlockStore != nil, "awsElasticBlockStore", "awsElasticBlockStore", func(at *field.Path) field.ErrorList {
		return validateAWSVolume(s.AWSElasticBlockStore, at)
	})
	check(s.Glusterfs != nil, "glusterfs", "glusterfs", func(at *field.Path) field.ErrorList { return validateGlusterfs(s.Glusterfs, at) })
	check(s.Flocker != nil, "flocker", "flocker", func(at *field.Path) field.ErrorList { return validateFlockerVolume(s.Flocker, at) })
	check(s.NFS != nil, "nfs", "nfs", func(at *field.Path) field.ErrorList { return validateNFSVolume(s.NFS, at) })
	check(s.RBD != nil, "rbd", "rbd", func(at *field.Path) field.ErrorList {
		return validateRBDVolume(s.RBD.CephMonitors, s.RBD.RBDImage, at)
	})
	check(s.Quobyte != nil, "quobyte", "quobyte", func(at *field.Path) field.ErrorList { return validateQuobyteVolume(s.Quobyte, at) })
	check(s.CephFS != nil, "cephFS", "cephfs", func(at *field.Path) field.ErrorList { return validateMonitors(s.CephFS.Monitors, at) })
	check(s.ISCSI != nil, "iscsi", "iscsi", func(at *field.Path) field.ErrorList { return validateISCSI(s.ISCSI, v.Name, at) })
	check(s.Cinder != nil, "cinder", "cinder", func(at *field.Path) field.ErrorList {
		return append(required(s.Cinder.VolumeID, at.Child("volumeID"), ""), secretReference(s.Cinder.SecretRef, at.Child("secretRef"))...)
	})
	check(s.FC != nil, "fc", "fc", func(at *field.Path) field.ErrorList { return validateFCVolume(s.FC, at) })
	if s.FlexVolume != nil { // Kubernetes forgot to refuse this one beside another
		n++
		errs = append(errs, validateFlexVolume(s.FlexVolume.Driver, s.FlexVolume.Options, at.Child("flexVolume"))...)
	}
	check(s.AzureFile != nil, "azureFile", "azureFile", func(at *field.Path) field.ErrorList { return validateAzureFile(s.AzureFile, at) })
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
	check(s.ScaleIO != nil, "scaleIO", "scaleIO", func(at *field.Path) field.ErrorList {
		return validateScaleIOVolume(s.ScaleIO.Gateway, s.ScaleIO.System, s.ScaleIO.VolumeName, at)
	})
	check(s.Local != nil, "local", "local", func(local *field.Path) field.ErrorList {
		if s.Local.Path == "" {
			errs = append(errs, field.Required(local.Child("path"), ""))
		}
		errs = append(errs, noBacksteps(s.Local.Path, local.Child("path"))...)
		if v.Spec.NodeAffinity == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
		return nil
	})
	check(s.StorageOS != nil, "storageos", "storageos", func(at *field.Path) field.ErrorList {
		errs := validateStorageOSVolume(s.StorageOS.VolumeName, s.StorageOS.VolumeNamespace, at)
		if ref := s.StorageOS.SecretRef; ref != nil {
			errs = append(errs, required(ref.Name, at.Child("secretRef", "name"), "")...)
			errs = append(errs, required(ref.Namespace, at.Child("secretRef", "namespace"), "")...)
		}
		return errs
	})
	check(s.CSI != nil, "csi", "csi", func(at *field.Path) field.ErrorList { return validateCSI(s.CSI, at) })
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a volume type"))
	}
	return errs
}

// secretReference checks a reference to a secret of any namespace; nil is allowed.
func secretReference(ref *corev1.SecretReference, at *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	errs := objectName(ref.Name, at.Child("name"))
	if namespace := at.Child("namespace"); ref.Namespace == "" {
		errs = append(errs, field.Required(namespace, ""))
	} else {
		errs = append(errs, dnsLabel(ref.Namespace, namespace)...)
	}
	return errs
}

func validateGlusterfs(s *corev1.GlusterfsPersistentVolumeSource, at *field.Path) field.ErrorList {
	errs := required(s.EndpointsName, at.Child("endpoints"), "")
	errs = append(errs, required(s.Path, at.Child("path"), "")...)
	if namespace := at.Child("endpointsNamespace"); s.EndpointsNamespace != nil && *s.EndpointsNamespace == "" {
		errs = append(errs, field.Invalid(namespace, *s.EndpointsNamespace, "if the endpointnamespace is set, it must be a valid namespace name"))
	} else if s.EndpointsNamespace != nil {
		errs = append(errs, dnsLabel(*s.EndpointsNamespace, namespace)...)
	}
	return errs
}

// validateISCSI checks it as a pod's own volume of the kind, but that a secret has a namespace here.
func validateISCSI(s *corev1.ISCSIPersistentVolumeSource, name string, at *field.Path) field.ErrorList {
	inline := &corev1.ISCSIVolumeSource{
		TargetPortal: s.TargetPortal, IQN: s.IQN, Lun: s.Lun, ISCSIInterface: s.ISCSIInterface, FSType: s.FSType, ReadOnly: s.ReadOnly,
		Portals: s.Portals, DiscoveryCHAPAuth: s.DiscoveryCHAPAuth, SessionCHAPAuth: s.SessionCHAPAuth, InitiatorName: s.InitiatorName,
	}
	if s.SecretRef != nil {
		inline.SecretRef = &corev1.LocalObjectReference{Name: s.SecretRef.Name}
	}
	errs := validateISCSIVolume(inline, at)
	if s.SecretRef != nil {
		errs = append(errs, required(s.SecretRef.Namespace, at.Child("secretRef", "namespace"), "")...)
	}
	if s.InitiatorName != nil && len(name+":"+s.TargetPortal) > 64 {
		errs = append(errs, field.Invalid(at.Child("targetportal"), s.TargetPortal, iscsiTooLong))
	}
	return errs
}

func validateAzureFile(s *corev1.AzureFilePersistentVolumeSource, at *field.Path) field.ErrorList {
	errs := append(required(s.SecretName, at.Child("secretName"), ""), required(s.ShareName, at.Child("shareName"), "")...)
	if s.SecretNamespace != nil {
		errs = append(errs, required(*s.SecretNamespace, at.Child("secretNamespace"), "")...)
	}
	return errs
}

func validateCSI(s *corev1.CSIPersistentVolumeSource, at *field.Path) field.ErrorList {
	errs := csiDriverName(s.Driver, at.Child("driver"))
	errs = append(errs, required(s.VolumeHandle, at.Child("volumeHandle"), "")...)
	errs = append(errs, secretReference(s.ControllerPublishSecretRef, at.Child("controllerPublishSecretRef"))...)
	errs = append(errs, secretReference(s.ControllerExpandSecretRef, at.Child("controllerExpandSecretRef"))...)
	errs = append(errs, secretReference(s.NodePublishSecretRef, at.Child("nodePublishSecretRef"))...)
	return append(errs, secretReference(s.NodeExpandSecretRef, at.Child("nodeExpandSecretRef"))...)
}
