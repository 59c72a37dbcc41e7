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
	estimate   int64 // seconds until what holds the content may be done
	pods       bool  // pods remain, so that nothing else was touched
}

// finalizerEstimate is how many seconds finalizers are given before we look again.
const finalizerEstimate = 15

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
func (c *Controller) empty(ctx context.Context, namespace *corev1.Namespace) *remains {
	left := &remains{objects: map[string]int{}, finalizers: map[string]int{}}
	resources, _ := c.discover()
	resources = slices.DeleteFunc(slices.Clone(resources), func(r controllers.Resource) bool { return !r.Namespaced })
	isPods := func(r controllers.Resource) bool { return r.Group == "" && r.Resource == "pods" }
	for _, pods := range resources {
		if isPods(pods) {
			c.clear(ctx, namespace, pods, left)
		}
	}
	if left.pods = left.count() > 0; left.pods {
		return left
	}
	for _, resource := range resources {
		if !isPods(resource) {
			c.clear(ctx, namespace, resource, left)
		}
	}
	return left
}

// clear deletes the objects of one resource, and counts those that stay. Those that have neither a finalizer nor time to
// stop should not.
func (c *Controller) clear(ctx context.Context, namespace *corev1.Namespace, resource controllers.Resource, left *remains) {
	if resource.Verbs != nil && (!slices.Contains(resource.Verbs, "delete") || !slices.Contains(resource.Verbs, "list")) {
		return
	}
	present, err := c.Client.List(ctx, resource.GroupVersionResource, namespace.Name, metav1.ListOptions{})
	var estimate int64
	if err == nil && len(present.Items) > 0 {
		estimate = stopping(present.Items, namespace.DeletionTimestamp.Time)
		if err = c.deleteAll(ctx, namespace.Name, resource, present.Items); err == nil {
			present, err = c.Client.List(ctx, resource.GroupVersionResource, namespace.Name, metav1.ListOptions{})
		}
	}
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
		return
	case err != nil:
		left.failures = append(left.failures, err.Error())
		left.estimate = max(left.estimate, estimate)
		return
	case len(present.Items) == 0:
		return
	}
	left.objects[resource.Resource+"."+resource.Group] += len(present.Items)
	held := left.noteFinalizers(present.Items)
	switch {
	case estimate == 0 && held:
		estimate = finalizerEstimate
	case estimate == 0:
		left.failures = append(left.failures,
			fmt.Sprintf("unexpected items still remain in namespace: %s for gvr: %v", namespace.Name, resource.GroupVersionResource))
	}
	left.estimate = max(left.estimate, estimate)
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

// noteFinalizers notes what holds objects, and says whether anything does.
func (r *remains) noteFinalizers(items []runtime.Object) (held bool) {
	for _, item := range items {
		if object, err := meta.Accessor(item); err == nil {
			for _, finalizer := range object.GetFinalizers() {
				r.finalizers[finalizer]++
				held = true
			}
		}
	}
	return held
}

// stopping says how many seconds pods may take to stop: as long as the most patient one that runs, counted from the
// deletion of the namespace. 0 means that they have had their time.
func stopping(items []runtime.Object, deleted time.Time) (seconds int64) {
	for _, item := range items {
		if pod, ok := item.(*corev1.Pod); ok && !controllers.IsFinished(pod) {
			seconds = max(seconds, ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, 0))
		}
	}
	if time.Since(deleted) >= time.Duration(seconds)*time.Second {
		return 0
	}
	return seconds
}
