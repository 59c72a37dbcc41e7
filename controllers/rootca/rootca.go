package rootca

import (
	"context"
	"maps"
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
	Name = "root-ca-certificate-publisher-controller"

	configMap       = "kube-root-ca.crt"
	descriptionName = "kubernetes.io/description"
	description     = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
		"No other usage is guaranteed across distributions of Kubernetes clusters."
)

// Controller publishes the certificate.
type Controller struct {
	controllers.Base
	ca         string
	namespaces client.Informer[*corev1.Namespace]
	maps       client.Informer[*corev1.ConfigMap]
	loop       *loop.Loop[string]
}

// New makes the controller; ca is the authority's certificate in PEM.
func New(base controllers.Base, ca []byte) *Controller {
	c := &Controller{
		Base:       base,
		ca:         string(ca),
		namespaces: client.InformerFor[*corev1.Namespace](base.Informers),
		maps:       client.InformerFor[*corev1.ConfigMap](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.namespaces.Handle(client.Handler[*corev1.Namespace]{
		Add: func(n *corev1.Namespace) { c.loop.Add(n.Name, controllers.Cause("namespaces", n, "added")) },
	})
	ask := func(m *corev1.ConfigMap, what string) {
		if m.Name == configMap {
			c.loop.Add(m.Namespace, controllers.Cause("configmaps", m, what))
		}
	}
	c.maps.Handle(client.Handler[*corev1.ConfigMap]{
		Update: func(_, m *corev1.ConfigMap) { ask(m, "changed") },
		Delete: func(m *corev1.ConfigMap) { ask(m, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile makes or mends a namespace's ConfigMap.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	namespace, ok := c.namespaces.Get("", name)
	if !ok || namespace.Status.Phase == corev1.NamespaceTerminating || namespace.DeletionTimestamp != nil {
		return 0, nil
	}
	data := map[string]string{"ca.crt": c.ca}
	there, ok := c.maps.Get(name, configMap)
	if !ok {
		return 0, c.create(ctx, name, data)
	}
	if maps.Equal(there.Data, data) && there.Annotations[descriptionName] != "" {
		return 0, nil
	}
	loop.Say(ctx, "MendConfigMap", "name", configMap)
	mended := there.DeepCopy()
	mended.Data = data
	if mended.Annotations == nil {
		mended.Annotations = map[string]string{}
	}
	mended.Annotations[descriptionName] = description
	_, err := client.Of[*corev1.ConfigMap](c.Client).Update(ctx, mended)
	return 0, controllers.IgnoreNotFound(err)
}

func (c *Controller) create(ctx context.Context, namespace string, data map[string]string) error {
	loop.Say(ctx, "CreateConfigMap", "name", configMap)
	_, err := client.Of[*corev1.ConfigMap](c.Client).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: configMap, Namespace: namespace, Annotations: map[string]string{descriptionName: description}},
		Data:       data,
	})
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
