package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver"
)

// NamespaceLifecycle keeps objects in namespaces that exist, keeps new ones out of a namespace that is going away, and
// keeps the namespaces that a cluster cannot do without.
type NamespaceLifecycle struct{ mutates }

func (NamespaceLifecycle) Name() string { return "NamespaceLifecycle" }

var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

func (NamespaceLifecycle) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	a := r.Attributes
	if a.Group == "" && a.Resource == "namespaces" {
		if r.Operation == remove && slices.Contains(immortal, a.Name) {
			return forbidden(r, errors.New("this namespace may not be deleted"))
		}
		return nil
	}
	if a.Namespace == "" || r.Operation == remove || a.Group == "authorization.k8s.io" {
		return nil
	}
	object, found := r.Cluster.Get("", "namespaces", "", a.Namespace)
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, a.Namespace)
	}
	namespace, ok := object.(*corev1.Namespace)
	if !ok || r.Operation != create || namespace.Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, nameOf(r),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace), Field: "metadata.namespace",
	})
	return err
}
