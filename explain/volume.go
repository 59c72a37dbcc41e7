package explain

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// claimsOf judges the volume claims that a pod uses.
func (d *diagnosis) claimsOf(p *corev1.Pod) {
	for _, v := range p.Spec.Volumes {
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = p.Name + "-" + v.Name
		}
		if name == "" {
			continue
		}
		claim, ok := find[*corev1.PersistentVolumeClaim](d.Snapshot, p.Namespace, name)
		if !ok {
			there := names(all[*corev1.PersistentVolumeClaim](d.Snapshot, p.Namespace))
			f := d.add(Problem, "ClaimMissing", p, "claim", name, "volume", v.Name, "claims", orNone(there))
			if near := nearest(name, there); near != "" {
				f.advise("Nearest", "near", near)
			}
			continue
		}
		if claim.Status.Phase != corev1.ClaimBound {
			follow(d, claim)
		}
	}
}

// claim judges whether a claim gets its volume.
func (d *diagnosis) claim(o *corev1.PersistentVolumeClaim) {
	if o.DeletionTimestamp != nil {
		d.add(Waiting, "ClaimDeleting", o, "users", orNone(d.usersOf(o)), "finalizers", orNone(o.Finalizers))
		return
	}
	switch o.Status.Phase {
	case corev1.ClaimBound:
		return
	case corev1.ClaimLost:
		d.add(Problem, "ClaimLost", o, "volume", o.Spec.VolumeName)
		return
	}
	if d.held(o, "persistentvolume-controller") {
		return
	}
	class := deref(o.Spec.StorageClassName)
	classes := all[*storagev1.StorageClass](d.Snapshot, "")
	storage, ok := find[*storagev1.StorageClass](d.Snapshot, "", class)
	size := o.Spec.Resources.Requests[corev1.ResourceStorage]
	failed := d.lastEvent(refOf(o), nil, "ProvisioningFailed", "FailedBinding", "VolumeMismatch")
	switch {
	case o.Spec.VolumeName != "":
		message := ""
		if failed != nil {
			message = failed.Message
		}
		d.add(Problem, "ClaimNamedVolume", o, "volume", o.Spec.VolumeName, "message", message)
	case class == "":
		d.add(Problem, "ClaimNoClass", o, "classes", orNone(names(classes)), "size", size.String(), "modes", accessModes(o.Spec.AccessModes))
	case !ok:
		f := d.add(Problem, "StorageClassMissing", o, "class", class, "classes", orNone(names(classes)))
		if near := nearest(class, names(classes)); near != "" {
			f.advise("Nearest", "near", near)
		}
	case failed != nil && failed.Reason == "ProvisioningFailed":
		d.add(Problem, "ProvisioningFailed", o, "class", class, "message", failed.Message)
	case storage.Provisioner == "kubernetes.io/no-provisioner":
		d.add(Problem, "ClaimNoVolumeFits", o, "class", class, "size", size.String(), "modes", accessModes(o.Spec.AccessModes)).
			table("volumes", []string{"volume", "class", "size", "modes", "phase"}, d.volumeRows())
	case storage.VolumeBindingMode != nil && *storage.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer && len(d.usersOf(o)) == 0:
		d.add(Waiting, "ClaimWaitsForPod", o, "class", class)
	default:
		d.add(Waiting, "ClaimPending", o, "class", class, "provisioner", storage.Provisioner)
	}
}

func (d *diagnosis) volumeRows() [][]string {
	var rows [][]string
	for _, v := range all[*corev1.PersistentVolume](d.Snapshot, "") {
		size := v.Spec.Capacity[corev1.ResourceStorage]
		rows = append(rows, []string{v.Name, v.Spec.StorageClassName, size.String(), accessModes(v.Spec.AccessModes), string(v.Status.Phase)})
	}
	return rows
}

func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var texts []string
	for _, mode := range modes {
		texts = append(texts, string(mode))
	}
	return orNone(texts)
}

// usersOf are the pods that use a claim.
func (d *diagnosis) usersOf(o *corev1.PersistentVolumeClaim) []string {
	var users []string
	for _, p := range all[*corev1.Pod](d.Snapshot, o.Namespace) {
		for _, v := range p.Spec.Volumes {
			if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == o.Name ||
				v.Ephemeral != nil && p.Name+"-"+v.Name == o.Name {
				users = append(users, "pod/"+p.Name)
			}
		}
	}
	return users
}

// volume judges a volume that nobody can have.
func (d *diagnosis) volume(o *corev1.PersistentVolume) {
	switch o.Status.Phase {
	case corev1.VolumeReleased:
		claim := "?"
		if o.Spec.ClaimRef != nil {
			claim = o.Spec.ClaimRef.Namespace + "/" + o.Spec.ClaimRef.Name
		}
		d.add(Problem, "VolumeReleased", o, "claim", claim, "policy", string(o.Spec.PersistentVolumeReclaimPolicy))
	case corev1.VolumeFailed:
		d.add(Problem, "VolumeFailed", o, "message", o.Status.Message)
	}
}
