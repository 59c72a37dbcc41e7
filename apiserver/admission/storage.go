package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"kubette/apiserver"
)

// DefaultStorageClass gives a claim that names no class the cluster's default one: of several, the newest.
type DefaultStorageClass struct{ mutates }

func (DefaultStorageClass) Name() string { return "DefaultStorageClass" }

const defaultStorageClassAnnotation = "storageclass.kubernetes.io/is-default-class"

func (DefaultStorageClass) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	claim, ok := r.Object.(*corev1.PersistentVolumeClaim)
	if !ok || r.Operation != create || !of(r, "", "persistentvolumeclaims") {
		return nil
	}
	if _, old := claim.Annotations[corev1.BetaStorageClassAnnotation]; old || claim.Spec.StorageClassName != nil {
		return nil
	}
	var newest *storagev1.StorageClass
	for _, object := range r.Cluster.List(storagev1.GroupName, "storageclasses", "") {
		class, ok := object.(*storagev1.StorageClass)
		if ok && class.Annotations[defaultStorageClassAnnotation] == "true" &&
			(newest == nil || newest.CreationTimestamp.Before(&class.CreationTimestamp)) {
			newest = class
		}
	}
	if newest != nil {
		claim.Spec.StorageClassName = &newest.Name
	}
	return nil
}

// StorageObjectInUseProtection keeps a claim or a volume that is deleted while in use until nobody uses it any more: by a
// finalizer, which a controller takes away then.
type StorageObjectInUseProtection struct{ mutates }

func (StorageObjectInUseProtection) Name() string { return "StorageObjectInUseProtection" }

func (StorageObjectInUseProtection) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	if r.Operation != create || r.Attributes.Subresource != "" {
		return nil
	}
	switch object := r.Object.(type) {
	case *corev1.PersistentVolumeClaim:
		object.Finalizers = withFinalizer(object.Finalizers, "kubernetes.io/pvc-protection")
	case *corev1.PersistentVolume:
		object.Finalizers = withFinalizer(object.Finalizers, "kubernetes.io/pv-protection")
	}
	return nil
}

func withFinalizer(finalizers []string, name string) []string {
	if slices.Contains(finalizers, name) {
		return finalizers
	}
	return append(finalizers, name)
}
