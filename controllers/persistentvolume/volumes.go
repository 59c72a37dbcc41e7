package persistentvolume

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"kubette/client"
	"kubette/loop"
)

// settleVolume gives a volume the phase that its claim calls for, and reclaims it when the claim is gone.
func (c *Controller) settleVolume(ctx context.Context, pv *corev1.PersistentVolume) error {
	ref := pv.Spec.ClaimRef
	if ref == nil || ref.UID == "" {
		return c.volumePhase(ctx, pv, corev1.VolumeAvailable, "") // free, or kept for a claim that is yet to come
	}
	claim, err := c.claimOf(ctx, ref)
	switch {
	case err != nil:
		return err
	case claim == nil:
		return c.reclaim(ctx, pv)
	case claim.Spec.VolumeName == pv.Name:
		return c.volumePhase(ctx, pv, corev1.VolumeBound, "")
	case claim.Spec.VolumeName == "" && volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec):
		c.Events.Event(pv, corev1.EventTypeWarning, "VolumeMismatch",
			"Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", claim.Name)
		c.Events.Event(claim, corev1.EventTypeWarning, "VolumeMismatch",
			"Cannot bind PersistentVolume %q to requested PersistentVolumeClaim due to incompatible volumeMode.", pv.Name)
		return nil
	case claim.Spec.VolumeName == "":
		c.loop.Add(task{claim.Namespace, claim.Name}, "persistentvolumes/"+pv.Name+" waits for it")
		return nil
	}
	// The claim has another volume. One that was made for it is not needed; others go back to being free, or to being kept
	// for a claim of that name.
	if _, made := pv.Annotations[volume.AnnDynamicallyProvisioned]; made && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		return c.reclaim(ctx, pv)
	}
	return c.unbind(ctx, pv)
}

// claimOf finds the claim that a volume is bound to, in the API if the cache does not have it: a volume must not be
// released by mistake.
func (c *Controller) claimOf(ctx context.Context, ref *corev1.ObjectReference) (*corev1.PersistentVolumeClaim, error) {
	claim, ok := c.claims.Get(ref.Namespace, ref.Name)
	if ok && claim.UID == ref.UID {
		return claim, nil
	}
	claim, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).Get(ctx, ref.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case claim.UID != ref.UID:
		return nil, nil // a new claim of that name
	}
	return claim, nil
}

// reclaim releases a volume. One with the policy Delete is deleted by the provisioner that made it.
func (c *Controller) reclaim(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Status.Phase != corev1.VolumeReleased && pv.Status.Phase != corev1.VolumeFailed {
		if err := c.volumePhase(ctx, pv, corev1.VolumeReleased, ""); err != nil {
			return err
		}
		return nil // its own change brings the next step
	}
	policy := pv.Spec.PersistentVolumeReclaimPolicy
	if policy == corev1.PersistentVolumeReclaimRetain || pv.Status.Phase == corev1.VolumeFailed {
		return nil
	}
	if _, made := pv.Annotations[volume.AnnDynamicallyProvisioned]; made && policy == corev1.PersistentVolumeReclaimDelete {
		loop.Say(ctx, "LeaveToProvisioner")
		return nil
	}
	reason, message := "VolumeFailedDelete", fmt.Sprintf("error getting deleter volume plugin for volume %q: no deletable volume plugin matched", pv.Name)
	switch {
	case policy == corev1.PersistentVolumeReclaimRecycle: // deprecated; Kubernetes has recyclers for hostPath and NFS only
		reason, message = "VolumeFailedRecycle", "No recycler plugin found for the volume!"
	case pv.Spec.CSI != nil:
		loop.Say(ctx, "LeaveToProvisioner")
		return nil
	case pv.Spec.HostPath != nil && len(pv.Spec.HostPath.Path) > len("/tmp/") && strings.HasPrefix(pv.Spec.HostPath.Path, "/tmp/"):
		// Kubernetes removes such a directory where its controllers run, which is no node of pods: so it stays on theirs.
		loop.Say(ctx, "DeleteVolume", "volume", pv.Name)
		return client.Of[*corev1.PersistentVolume](c.Client).Delete(ctx, "", pv.Name, metav1.DeleteOptions{})
	case pv.Spec.HostPath != nil:
		message = "host_path deleter only supports /tmp/.+ but received provided " + pv.Spec.HostPath.Path
	}
	c.Events.Event(pv, corev1.EventTypeWarning, reason, "%s", message)
	return c.volumePhase(ctx, pv, corev1.VolumeFailed, message)
}

// unbind makes a volume free again.
func (c *Controller) unbind(ctx context.Context, pv *corev1.PersistentVolume) error {
	loop.Say(ctx, "Unbind", "volume", pv.Name)
	changed := pv.DeepCopy()
	if _, ours := pv.Annotations[volume.AnnBoundByController]; ours {
		changed.Spec.ClaimRef = nil
		delete(changed.Annotations, volume.AnnBoundByController)
	} else {
		changed.Spec.ClaimRef.UID = "" // a person has chosen the claim
	}
	written, err := client.Of[*corev1.PersistentVolume](c.Client).Update(ctx, changed)
	if err != nil {
		return err
	}
	return c.volumePhase(ctx, written, corev1.VolumeAvailable, "")
}
