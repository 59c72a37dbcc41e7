package cluster

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver"
)

// externalIPs is Kubernetes' admission plugin DenyServiceExternalIPs, for clusters that want it: services keep the
// external addresses that they have, but get no new ones.
type externalIPs struct{ choice string }

// Name implements apiserver.Admission.
func (externalIPs) Name() string { return "DenyServiceExternalIPs" }

// Admit implements apiserver.Admission.
func (externalIPs) Admit(context.Context, *apiserver.AdmissionRequest) error { return nil }

// Validate implements apiserver.Admission.
func (e externalIPs) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	service, ok := r.Object.(*corev1.Service)
	if !ok || e.choice != ExternalIPsRefuse || r.Attributes.Subresource != "" || r.Operation != "CREATE" && r.Operation != "UPDATE" {
		return nil
	}
	var before []string
	if old, ok := r.Old.(*corev1.Service); ok && old != nil {
		before = old.Spec.ExternalIPs
	}
	for _, address := range service.Spec.ExternalIPs {
		if !slices.Contains(before, address) {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, service.Name,
				errors.New("Use of external IPs is denied by admission control"))
		}
	}
	return nil
}
