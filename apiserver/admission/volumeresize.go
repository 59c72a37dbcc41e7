package admission

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"kubette/apiserver"
)

// PersistentVolumeClaimResize lets a claim ask for more only when its volume can grow: it is bound, and its class allows
// expansion.
type PersistentVolumeClaimResize struct{ validates }

func (PersistentVolumeClaimResize) Name() string { return "PersistentVolumeClaimResize" }

func (PersistentVolumeClaimResize) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	claim, ok := r.Object.(*corev1.PersistentVolumeClaim)
	if !ok || r.Operation != update || !of(r, "", "persistentvolumeclaims") {
		return nil
	}
	old, ok := r.Old.(*corev1.PersistentVolumeClaim)
	if !ok {
		return nil
	}
	size, before := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case size.Cmp(before) <= 0:
		return nil
	case old.Status.Phase != corev1.ClaimBound:
		return forbidden(r, errors.New("Only bound persistent volume claims can be expanded")) //nolint:staticcheck // Kubernetes' words
	case !expandable(r, claim, old):
		return forbidden(r, errors.New("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"))
	}
	return nil
}

func expandable(r *apiserver.AdmissionRequest, claim, old *corev1.PersistentVolumeClaim) bool {
	name := storageClassOf(claim)
	if name == "" || name != storageClassOf(old) {
		return false
	}
	object, found := r.Cluster.Get(storagev1.GroupName, "storageclasses", "", name)
	class, ok := object.(*storagev1.StorageClass)
	return found && ok && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

func storageClassOf(claim *corev1.PersistentVolumeClaim) string {
	if name, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name
	}
	if claim.Spec.StorageClassName != nil {
		return *claim.Spec.StorageClassName
	}
	return ""
}
