package controllertest

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// Faults is a client whose writes fail when a test wants.
type Faults struct {
	client.Interface
	mu   sync.Mutex
	fail func(verb, resource, name string) error
}

// Set makes writes fail with what a function returns, if that is not nil. The verb is create, update, patch, delete or
// deletecollection; with a subresource it is, for example, update/status. A nil function ends the faults.
func (f *Faults) Set(fail func(verb, resource, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *Faults) check(verb string, resource schema.GroupVersionResource, name string, subresource ...string) error {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	if len(subresource) > 0 {
		verb += "/" + subresource[0]
	}
	return fail(verb, resource.Resource, name)
}

// Create implements client.Interface.
func (f *Faults) Create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.CreateOptions, subresource ...string) (runtime.Object, error) {
	if err := f.check("create", resource, name, subresource...); err != nil {
		return nil, err
	}
	return f.Interface.Create(ctx, resource, namespace, name, object, options, subresource...)
}

// Update implements client.Interface.
func (f *Faults) Update(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.UpdateOptions, subresource ...string) (runtime.Object, error) {
	if err := f.check("update", resource, name, subresource...); err != nil {
		return nil, err
	}
	return f.Interface.Update(ctx, resource, namespace, name, object, options, subresource...)
}

// Patch implements client.Interface.
func (f *Faults) Patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresource ...string) (runtime.Object, error) {
	if err := f.check("patch", resource, name, subresource...); err != nil {
		return nil, err
	}
	return f.Interface.Patch(ctx, resource, namespace, name, kind, data, options, subresource...)
}

// Delete implements client.Interface.
func (f *Faults) Delete(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.DeleteOptions) error {
	if err := f.check("delete", resource, name); err != nil {
		return err
	}
	return f.Interface.Delete(ctx, resource, namespace, name, options)
}

// DeleteCollection implements client.Interface.
func (f *Faults) DeleteCollection(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.DeleteOptions, list metav1.ListOptions) error {
	if err := f.check("deletecollection", resource, ""); err != nil {
		return err
	}
	return f.Interface.DeleteCollection(ctx, resource, namespace, options, list)
}
