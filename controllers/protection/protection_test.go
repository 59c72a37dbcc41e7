package protection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/protection"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{protection.NewClaims(base), protection.NewVolumes(base)}
	})
}

const claimFinalizer, volumeFinalizer = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"

func claim(c *controllertest.Cluster, name string, finalizers ...string) {
	c.T.Helper()
	controllertest.Create(c, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Finalizers: finalizers},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	})
	c.Settle()
}

// userOf makes a pod that mounts the claim data.
func userOf(c *controllertest.Cluster, name string, finalizers ...string) *corev1.Pod {
	template := controllertest.Template("web", "nginx")
	template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	return controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Finalizers: finalizers}, Spec: template.Spec})
}

func deleteNow(c *controllertest.Cluster, pod string) {
	controllertest.Delete[*corev1.Pod](c, "default", pod, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
}

func there[T client.Object](c *controllertest.Cluster, namespace, name string) bool {
	c.T.Helper()
	c.Settle()
	_, err := client.Of[T](c.Client).Get(context.Background(), namespace, name)
	if err != nil && !apierrors.IsNotFound(err) {
		c.T.Fatal(err)
	}
	return err == nil
}

func TestAClaimStaysWhileAPodUsesIt(t *testing.T) {
	for name, test := range map[string]struct {
		use   func(c *controllertest.Cluster) // before the claim is deleted
		stays bool
		end   func(c *controllertest.Cluster) // after which it goes
	}{
		"no pod":                      {use: func(*controllertest.Cluster) {}},
		"a pod that waits for a node": {use: func(c *controllertest.Cluster) { userOf(c, "web") }},
		"a pod on a node": {
			use:   func(c *controllertest.Cluster) { c.Bind(userOf(c, "web"), "worker-1") },
			stays: true, end: func(c *controllertest.Cluster) { deleteNow(c, "web") },
		},
		"a pod that has finished": {
			use: func(c *controllertest.Cluster) {
				pod := userOf(c, "web")
				c.Bind(pod, "worker-1")
				c.Phase(pod, corev1.PodSucceeded)
			},
			stays: true, end: func(c *controllertest.Cluster) { deleteNow(c, "web") },
		},
		"two pods": {
			use: func(c *controllertest.Cluster) {
				c.Bind(userOf(c, "a"), "worker-1")
				c.Bind(userOf(c, "b"), "worker-1")
				deleteNow(c, "a")
			},
			stays: true, end: func(c *controllertest.Cluster) { deleteNow(c, "b") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				claim(c, "data", claimFinalizer)
				test.use(c)
				controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
				if got := there[*corev1.PersistentVolumeClaim](c, "default", "data"); got != test.stays {
					t.Fatalf("the claim is there: %v", got)
				}
				if test.stays {
					test.end(c)
				}
				if there[*corev1.PersistentVolumeClaim](c, "default", "data") {
					t.Error("the claim stays when nobody uses it any more")
				}
			})
		})
	}
}

// A pod may get its node after the claim is deleted, and before the cache knows of it.
func TestAClaimStaysWhenAPodHasJustGotItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		claim(c, "data", claimFinalizer)
		pod := userOf(c, "web")
		c.Settle()
		c.Machine.Gate(protection.ClaimsName).Pause()
		controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
		c.Bind(pod, "worker-1")
		c.Machine.Gate(protection.ClaimsName).Resume()
		if !there[*corev1.PersistentVolumeClaim](c, "default", "data") {
			t.Error("the claim went under a pod that has a node")
		}
	})
}

func TestOldClaimsAndVolumesAreProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		failed := false
		c.Faults.Set(func(verb, _, _ string) error { // the first write
			if !failed {
				failed = true
				return errors.New("lost")
			}
			return nil
		})
		claim(c, "data")
		volume(c)
		c.Pass(1e9)
		if got := controllertest.Get[*corev1.PersistentVolumeClaim](c, "default", "data").Finalizers; len(got) != 1 || got[0] != claimFinalizer {
			t.Errorf("the claim has the finalizers %v", got)
		}
		if got := controllertest.Get[*corev1.PersistentVolume](c, "", "disk").Finalizers; len(got) != 1 || got[0] != volumeFinalizer {
			t.Errorf("the volume has the finalizers %v", got)
		}
	})
}

func volume(c *controllertest.Cluster) {
	controllertest.Create(c, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "disk"}, Spec: corev1.PersistentVolumeSpec{
		AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		ClaimRef:               &corev1.ObjectReference{Namespace: "default", Name: "data"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
	}})
	c.Settle()
}

func TestAVolumeStaysWhileItIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		volume(c)
		phase := func(phase corev1.PersistentVolumePhase) {
			controllertest.ChangeStatus(c, "", "disk", func(pv *corev1.PersistentVolume) { pv.Status.Phase = phase })
		}
		phase(corev1.VolumeBound)
		controllertest.Delete[*corev1.PersistentVolume](c, "", "disk")
		if !there[*corev1.PersistentVolume](c, "", "disk") {
			t.Fatal("a bound volume went")
		}
		phase(corev1.VolumeReleased)
		if there[*corev1.PersistentVolume](c, "", "disk") {
			t.Error("a volume that was let go stays")
		}
	})
}

// bound makes a claim and binds it.
func bound(c *controllertest.Cluster) {
	claim(c, "data", claimFinalizer)
	controllertest.ChangeStatus(c, "default", "data", func(claim *corev1.PersistentVolumeClaim) { claim.Status.Phase = corev1.ClaimBound })
	c.Settle()
}

// unusedOf is the condition Unused of the claim, with the time since when it is so.
func unusedOf(c *controllertest.Cluster) string {
	c.Settle()
	for _, condition := range controllertest.Get[*corev1.PersistentVolumeClaim](c, "default", "data").Status.Conditions {
		if condition.Type == corev1.PersistentVolumeClaimUnused {
			return fmt.Sprintf("%s %s %s: %s", condition.LastTransitionTime.UTC().Format(time.TimeOnly), condition.Status, condition.Reason, condition.Message)
		}
	}
	return ""
}

func TestAClaimSaysSinceWhenItIsUnused(t *testing.T) {
	const used, unused = " False PodUsingPVC: A pod is currently referencing this PVC", " True NoPodsUsingPVC: No pods are currently referencing this PVC"
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		claim(c, "data", claimFinalizer)
		if got := unusedOf(c); got != "" {
			t.Errorf("before it is bound: %s", got)
		}
		controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
		c.Settle()
		bound(c)
		step := func(what, want string, happen func()) {
			t.Helper()
			c.Pass(time.Minute)
			happen()
			if got := unusedOf(c); got != want {
				t.Errorf("%s: %q, wanted %q", what, got, want)
			}
		}
		step("bound", "00:00:00"+unused, func() {})
		step("a pod without a node", "00:02:00"+used, func() { userOf(c, "a") })
		step("another", "00:02:00"+used, func() { c.Bind(userOf(c, "b", "example.com/keep"), "worker-1") })
		step("the first is deleted", "00:02:00"+used, func() { deleteNow(c, "a") })
		step("the other runs, and is asked to go", "00:02:00"+used, func() {
			controllertest.ChangeStatus(c, "default", "b", func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
			})
			controllertest.Delete[*corev1.Pod](c, "default", "b")
		})
		step("its container ends", "00:06:00"+unused, func() {
			controllertest.ChangeStatus(c, "default", "b", func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
			})
		})
		step("one that finishes", "00:07:00"+used, func() { c.Bind(userOf(c, "c"), "worker-1") })
		step("has finished", "00:08:00"+unused, func() { c.Phase(controllertest.Get[*corev1.Pod](c, "default", "c"), corev1.PodSucceeded) })
	})
}
