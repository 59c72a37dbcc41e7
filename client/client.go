package client

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/store"
)

// Object is what the API stores: a Kubernetes type with metadata.
type Object interface {
	runtime.Object
	metav1.Object
}

// Interface holds the verbs of the API for every resource. Errors are apierrors.APIStatus values, as over HTTP.
// Objects returned are shared and immutable; objects passed in are not kept and not changed.
type Interface interface {
	Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.GetOptions) (runtime.Object, error)
	// List returns the items of one resource; namespace "" means all.
	List(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (*List, error)
	// Watch streams changes. Like client-go's: the caller stops the watch; events of type watch.Error carry a *metav1.Status.
	Watch(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (watch.Interface, error)
	// Create stores an object. With a subresource ("binding", "eviction", "token") it posts to that of the named object.
	Create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.CreateOptions, subresource ...string) (runtime.Object, error)
	// Update replaces an object, or with a subresource ("status", "scale", …) that part of it.
	Update(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.UpdateOptions, subresource ...string) (runtime.Object, error)
	Patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresource ...string) (runtime.Object, error)
	Delete(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.DeleteOptions) error
	DeleteCollection(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.DeleteOptions, selection metav1.ListOptions) error
}

// List is one page of a list at one revision.
type List struct {
	ResourceVersion    string
	Continue           string
	RemainingItemCount *int64
	Items              []runtime.Object
}

// WithCause names what leads to the writes made under a context, see store.WithCause.
func WithCause(ctx context.Context, cause string) context.Context { return store.WithCause(ctx, cause) }
