package persistentvolume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/storage/volume"

	"kubette/client"
	"kubette/loop"
)

// bind makes a volume and a claim each other's. It writes only what is not yet so: first the volume, then the claim, so
// that whoever is interrupted leaves a volume that waits for its claim, never a claim that points to a stranger's volume.
func (c *Controller) bind(ctx context.Context, pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	bound, dirty, err := volume.GetBindVolumeToClaim(pv, claim)
	if err != nil {
		return err
	}
	if dirty {
		loop.Say(ctx, "BindVolume", "volume", pv.Name)
		if pv, err = client.Of[*corev1.PersistentVolume](c.Client).Update(ctx, bound); err != nil {
			return err
		}
	}
	if err := c.volumePhase(ctx, pv, corev1.VolumeBound, ""); err != nil {
		return err
	}
	if claim, err = c.bindClaim(ctx, claim, pv); err != nil {
		return err
	}
	return c.claimPhase(ctx, claim, corev1.ClaimBound, pv)
}

func (c *Controller) bindClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, error) {
	changed := claim.DeepCopy()
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	if changed.Spec.VolumeName != pv.Name {
		changed.Spec.VolumeName = pv.Name
		changed.Annotations[volume.AnnBoundByController] = "yes"
	}
	changed.Annotations[volume.AnnBindCompleted] = "yes"
	if equality.Semantic.DeepEqual(claim, changed) {
		return claim, nil
	}
	loop.Say(ctx, "BindClaim", "volume", pv.Name)
	return client.Of[*corev1.PersistentVolumeClaim](c.Client).Update(ctx, changed)
}

// claimPhase writes a claim's phase; with a volume also what it offers.
func (c *Controller) claimPhase(ctx context.Context, claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase, pv *corev1.PersistentVolume) error {
	changed := claim.DeepCopy()
	changed.Status.Phase = phase
	if pv == nil {
		changed.Status.AccessModes, changed.Status.Capacity, changed.Status.CurrentVolumeAttributesClassName = nil, nil, nil
	} else {
		changed.Status.AccessModes = pv.Spec.AccessModes
		if changed.Status.Capacity == nil || claim.Status.Phase == corev1.ClaimPending {
			changed.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: pv.Spec.Capacity[corev1.ResourceStorage]}
		}
		if claim.Status.Phase == corev1.ClaimPending {
			changed.Status.CurrentVolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
		}
	}
	if equality.Semantic.DeepEqual(claim.Status, changed.Status) {
		return nil
	}
	loop.Say(ctx, "ClaimPhase", "phase", phase)
	_, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).UpdateStatus(ctx, changed)
	return err
}

func (c *Controller) volumePhase(ctx context.Context, pv *corev1.PersistentVolume, phase corev1.PersistentVolumePhase, message string) error {
	if pv.Status.Phase == phase && pv.Status.Message == message {
		return nil
	}
	loop.Say(ctx, "VolumePhase", "volume", pv.Name, "phase", phase)
	changed := pv.DeepCopy()
	changed.Status.Phase, changed.Status.Message = phase, message
	_, err := client.Of[*corev1.PersistentVolume](c.Client).UpdateStatus(ctx, changed)
	return err
}
