package controllertest

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/client"
)

// Faults is a client whose writes fail, and whose news come late, when a test wants.
type Faults struct {
	client.Interface
	mu   sync.Mutex
	fail func(verb, resource, name string) error
	lags map[string]time.Duration // by resource
}

// Lag makes news of a resource come late: the controllers' copies of it are so old.
func (f *Faults) Lag(resource string, by time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lags == nil {
		f.lags = map[string]time.Duration{}
	}
	f.lags[resource] = by
}

// Watch implements client.Interface.
func (f *Faults) Watch(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (watch.Interface, error) {
	prompt, err := f.Interface.Watch(ctx, resource, namespace, options)
	if err != nil {
		return nil, err
	}
	late := &lateWatch{Interface: prompt, events: make(chan watch.Event), stopped: make(chan struct{})}
	go late.run(func() time.Duration {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.lags[resource.Resource]
	})
	return late, nil
}

// lateWatch is a watch that holds each event back for a while.
type lateWatch struct {
	watch.Interface
	events  chan watch.Event
	stop    sync.Once
	stopped chan struct{}
}

func (w *lateWatch) run(lag func() time.Duration) {
	defer close(w.events)
	for event := range w.Interface.ResultChan() {
		time.Sleep(lag()) // virtual time
		select {
		case w.events <- event:
		case <-w.stopped:
			return
		}
	}
}

// ResultChan implements watch.Interface.
func (w *lateWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface.
func (w *lateWatch) Stop() {
	w.stop.Do(func() { close(w.stopped) })
	w.Interface.Stop()
}

// Set makes calls fail with what a function returns, if that is not nil. The verb is get, create, update, patch, delete or
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

// Get implements client.Interface.
func (f *Faults) Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.GetOptions) (runtime.Object, error) {
	if err := f.check("get", resource, name); err != nil {
		return nil, err
	}
	return f.Interface.Get(ctx, resource, namespace, name, options)
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
