package persistentvolume

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// findVolume looks for a volume for a claim that is not bound, binds it, or asks for a new one.
func (c *Controller) findVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil {
		return nil
	}
	if claim.Spec.VolumeName != "" {
		return c.bindNamed(ctx, claim)
	}
	class := c.classOf(claim)
	delayed := class != nil && ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) == storagev1.VolumeBindingWaitForFirstConsumer
	found, err := volume.FindMatchingVolume(claim, c.candidates(claim), nil, nil, delayed, true)
	if err != nil {
		return fmt.Errorf("find a volume for claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	if found != nil {
		return c.bind(ctx, found, claim)
	}
	if changed, err := c.assignDefaultClass(ctx, claim); changed || err != nil {
		return err
	}
	loop.Say(ctx, "NoVolumeFits", "class", volume.GetPersistentVolumeClaimClass(claim))
	switch {
	case delayed && claim.Annotations[volume.AnnSelectedNode] == "":
		c.tellWaiting(claim)
	case class != nil:
		return c.askProvisioner(ctx, claim, class)
	case volume.GetPersistentVolumeClaimClass(claim) != "":
		c.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "storageclass.storage.k8s.io %q not found", volume.GetPersistentVolumeClaimClass(claim))
	default:
		c.Events.Event(claim, corev1.EventTypeNormal, "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
	}
	return c.claimPhase(ctx, claim, corev1.ClaimPending, nil)
}

// tellWaiting says what a claim of a class that binds late waits for: a pod that uses it, or the node of those that do.
func (c *Controller) tellWaiting(claim *corev1.PersistentVolumeClaim) {
	var names []string
	for _, pod := range c.pods.List(claim.Namespace, nil) {
		if pod.Spec.NodeName == "" && controllers.IsActive(pod) && mounts(pod, claim.Name) {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		c.Events.Event(claim, corev1.EventTypeNormal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	case 1:
		c.Events.Event(claim, corev1.EventTypeNormal, "WaitForPodScheduled", "waiting for pod %s to be scheduled", names[0])
	default:
		c.Events.Event(claim, corev1.EventTypeNormal, "WaitForPodScheduled", "waiting for pods %s to be scheduled", strings.Join(names, ","))
	}
}

// mounts says whether a pod names a claim, or has one of its own of that name.
func mounts(pod *corev1.Pod, claim string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		return controllers.ClaimName(pod, &volume) == claim
	})
}

// candidates are the volumes that offer the access modes that a claim asks for, the smallest first.
func (c *Controller) candidates(claim *corev1.PersistentVolumeClaim) []*corev1.PersistentVolume {
	fits := slices.DeleteFunc(c.volumes.List("", nil), func(pv *corev1.PersistentVolume) bool { return !volume.CheckAccessModes(claim, pv) })
	slices.SortFunc(fits, func(a, b *corev1.PersistentVolume) int {
		x, y := a.Spec.Capacity[corev1.ResourceStorage], b.Spec.Capacity[corev1.ResourceStorage]
		if order := x.Cmp(y); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return fits
}

func (c *Controller) classOf(claim *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	class, ok := c.classes.Get("", volume.GetPersistentVolumeClaimClass(claim))
	if !ok {
		return nil
	}
	return class
}

// assignDefaultClass gives a claim that names no class the default one, should one have been made after the claim.
func (c *Controller) assignDefaultClass(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	if claim.Spec.StorageClassName != nil || volume.PersistentVolumeClaimHasClass(claim) {
		return false, nil
	}
	var newest *storagev1.StorageClass
	for _, class := range c.classes.List("", nil) {
		if class.Annotations[defaultClassAnnotation] == "true" && (newest == nil || newest.CreationTimestamp.Before(&class.CreationTimestamp)) {
			newest = class
		}
	}
	if newest == nil {
		return false, nil
	}
	loop.Say(ctx, "AssignDefaultClass", "class", newest.Name)
	changed := claim.DeepCopy()
	changed.Spec.StorageClassName = &newest.Name
	_, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).Update(ctx, changed)
	return true, err
}

// bindNamed binds a claim to the volume that it names.
func (c *Controller) bindNamed(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	pv, ok := c.volumes.Get("", claim.Spec.VolumeName)
	if !ok {
		return c.claimPhase(ctx, claim, corev1.ClaimPending, nil) // it may come
	}
	switch {
	case pv.Spec.ClaimRef == nil:
		if problem := misfit(pv, claim); problem != "" {
			c.Events.Event(claim, corev1.EventTypeWarning, "VolumeMismatch", "Cannot bind to requested volume %q: %s", pv.Name, problem)
			return c.claimPhase(ctx, claim, corev1.ClaimPending, nil)
		}
		return c.bind(ctx, pv, claim)
	case volume.IsVolumeBoundToClaim(pv, claim):
		return c.bind(ctx, pv, claim)
	}
	c.Events.Event(claim, corev1.EventTypeWarning, "FailedBinding", "volume %q already bound to a different claim.", pv.Name)
	return c.claimPhase(ctx, claim, corev1.ClaimPending, nil)
}

// misfit says why a volume cannot serve a claim, or "".
func misfit(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) string {
	wanted, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], pv.Spec.Capacity[corev1.ResourceStorage]
	switch {
	case pv.DeletionTimestamp != nil:
		return fmt.Sprintf("the volume is marked for deletion %q", pv.Name)
	case has.Cmp(wanted) < 0:
		return "requested PV is too small"
	case volume.GetPersistentVolumeClaimClass(claim) != volume.GetPersistentVolumeClass(pv):
		return "storageClassName does not match"
	case ptr.Deref(claim.Spec.VolumeAttributesClassName, "") != ptr.Deref(pv.Spec.VolumeAttributesClassName, ""):
		return "volumeAttributesClassName does not match"
	case volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec):
		return "incompatible volumeMode"
	case !volume.CheckAccessModes(claim, pv):
		return "incompatible accessMode"
	}
	return ""
}

// checkBound looks whether a bound claim still has its volume, and finishes a binding that was interrupted.
func (c *Controller) checkBound(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	lose := func(reason, message string) error {
		if claim.Status.Phase != corev1.ClaimLost {
			c.Events.Event(claim, corev1.EventTypeWarning, reason, "%s", message)
		}
		return c.claimPhase(ctx, claim, corev1.ClaimLost, nil)
	}
	if claim.Spec.VolumeName == "" {
		return lose("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	}
	pv, ok := c.volumes.Get("", claim.Spec.VolumeName)
	switch {
	case !ok:
		return lose("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case pv.Spec.ClaimRef == nil, volume.IsVolumeBoundToClaim(pv, claim):
		return c.bind(ctx, pv, claim)
	}
	return lose("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

// askProvisioner marks a claim for the provisioner of its class.
func (c *Controller) askProvisioner(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if strings.HasPrefix(class.Provisioner, "kubernetes.io/") {
		// Kubernetes has none of its own any more. Volumes of the class kubernetes.io/no-provisioner are made by people.
		c.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "no volume plugin matched name: %s", class.Provisioner)
		return c.claimPhase(ctx, claim, corev1.ClaimPending, nil)
	}
	if claim.Annotations[volume.AnnStorageProvisioner] != class.Provisioner {
		loop.Say(ctx, "AskProvisioner", "provisioner", class.Provisioner)
		changed := claim.DeepCopy()
		if changed.Annotations == nil {
			changed.Annotations = map[string]string{}
		}
		changed.Annotations[volume.AnnStorageProvisioner] = class.Provisioner
		changed.Annotations[volume.AnnBetaStorageProvisioner] = class.Provisioner
		_, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).Update(ctx, changed)
		return err
	}
	c.Events.Event(claim, corev1.EventTypeNormal, "ExternalProvisioning", "Waiting for a volume to be created either by the external "+
		"provisioner '%s' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.", class.Provisioner)
	return c.claimPhase(ctx, claim, corev1.ClaimPending, nil)
}
