package admission

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"

	"kubette/apiserver"
)

// DefaultIngressClass gives an ingress that names no class the cluster's default one: of several, the newest, and of
// equally new ones the first by name.
type DefaultIngressClass struct{ mutates }

func (DefaultIngressClass) Name() string { return "DefaultIngressClass" }

const ingressClassAnnotation = "kubernetes.io/ingress.class"

func (DefaultIngressClass) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	ingress, ok := r.Object.(*networkingv1.Ingress)
	if !ok || r.Operation != create || !of(r, networkingv1.GroupName, "ingresses") || ingress.Spec.IngressClassName != nil {
		return nil
	}
	if _, old := ingress.Annotations[ingressClassAnnotation]; old {
		return nil
	}
	var chosen *networkingv1.IngressClass
	for _, object := range r.Cluster.List(networkingv1.GroupName, "ingressclasses", "") {
		class, ok := object.(*networkingv1.IngressClass)
		if ok && class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" &&
			(chosen == nil || chosen.CreationTimestamp.Before(&class.CreationTimestamp)) {
			chosen = class
		}
	}
	if chosen != nil {
		ingress.Spec.IngressClassName = &chosen.Name
	}
	return nil
}
