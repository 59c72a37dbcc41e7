package admission

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver"
)

// Default returns the steps that are on in every cluster, in Kubernetes' order.
func Default() []apiserver.Admission {
	return []apiserver.Admission{
		NamespaceLifecycle{}, LimitRanger{}, ServiceAccount{}, NodeRestriction{}, TaintNodesByCondition{}, NewPodSecurity(), Priority{},
		DefaultTolerationSeconds{}, DefaultStorageClass{}, StorageObjectInUseProtection{}, PersistentVolumeClaimResize{}, RuntimeClass{},
		DefaultIngressClass{}, &ResourceQuota{},
	}
}

// The operations of a request.
const (
	create = "CREATE"
	update = "UPDATE"
	remove = "DELETE"
)

// mutates is embedded by a step that only changes objects, validates by one that only refuses them.
type mutates struct{}

func (mutates) Validate(context.Context, *apiserver.AdmissionRequest) error { return nil }

type validates struct{}

func (validates) Admit(context.Context, *apiserver.AdmissionRequest) error { return nil }

// of says whether a request is about a resource itself, not a part of it.
func of(r *apiserver.AdmissionRequest, group, resource string) bool {
	return r.Attributes.Group == group && r.Attributes.Resource == resource && r.Attributes.Subresource == ""
}

// newPod returns the pod of a request that creates one.
func newPod(r *apiserver.AdmissionRequest) (*corev1.Pod, bool) {
	pod, ok := r.Object.(*corev1.Pod)
	return pod, ok && r.Operation == create && of(r, "", "pods")
}

// resizes says that a request gives a pod other resources.
func resizes(r *apiserver.AdmissionRequest) bool {
	a := r.Attributes
	return a.Group == "" && a.Resource == "pods" && a.Subresource == "resize"
}

// forbidden refuses a request, in the words that Kubernetes gives to every refusal by admission.
func forbidden(r *apiserver.AdmissionRequest, err error) error {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		return err
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: r.Attributes.Group, Resource: r.Attributes.Resource}, nameOf(r), err)
}

// nameOf is the name of a request's object, or what there is of it before one is generated.
func nameOf(r *apiserver.AdmissionRequest) string {
	if r.Attributes.Name != "" {
		return r.Attributes.Name
	}
	if r.Object != nil {
		if object, err := meta.Accessor(r.Object); err == nil {
			switch {
			case object.GetName() != "":
				return object.GetName()
			case object.GetGenerateName() != "":
				return object.GetGenerateName()
			}
		}
	}
	return "Unknown"
}

// eachContainer calls a function for the init containers and then the containers of a pod.
func eachContainer(spec *corev1.PodSpec, visit func(c *corev1.Container)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i])
	}
}
