package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "namespace-controller"

	workers = 10 // Kubernetes' default
)

// Controller empties namespaces.
type Controller struct {
	controllers.Base
	discover   controllers.Discovery
	namespaces client.Informer[*corev1.Namespace]
	pods       client.Informer[*corev1.Pod]
	loop       *loop.Loop[string]
}

// New makes the controller. discover tells the kinds that there are; those without namespaces are passed over.
func New(base controllers.Base, discover controllers.Discovery) *Controller {
	c := &Controller{
		Base:       base,
		discover:   discover,
		namespaces: client.InformerFor[*corev1.Namespace](base.Informers),
		pods:       client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, MinBackoff: 5 * time.Millisecond, MaxBackoff: time.Minute, Machine: base.Machine})
	ask := func(n *corev1.Namespace, what string) {
		if n.DeletionTimestamp != nil {
			c.loop.Add(n.Name, controllers.Cause("namespaces", n, what))
		}
	}
	c.namespaces.Handle(client.Handler[*corev1.Namespace]{
		Add:    func(n *corev1.Namespace) { ask(n, "added") },
		Update: func(_, n *corev1.Namespace) { ask(n, "changed") },
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{Delete: func(pod *corev1.Pod) {
		n, ok := c.namespaces.Get("", pod.Namespace)
		if ok && n.DeletionTimestamp != nil && len(c.pods.List(pod.Namespace, nil)) == 0 {
			c.loop.Add(n.Name, controllers.Cause("pods", pod, "deleted, the last one"))
		}
	}})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile empties a namespace that is being deleted as far as it can at this moment.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	namespace, err := client.Of[*corev1.Namespace](c.Client).Get(ctx, "", name)
	switch {
	case apierrors.IsNotFound(err):
		loop.Say(ctx, "Gone")
		return 0, nil
	case err != nil:
		return 0, err
	case namespace.DeletionTimestamp == nil:
		return 0, nil
	case !slices.Contains(namespace.Spec.Finalizers, corev1.FinalizerKubernetes):
		loop.Say(ctx, "HeldByOthers", "finalizers", namespace.Spec.Finalizers)
		return 0, nil
	}
	if namespace, err = c.markTerminating(ctx, namespace); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	left := c.empty(ctx, namespace)
	if err := c.report(ctx, namespace, left); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	if len(left.failures) > 0 {
		return 0, fmt.Errorf("namespace %s: %w", name, left.failure())
	}
	if left.count() > 0 {
		loop.Say(ctx, "ContentRemains", "objects", left.count(), "estimate", left.estimate)
		return time.Duration(left.estimate/2+1) * time.Second, nil
	}
	loop.Say(ctx, "Empty")
	return 0, c.finalize(ctx, name)
}

func (c *Controller) markTerminating(ctx context.Context, namespace *corev1.Namespace) (*corev1.Namespace, error) {
	if namespace.Status.Phase == corev1.NamespaceTerminating {
		return namespace, nil
	}
	changed := namespace.DeepCopy()
	changed.Status.Phase = corev1.NamespaceTerminating
	return client.Of[*corev1.Namespace](c.Client).UpdateStatus(ctx, changed)
}

// finalize takes the finalizer off; when no other holds it, the namespace is gone with that.
func (c *Controller) finalize(ctx context.Context, name string) error {
	namespace, err := client.Of[*corev1.Namespace](c.Client).Get(ctx, "", name)
	if err != nil {
		return controllers.IgnoreNotFound(err)
	}
	changed := namespace.DeepCopy()
	changed.Spec.Finalizers = slices.DeleteFunc(changed.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
	_, err = c.Client.Update(ctx, client.ResourceOf[*corev1.Namespace](), "", name, changed, metav1.UpdateOptions{}, "finalize")
	return controllers.IgnoreNotFound(err)
}
