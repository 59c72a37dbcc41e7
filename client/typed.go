package client

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// Typed holds the verbs for one Go type, for example Of[*corev1.Pod](c).Get(ctx, "default", "web-1").
type Typed[T Object] struct {
	client   Interface
	resource schema.GroupVersionResource
}

// Of returns the verbs for the objects of type T, a pointer to a type of k8s.io/api.
func Of[T Object](c Interface) Typed[T] {
	return Typed[T]{client: c, resource: ResourceOf[T]()}
}

// ResourceOf returns the API resource that a Go type is served as. It panics for a type that no API group knows, which
// is a mistake in the program.
func ResourceOf[T Object]() schema.GroupVersionResource {
	resource, _ := meta.UnsafeGuessKindToResource(KindOf[T]())
	return resource
}

// KindOf returns the API kind of a Go type; it panics as ResourceOf does.
func KindOf[T Object]() schema.GroupVersionKind {
	typ := reflect.TypeFor[T]()
	if known, ok := kindOf.Load(typ); ok {
		return known.(schema.GroupVersionKind)
	}
	kind, err := KindOfObject(newObject[T]())
	if err != nil {
		panic(fmt.Sprintf("client: %v", err))
	}
	kindOf.Store(typ, kind)
	return kind
}

// kindOf remembers what the scheme says of each Go type, which never changes: to ask it takes an object.
var kindOf sync.Map

// KindOfObject returns the API kind of a typed object, whose own apiVersion and kind fields are usually empty.
func KindOfObject(object runtime.Object) (schema.GroupVersionKind, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return kinds[0], nil
}

func newObject[T Object]() T {
	var zero T
	return reflect.New(reflect.TypeOf(zero).Elem()).Interface().(T)
}

// Get reads one object. The result is shared: DeepCopy before you change it.
func (t Typed[T]) Get(ctx context.Context, namespace, name string) (T, error) {
	return as[T](t.client.Get(ctx, t.resource, namespace, name, metav1.GetOptions{}))
}

// List reads the objects of a namespace ("" for all).
func (t Typed[T]) List(ctx context.Context, namespace string, options metav1.ListOptions) ([]T, error) {
	list, err := t.client.List(ctx, t.resource, namespace, options)
	if err != nil {
		return nil, err
	}
	items := make([]T, 0, len(list.Items))
	for _, item := range list.Items {
		items = append(items, item.(T))
	}
	return items, nil
}

// Watch streams the changes of a namespace's objects ("" for all).
func (t Typed[T]) Watch(ctx context.Context, namespace string, options metav1.ListOptions) (watch.Interface, error) {
	return t.client.Watch(ctx, t.resource, namespace, options)
}

// Create stores a new object in its own namespace.
func (t Typed[T]) Create(ctx context.Context, object T) (T, error) {
	return as[T](t.client.Create(ctx, t.resource, object.GetNamespace(), object.GetName(), object, metav1.CreateOptions{}))
}

// Update replaces an object; the resourceVersion that it carries must be the current one.
func (t Typed[T]) Update(ctx context.Context, object T) (T, error) {
	return as[T](t.client.Update(ctx, t.resource, object.GetNamespace(), object.GetName(), object, metav1.UpdateOptions{}))
}

// UpdateStatus replaces an object's status and leaves the rest as it is stored.
func (t Typed[T]) UpdateStatus(ctx context.Context, object T) (T, error) {
	return as[T](t.client.Update(ctx, t.resource, object.GetNamespace(), object.GetName(), object, metav1.UpdateOptions{}, "status"))
}

// Patch changes parts of an object, or of a subresource.
func (t Typed[T]) Patch(ctx context.Context, namespace, name string, kind types.PatchType, data []byte, subresource ...string) (T, error) {
	return as[T](t.client.Patch(ctx, t.resource, namespace, name, kind, data, metav1.PatchOptions{}, subresource...))
}

// Delete removes an object, or starts its graceful deletion.
func (t Typed[T]) Delete(ctx context.Context, namespace, name string, options metav1.DeleteOptions) error {
	return t.client.Delete(ctx, t.resource, namespace, name, options)
}

func as[T Object](object runtime.Object, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	typed, ok := object.(T)
	if !ok {
		return zero, fmt.Errorf("the API answered a %T where a %T was expected", object, zero)
	}
	return typed, nil
}
