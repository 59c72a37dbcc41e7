package namespace_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/namespace"
	"kubette/controllers/rootca"
	"kubette/controllers/serviceaccount"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{namespace.New(base, controllertest.Discovery), serviceaccount.New(base), rootca.New(base, []byte("PEM"))}
	})
}

func TestNewNamespaceIsFurnished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
		c.Settle()
		controllertest.Get[*corev1.ServiceAccount](c, "team", "default")
		if ca := controllertest.Get[*corev1.ConfigMap](c, "team", "kube-root-ca.crt"); ca.Data["ca.crt"] != "PEM" {
			t.Errorf("the CA is %q", ca.Data["ca.crt"])
		}
		controllertest.Delete[*corev1.ServiceAccount](c, "team", "default")
		controllertest.Change(c, "team", "kube-root-ca.crt", func(m *corev1.ConfigMap) { m.Data = nil })
		c.Settle()
		controllertest.Get[*corev1.ServiceAccount](c, "team", "default")
		if ca := controllertest.Get[*corev1.ConfigMap](c, "team", "kube-root-ca.crt"); ca.Data["ca.crt"] != "PEM" {
			t.Errorf("the CA was not mended: %q", ca.Data["ca.crt"])
		}
	})
}

func condition(n *corev1.Namespace, kind corev1.NamespaceConditionType) string {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Message
		}
	}
	return ""
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
		controllertest.Create(c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: "team", Finalizers: []string{"example.com/hold"}}})
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team"}, Spec: controllertest.Template("web", "nginx").Spec}
		c.Bind(controllertest.Create(c, pod), "worker-1")
		c.Settle()
		controllertest.Delete[*corev1.Namespace](c, "", "team")
		c.Settle()
		n := controllertest.Get[*corev1.Namespace](c, "", "team")
		if got, want := condition(n, corev1.NamespaceContentRemaining), "True Some resources are remaining: pods. has 1 resource instances"; got != want {
			t.Errorf("while the pod stops: %q, wanted %q", got, want)
		}
		controllertest.Get[*corev1.ServiceAccount](c, "team", "default") // pods go first
		c.Phase(controllertest.Get[*corev1.Pod](c, "team", "web"), corev1.PodSucceeded)
		controllertest.Delete[*corev1.Pod](c, "team", "web", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.Settle()
		n = controllertest.Get[*corev1.Namespace](c, "", "team")
		if got, want := condition(n, corev1.NamespaceFinalizersRemaining), "True Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"; got != want {
			t.Errorf("while the config map is held: %q, wanted %q", got, want)
		}
		controllertest.Change(c, "team", "held", func(m *corev1.ConfigMap) { m.Finalizers = nil })
		c.Pass(20 * time.Second)
		if _, err := client.Of[*corev1.Namespace](c.Client).Get(context.Background(), "", "team"); !apierrors.IsNotFound(err) {
			t.Errorf("the namespace is still there: %v", err)
		}
	})
}
