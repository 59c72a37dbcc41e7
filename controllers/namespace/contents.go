package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/loop"
)

// remains is what a namespace still holds after a pass.
type remains struct {
	objects    map[string]int // by resource.group
	finalizers map[string]int // how many objects a finalizer holds
	failures   []string
	estimate   time.Duration // until the pods have stopped
}

func (r *remains) count() (sum int) {
	for _, count := range r.objects {
		sum += count
	}
	return sum
}

func (r *remains) failure() error {
	if len(r.failures) == 1 {
		return fmt.Errorf("%s", r.failures[0])
	}
	return fmt.Errorf("%d failures, the first: %s", len(r.failures), r.failures[0])
}

// empty deletes what is in a namespace and says what remains. While pods do, nothing else is touched (the order that
// OrderedNamespaceDeletion gives since Kubernetes 1.33).
func (c *Controller) empty(ctx context.Context, namespace string) *remains {
	left := &remains{objects: map[string]int{}, finalizers: map[string]int{}}
	resources, _ := c.discover()
	resources = slices.DeleteFunc(slices.Clone(resources), func(r controllers.Resource) bool { return !r.Namespaced })
	isPods := func(r controllers.Resource) bool { return r.Group == "" && r.Resource == "pods" }
	for _, pods := range resources {
		if isPods(pods) {
			c.clear(ctx, namespace, pods, left)
		}
	}
	if left.count() > 0 || len(left.failures) > 0 {
		return left
	}
	for _, resource := range resources {
		if !isPods(resource) {
			c.clear(ctx, namespace, resource, left)
		}
	}
	return left
}

// clear deletes the objects of one resource, and counts those that stay.
func (c *Controller) clear(ctx context.Context, namespace string, resource controllers.Resource, left *remains) {
	if resource.Verbs != nil && (!slices.Contains(resource.Verbs, "delete") || !slices.Contains(resource.Verbs, "list")) {
		return
	}
	present, err := c.Client.List(ctx, resource.GroupVersionResource, namespace, metav1.ListOptions{})
	if err == nil && len(present.Items) > 0 {
		if err = c.deleteAll(ctx, namespace, resource, present.Items); err == nil {
			present, err = c.Client.List(ctx, resource.GroupVersionResource, namespace, metav1.ListOptions{})
		}
	}
	if err != nil {
		if !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
			left.failures = append(left.failures, fmt.Sprintf("%s: %v", resource.GroupResource(), err))
		}
		return
	}
	name := resource.Resource + "." + resource.Group
	for _, item := range present.Items {
		left.objects[name]++
		left.look(item)
	}
}

// deleteAll deletes in the background: what the objects own is in the namespace too, or is collected elsewhere.
func (c *Controller) deleteAll(ctx context.Context, namespace string, resource controllers.Resource, items []runtime.Object) error {
	loop.Say(ctx, "DeleteContent", "resource", resource.GroupResource().String(), "objects", len(items))
	options := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
	if resource.Verbs == nil || slices.Contains(resource.Verbs, "deletecollection") {
		return c.Client.DeleteCollection(ctx, resource.GroupVersionResource, namespace, options, metav1.ListOptions{})
	}
	return controllers.Parallel(len(items), func(i int) error {
		object, err := meta.Accessor(items[i])
		if err != nil {
			return err
		}
		return controllers.IgnoreNotFound(c.Client.Delete(ctx, resource.GroupVersionResource, namespace, object.GetName(), options))
	})
}

// look notes why an object is still there, and for a pod how long it may take.
func (r *remains) look(item runtime.Object) {
	if object, err := meta.Accessor(item); err == nil {
		for _, finalizer := range object.GetFinalizers() {
			r.finalizers[finalizer]++
		}
	}
	pod, ok := item.(*corev1.Pod)
	if !ok || controllers.IsFinished(pod) {
		return
	}
	grace := ptr.Deref(pod.DeletionGracePeriodSeconds, ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds))
	r.estimate = max(r.estimate, time.Duration(grace)*time.Second)
}
