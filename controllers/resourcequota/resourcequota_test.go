package resourcequota_test

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/admission"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/resourcequota"
)

func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *controllertest.Cluster
		c = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{resourcequota.New(base, func(quota *corev1.ResourceQuota) corev1.ResourceList {
				return admission.Usage(c.Server.Cluster(), quota)
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
