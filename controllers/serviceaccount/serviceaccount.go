package serviceaccount

import (
	"context"
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
	Name = "serviceaccount-controller"

	account = "default"
)

// Controller keeps the default service accounts.
type Controller struct {
	controllers.Base
	namespaces client.Informer[*corev1.Namespace]
	accounts   client.Informer[*corev1.ServiceAccount]
	loop       *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:       base,
		namespaces: client.InformerFor[*corev1.Namespace](base.Informers),
		accounts:   client.InformerFor[*corev1.ServiceAccount](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.namespaces.Handle(client.Handler[*corev1.Namespace]{
		Add: func(n *corev1.Namespace) { c.loop.Add(n.Name, controllers.Cause("namespaces", n, "added")) },
		Update: func(_, n *corev1.Namespace) {
			if _, ok := c.accounts.Get(n.Name, account); !ok {
				c.loop.Add(n.Name, controllers.Cause("namespaces", n, "changed"))
			}
		},
	})
	c.accounts.Handle(client.Handler[*corev1.ServiceAccount]{
		Delete: func(a *corev1.ServiceAccount) {
			if a.Name == account {
				c.loop.Add(a.Namespace, controllers.Cause("serviceaccounts", a, "deleted"))
			}
		},
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile makes a namespace's default service account if there is none.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	namespace, ok := c.namespaces.Get("", name)
	if !ok || namespace.Status.Phase == corev1.NamespaceTerminating || namespace.DeletionTimestamp != nil {
		return 0, nil
	}
	if _, ok := c.accounts.Get(name, account); ok {
		return 0, nil
	}
	loop.Say(ctx, "CreateServiceAccount", "name", account)
	_, err := client.Of[*corev1.ServiceAccount](c.Client).Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: name},
	})
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return 0, nil
	}
	return 0, err
}
