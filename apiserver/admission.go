package apiserver

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// Admission is one step between authorization and validation: it may change an object (Admit) and then refuse it
// (Validate). Every Admit runs before any Validate, as in Kubernetes.
type Admission interface {
	// Name is Kubernetes' plugin name, for example NamespaceLifecycle.
	Name() string
	Admit(ctx context.Context, request *AdmissionRequest) error
	Validate(ctx context.Context, request *AdmissionRequest) error
}

// AdmissionRequest is a write on its way in. Object is this request's own copy and may be changed by Admit.
type AdmissionRequest struct {
	Attributes  Attributes
	Kind        schema.GroupVersionKind
	Operation   string // CREATE, UPDATE, DELETE or CONNECT
	Object, Old runtime.Object
	DryRun      bool
	// Cluster reads the present state.
	Cluster kinds.Cluster
	// Warn adds a Warning header to the answer.
	Warn func(text string)
}
