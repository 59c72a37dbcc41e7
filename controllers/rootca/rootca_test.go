package rootca_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/rootca"
	"kubette/controllers/serviceaccount"
)

const (
	name        = "kube-root-ca.crt"
	certificate = "-----BEGIN CERTIFICATE-----\nus\n-----END CERTIFICATE-----\n"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{rootca.New(base, []byte(certificate)), serviceaccount.New(base)}
	})
}

func want(c *controllertest.Cluster, namespace string) {
	c.T.Helper()
	c.Settle()
	got := controllertest.Get[*corev1.ConfigMap](c, namespace, name)
	if len(got.Data) != 1 || got.Data["ca.crt"] != certificate || got.Annotations["kubernetes.io/description"] == "" {
		c.T.Errorf("%s: data %q, annotations %q", namespace, got.Data, got.Annotations)
	}
}

func TestEveryNamespaceHasTheCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		want(c, "default")
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "school"}})
		want(c, "school")

		controllertest.Delete[*corev1.ConfigMap](c, "school", name)
		want(c, "school")
		controllertest.Change(c, "school", name, func(m *corev1.ConfigMap) { m.Data = map[string]string{"ca.crt": "others", "more": "x"} })
		want(c, "school")
		controllertest.Change(c, "school", name, func(m *corev1.ConfigMap) { m.Annotations = nil })
		want(c, "school")
	})
}

func TestFailingWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		c.Settle()
		c.Faults.Set(func(verb, _, _ string) error { return errors.New("lost") })
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "school"}})
		controllertest.Change(c, "default", name, func(m *corev1.ConfigMap) { m.Data = nil })
		c.Pass(time.Minute)
		c.Faults.Set(nil)
		c.Pass(time.Minute)
		want(c, "default")
		want(c, "school")
		controllertest.Get[*corev1.ServiceAccount](c, "school", "default")
	})
}

// Nothing is made in a namespace on its way out, which would otherwise never be empty.
func TestNothingComesBackIntoANamespaceThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "school"}})
		want(c, "school")
		controllertest.Delete[*corev1.Namespace](c, "", "school")
		c.Settle() // a controller that has not heard of it yet is refused by admission, which this server has none of
		controllertest.Delete[*corev1.ConfigMap](c, "school", name)
		controllertest.Delete[*corev1.ServiceAccount](c, "school", "default")
		c.Pass(time.Minute)
		if _, err := client.Of[*corev1.ConfigMap](c.Client).Get(context.Background(), "school", name); !apierrors.IsNotFound(err) {
			t.Errorf("the config map is there again: %v", err)
		}
		if _, err := client.Of[*corev1.ServiceAccount](c.Client).Get(context.Background(), "school", "default"); !apierrors.IsNotFound(err) {
			t.Errorf("the service account is there again: %v", err)
		}
	})
}
