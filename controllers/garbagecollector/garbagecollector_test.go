package garbagecollector_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/deployment"
	"kubette/controllers/garbagecollector"
	"kubette/controllers/replicaset"
)

func start(t *testing.T, workloads bool) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		running := []controllers.Controller{garbagecollector.New(base, controllertest.Discovery)}
		if workloads {
			running = append(running, replicaset.New(base), deployment.New(base))
		}
		return running
	})
}

func configMap(name string, owners ...*corev1.ConfigMap) *corev1.ConfigMap {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	for _, owner := range owners {
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: ptr.To(true)})
	}
	return m
}

func names(c *controllertest.Cluster) map[string]bool {
	found := map[string]bool{}
	for _, m := range controllertest.List[*corev1.ConfigMap](c, "default") {
		found[m.Name] = true
	}
	return found
}

func want(c *controllertest.Cluster, when string, wanted ...string) {
	c.T.Helper()
	found := names(c)
	for _, name := range wanted {
		if !found[name] {
			c.T.Errorf("%s: %s is gone", when, name)
		}
		delete(found, name)
	}
	for name := range found {
		c.T.Errorf("%s: %s is still there", when, name)
	}
}

func TestPropagation(t *testing.T) {
	for _, test := range []struct {
		policy metav1.DeletionPropagation
		left   []string
	}{
		{metav1.DeletePropagationBackground, nil},
		{metav1.DeletePropagationForeground, nil},
		{metav1.DeletePropagationOrphan, []string{"child", "grandchild"}},
	} {
		t.Run(string(test.policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, false)
				owner := controllertest.Create(c, configMap("owner"))
				child := controllertest.Create(c, configMap("child", owner))
				controllertest.Create(c, configMap("grandchild", child))
				c.Settle()
				want(c, "before", "owner", "child", "grandchild")
				controllertest.Delete[*corev1.ConfigMap](c, "default", "owner", metav1.DeleteOptions{PropagationPolicy: &test.policy})
				c.Pass(time.Second)
				want(c, "after", test.left...)
				for _, m := range controllertest.List[*corev1.ConfigMap](c, "default") {
					if m.Name == "child" && len(m.OwnerReferences) != 0 {
						t.Errorf("the orphan still refers to %v", m.OwnerReferences)
					}
				}
			})
		})
	}
}

func TestForegroundWaitsForDependents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, false)
		owner := controllertest.Create(c, configMap("owner"))
		held := configMap("held", owner)
		held.Finalizers = []string{"example.com/hold"}
		controllertest.Create(c, held)
		c.Settle()
		controllertest.Delete[*corev1.ConfigMap](c, "default", "owner", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)})
		c.Pass(time.Minute)
		want(c, "while the dependent is held", "owner", "held")
		controllertest.Change(c, "default", "held", func(m *corev1.ConfigMap) { m.Finalizers = nil })
		c.Pass(time.Second)
		want(c, "when it was let go")
	})
}

func TestOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, false)
		first, second := controllertest.Create(c, configMap("first")), controllertest.Create(c, configMap("second"))
		controllertest.Create(c, configMap("both", first, second))
		absent := configMap("never")
		absent.UID = "00000000-0000-0000-0000-000000000000"
		controllertest.Create(c, configMap("stray", absent))
		c.Pass(time.Second)
		want(c, "the owner of stray was never there", "first", "second", "both")

		controllertest.Delete[*corev1.ConfigMap](c, "default", "first")
		c.Pass(time.Second)
		want(c, "one owner is enough", "second", "both")

		// A new object of the owner's name is not the owner.
		controllertest.Delete[*corev1.ConfigMap](c, "default", "second")
		controllertest.Create(c, configMap("second"))
		c.Pass(time.Second)
		want(c, "the last owner was replaced", "second")
	})
}

func TestDeploymentGoesWithItsPods(t *testing.T) {
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, true)
				controllertest.Create(c, &appsv1.Deployment{
					ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
					Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(20)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
						Template: controllertest.Template("web", "nginx")},
				})
				c.ReadyAll("default")
				if err := client.Of[*appsv1.Deployment](c.Client).Delete(context.Background(), "default", "web", metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
					t.Fatal(err)
				}
				c.ReadyAll("default") // as kubelet, confirms the ends of the pods
				c.Pass(time.Second)
				if pods := controllertest.List[*corev1.Pod](c, "default"); len(pods) != 0 {
					t.Errorf("%d pods are left", len(pods))
				}
				if sets := controllertest.List[*appsv1.ReplicaSet](c, "default"); len(sets) != 0 {
					t.Errorf("%d replica sets are left", len(sets))
				}
				if all := controllertest.List[*appsv1.Deployment](c, "default"); len(all) != 0 {
					t.Errorf("the deployment is left: %v", all[0].Finalizers)
				}
			})
		})
	}
}
