package client

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
)

// InProcess returns a client for a server in this process, which acts as one user. Every call passes the chain of an
// HTTP request from authorization on; nothing is encoded on the way.
func InProcess(server *apiserver.Server, u user.Info) Interface {
	return &inProcess{server: server, user: u, manager: apiserver.ManagerOf(u)}
}

type inProcess struct {
	server  *apiserver.Server
	user    user.Info
	manager string
}

func (c *inProcess) request(resource schema.GroupVersionResource, namespace, name string, subresource ...string) apiserver.Request {
	r := apiserver.Request{User: c.user, Resource: resource, Namespace: namespace, Name: name, Manager: c.manager}
	if len(subresource) > 0 {
		r.Subresource = subresource[0]
	}
	return r
}

func (c *inProcess) Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.GetOptions) (runtime.Object, error) {
	return object(c.server.Get(ctx, c.request(resource, namespace, name), options))
}

func (c *inProcess) List(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (*List, error) {
	page, err := c.server.List(ctx, c.request(resource, namespace, ""), options)
	if err != nil {
		return nil, err
	}
	list := &List{ResourceVersion: page.ResourceVersion, Continue: page.Continue, RemainingItemCount: page.Remaining,
		Items: make([]runtime.Object, len(page.Items))}
	for i, item := range page.Items {
		list.Items[i] = item
	}
	return list, nil
}

func (c *inProcess) Watch(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (watch.Interface, error) {
	return c.server.Watch(ctx, c.request(resource, namespace, ""), options)
}

// Create names the object in the request only for a subresource: what is created bears its own name, or gets one.
func (c *inProcess) Create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, o runtime.Object, options metav1.CreateOptions, subresource ...string) (runtime.Object, error) {
	if len(subresource) == 0 {
		name = ""
	}
	return object(c.server.Create(ctx, c.request(resource, namespace, name, subresource...), o, options))
}

func (c *inProcess) Update(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, o runtime.Object, options metav1.UpdateOptions, subresource ...string) (runtime.Object, error) {
	updated, _, err := c.server.Update(ctx, c.request(resource, namespace, name, subresource...), o, options)
	return object(updated, err)
}

func (c *inProcess) Patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresource ...string) (runtime.Object, error) {
	patched, _, err := c.server.Patch(ctx, c.request(resource, namespace, name, subresource...), kind, data, options)
	return object(patched, err)
}

func (c *inProcess) Delete(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, options metav1.DeleteOptions) error {
	_, _, err := c.server.Delete(ctx, c.request(resource, namespace, name), options)
	return err
}

func (c *inProcess) DeleteCollection(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.DeleteOptions, selection metav1.ListOptions) error {
	_, err := c.server.DeleteCollection(ctx, c.request(resource, namespace, ""), options, selection)
	return err
}

// object keeps a nil of a typed kind from becoming an object that is not nil.
func object[T runtime.Object](o T, err error) (runtime.Object, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}
