package resourcequota_test

import (
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/admission"
	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/resourcequota"
)

func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *controllertest.Cluster
		var counting admission.ResourceQuota
		c = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{resourcequota.New(base, func(quota *corev1.ResourceQuota) corev1.ResourceList {
				return counting.Usage(c.Server.Cluster(), quota)
			})}
		})
		controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: controllertest.Template("web", "nginx").Spec})
		controllertest.Create(c, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "default"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("3")}}})
		used := func() string {
			c.Pass(time.Second)
			status := controllertest.Get[*corev1.ResourceQuota](c, "default", "small").Status
			pods, most := status.Used[corev1.ResourcePods], status.Hard[corev1.ResourcePods]
			return pods.String() + "/" + most.String()
		}
		if got := used(); got != "1/3" {
			t.Errorf("used %s", got)
		}
		controllertest.Delete[*corev1.Pod](c, "default", "web")
		if got := used(); got != "0/3" {
			t.Errorf("used %s after the deletion", got)
		}
	})
}

// What is deleted can be used again within a second, whatever its kind.
func TestDeletionsFree(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "one", Namespace: "default"}
	labels := map[string]string{"app": "web"}
	for name, test := range map[string]struct {
		create func(c *controllertest.Cluster)
		delete func(c *controllertest.Cluster)
	}{
		"secrets": {
			func(c *controllertest.Cluster) { controllertest.Create(c, &corev1.Secret{ObjectMeta: meta}) },
			func(c *controllertest.Cluster) { controllertest.Delete[*corev1.Secret](c, "default", "one") },
		},
		"count/configmaps": {
			func(c *controllertest.Cluster) { controllertest.Create(c, &corev1.ConfigMap{ObjectMeta: meta}) },
			func(c *controllertest.Cluster) { controllertest.Delete[*corev1.ConfigMap](c, "default", "one") },
		},
		"count/deployments.apps": {
			func(c *controllertest.Cluster) {
				controllertest.Create(c, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
					Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: controllertest.Template("web", "nginx")}})
			},
			func(c *controllertest.Cluster) { controllertest.Delete[*appsv1.Deployment](c, "default", "one") },
		},
		"count/serviceaccounts": {
			func(c *controllertest.Cluster) { controllertest.Create(c, &corev1.ServiceAccount{ObjectMeta: meta}) },
			func(c *controllertest.Cluster) { controllertest.Delete[*corev1.ServiceAccount](c, "default", "one") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *controllertest.Cluster
				var counting admission.ResourceQuota
				c = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
					return []controllers.Controller{resourcequota.New(base, func(quota *corev1.ResourceQuota) corev1.ResourceList {
						return counting.Usage(c.Server.Cluster(), quota)
					})}
				})
				test.create(c)
				controllertest.Create(c, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "default"},
					Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceName(name): resource.MustParse("3")}}})
				for _, want := range []string{"1", "0"} {
					c.Pass(time.Second)
					used := controllertest.Get[*corev1.ResourceQuota](c, "default", "small").Status.Used[corev1.ResourceName(name)]
					if used.String() != want {
						t.Errorf("used %s, wanted %s", used.String(), want)
					}
					if want == "1" {
						test.delete(c)
					}
				}
			})
		})
	}
}

// What admission has counted, and was not stored after all, is taken off again.
func TestAWrongStatusIsPutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *controllertest.Cluster
		var counting admission.ResourceQuota
		c = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{resourcequota.New(base, func(quota *corev1.ResourceQuota) corev1.ResourceList {
				return counting.Usage(c.Server.Cluster(), quota)
			})}
		})
		limits := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("3"), corev1.ResourceServicesNodePorts: resource.MustParse("5")}
		controllertest.Create(c, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "default"},
			Spec: corev1.ResourceQuotaSpec{Hard: limits}})
		service := controllertest.Create(c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}}})
		want := func(when, pods, ports string) {
			t.Helper()
			used := controllertest.Get[*corev1.ResourceQuota](c, "default", "small").Status.Used
			if p, s := used[corev1.ResourcePods], used[corev1.ResourceServicesNodePorts]; p.String() != pods || s.String() != ports {
				t.Errorf("%s: pods %s, node ports %s, want %s and %s", when, p.String(), s.String(), pods, ports)
			}
		}
		c.Pass(time.Second)
		quota := controllertest.Get[*corev1.ResourceQuota](c, "default", "small").DeepCopy()
		quota.Status.Used = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2"), corev1.ResourceServicesNodePorts: resource.MustParse("1")}
		if _, err := client.Of[*corev1.ResourceQuota](c.Client).UpdateStatus(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		c.Settle()
		want("at first", "2", "1")
		c.Pass(time.Second)
		want("a second later", "0", "1")
		service = service.DeepCopy()
		service.Spec.Type = corev1.ServiceTypeClusterIP
		service.Spec.Ports[0].NodePort = 0
		if _, err := client.Of[*corev1.Service](c.Client).Update(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		c.Pass(time.Second)
		want("no node port any more", "0", "0")
	})
}
