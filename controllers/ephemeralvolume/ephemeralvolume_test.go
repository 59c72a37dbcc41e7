package ephemeralvolume_test

import (
	"errors"
	"slices"
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

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{ephemeralvolume.New(base), protection.NewClaims(base), garbagecollector.New(base, controllertest.Discovery)}
	})
}

// scratch is a pod with an ephemeral volume.
func scratch() *corev1.Pod {
	template := &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
	spec := controllertest.Template("web", "nginx").Spec
	spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: spec}
}

func TestClaimLivesWithItsPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		pod := controllertest.Create(c, scratch())
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

// What keeps a pod from its claim is said of the pod, and tried again.
func TestWhyAClaimIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		before func(c *controllertest.Cluster)
		why    string
	}{
		"a claim of somebody else": {func(c *controllertest.Cluster) {
			claim := scratch().Spec.Volumes[0].Ephemeral.VolumeClaimTemplate
			controllertest.Create(c, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "web-scratch", Namespace: "default"}, Spec: claim.Spec})
		}, "FailedBinding: ephemeral volume scratch: PVC default/web-scratch was not created for pod default/web (pod is not owner)"},
		"it cannot be made": {func(c *controllertest.Cluster) {
			c.Faults.Set(func(verb, resource, _ string) error {
				if verb == "create" && resource == "persistentvolumeclaims" {
					return errors.New("no answer")
				}
				return nil
			})
		}, "FailedBinding: ephemeral volume scratch: create PVC web-scratch: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				test.before(c)
				pod := controllertest.Create(c, scratch())
				c.Settle()
				if events := c.Events("Pod", "web"); !slices.Contains(events, test.why) {
					t.Errorf("events %q, want %q", events, test.why)
				}
				c.Faults.Set(nil)
				if claims := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(claims) > 0 {
					controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "web-scratch")
				}
				c.Pass(20 * time.Minute)
				if claim := controllertest.Get[*corev1.PersistentVolumeClaim](c, "default", "web-scratch"); !metav1.IsControlledBy(claim, pod) {
					t.Errorf("owners of the claim are %v", claim.OwnerReferences)
				}
			})
		})
	}
}
