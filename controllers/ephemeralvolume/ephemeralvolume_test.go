package ephemeralvolume_test

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/ephemeralvolume"
	"kubette/controllers/garbagecollector"
	"kubette/controllers/protection"
)

func TestClaimLivesWithItsPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{ephemeralvolume.New(base), protection.NewClaims(base), garbagecollector.New(base, controllertest.Discovery)}
		})
		template := &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}
		spec := controllertest.Template("web", "nginx").Spec
		spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}}
		pod := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: spec})
		c.Settle()
		if claim := controllertest.Get[*corev1.PersistentVolumeClaim](c, "default", "web-scratch"); !metav1.IsControlledBy(claim, pod) {
			t.Errorf("owners of the claim are %v", claim.OwnerReferences)
		}
		controllertest.Delete[*corev1.Pod](c, "default", "web")
		c.Pass(time.Second)
		if left := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(left) != 0 {
			t.Errorf("the claim outlives its pod, with %v", left[0].Finalizers)
		}
	})
}
