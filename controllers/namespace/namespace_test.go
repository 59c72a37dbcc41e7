package namespace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
		if got, want := condition(n, corev1.NamespaceContentRemaining), "False All content successfully removed"; got != want {
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

// What the conditions tell, in their order, some time after a namespace was deleted.
func TestWhatTheConditionsTell(t *testing.T) {
	good := []string{
		"NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered",
		"NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed",
		"NamespaceDeletionContentFailure False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		"NamespaceContentRemaining False ContentRemoved: All content successfully removed",
		"NamespaceFinalizersRemaining False ContentHasNoFinalizers: All content-preserving finalizers finished",
	}
	but := func(index int, text string) []string {
		all := slices.Clone(good)
		all[index] = text
		return all
	}
	pod := func(c *controllertest.Cluster, finalizers ...string) {
		c.Bind(controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team", Finalizers: finalizers},
			Spec: controllertest.Template("web", "nginx").Spec}), "worker-1")
	}
	for name, test := range map[string]struct {
		content func(c *controllertest.Cluster)
		after   time.Duration
		want    []string
	}{
		"a pod stops": {content: func(c *controllertest.Cluster) { pod(c) }, after: 29 * time.Second, want: good},
		"a pod takes too long": {content: func(c *controllertest.Cluster) { pod(c) }, after: time.Minute, want: but(2,
			"NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: "+
				"unexpected items still remain in namespace: team for gvr: /v1, Resource=pods")},
		"a pod is held": {content: func(c *controllertest.Cluster) { pod(c, "example.org/hold") }, after: time.Minute, want: good},
		"a write fails": {content: func(c *controllertest.Cluster) {
			controllertest.Create(c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key", Namespace: "team"}})
			c.Faults.Set(func(verb, resource, _ string) error {
				if verb == "deletecollection" && resource == "secrets" {
					return errors.New("lost")
				}
				return nil
			})
		}, want: but(2, "NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: lost")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
				test.content(c)
				c.Settle()
				controllertest.Delete[*corev1.Namespace](c, "", "team")
				c.Pass(test.after)
				var got []string
				for _, condition := range controllertest.Get[*corev1.Namespace](c, "", "team").Status.Conditions {
					got = append(got, fmt.Sprintf("%s %s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An object that a finalizer holds is looked at again after eight seconds: half of the fifteen that it is given, and one.
func TestWhenWhatIsHeldIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
		controllertest.Create(c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: "team", Finalizers: []string{"example.com/hold"}}})
		controllertest.Delete[*corev1.Namespace](c, "", "team")
		c.Settle()
		controllertest.Change(c, "team", "held", func(m *corev1.ConfigMap) { m.Finalizers = nil })
		c.Pass(7 * time.Second)
		controllertest.Get[*corev1.Namespace](c, "", "team")
		c.Pass(2 * time.Second)
		if _, err := client.Of[*corev1.Namespace](c.Client).Get(context.Background(), "", "team"); !apierrors.IsNotFound(err) {
			t.Errorf("the namespace is still there: %v", err)
		}
	})
}
