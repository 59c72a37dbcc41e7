package kubelet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/client"
	"kubette/kubelet/runtime"
)

// claimedVolume finds the directory behind a persistent volume claim: the claim's volume, which must be of a kind that a
// single machine has (hostPath or local).
func (s *session) claimedVolume(ctx context.Context, pod *corev1.Pod, name string) (runtime.Volume, error) {
	none := runtime.Volume{}
	claim, err := client.Of[*corev1.PersistentVolumeClaim](s.client).Get(ctx, pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		return none, fmt.Errorf("persistentvolumeclaim %q not found", name)
	}
	if err != nil {
		return none, fmt.Errorf("read persistentvolumeclaim %s/%s: %w", pod.Namespace, name, err)
	}
	if claim.DeletionTimestamp != nil {
		return none, fmt.Errorf("can't start pod because PVC %s/%s is being deleted", pod.Namespace, name)
	}
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "" {
		return none, fmt.Errorf("PVC %s/%s has non-bound phase (%q) or empty pvc.Spec.VolumeName (%q)", pod.Namespace, name, claim.Status.Phase, claim.Spec.VolumeName)
	}
	volume, err := client.Of[*corev1.PersistentVolume](s.client).Get(ctx, "", claim.Spec.VolumeName)
	if err != nil {
		return none, fmt.Errorf("read persistentvolume %s: %w", claim.Spec.VolumeName, err)
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.UID != "" && ref.UID != claim.UID {
		return none, fmt.Errorf("PV %s's claimRef does not name PVC %s/%s", volume.Name, pod.Namespace, name)
	}
	dir := ""
	switch {
	case volume.Spec.HostPath != nil:
		dir = volume.Spec.HostPath.Path
	case volume.Spec.Local != nil:
		dir = volume.Spec.Local.Path
	default:
		return none, fmt.Errorf("persistent volume %s is of a kind that kubette does not have; it knows hostPath and local", volume.Name)
	}
	if !s.config.AllowHostPath && !s.within(dir) {
		return none, fmt.Errorf("persistent volume %s lies at %s, outside the cluster's own volumes; this cluster does not allow that", volume.Name, dir)
	}
	capacity := volume.Spec.Capacity[corev1.ResourceStorage]
	return runtime.Volume{Persistent: dir, SizeLimit: capacity.Value()}, nil
}
