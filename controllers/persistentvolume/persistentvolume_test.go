package persistentvolume_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/localprovisioner"
	"kubette/controllers/persistentvolume"
	"kubette/controllers/protection"
)

func start(t *testing.T, removed *[]string) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{
			persistentvolume.New(base), protection.NewClaims(base), protection.NewVolumes(base),
			localprovisioner.New(base, localprovisioner.Options{Root: "/volumes", Remove: func(_ context.Context, node, dir string) error {
				if removed != nil {
					*removed = append(*removed, node+" "+dir)
				}
				return nil
			}}),
		}
	})
}

func claim(class *string, size string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "default"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
	}}
}

func volume(name, size string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/mnt/" + name}},
	}}
}

func getClaim(c *controllertest.Cluster) *corev1.PersistentVolumeClaim {
	return controllertest.Get[*corev1.PersistentVolumeClaim](c, "default", "data")
}

func getVolume(c *controllertest.Cluster, name string) *corev1.PersistentVolume {
	return controllertest.Get[*corev1.PersistentVolume](c, "", name)
}

func TestStaticBinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		controllertest.Create(c, claim(ptr.To(""), "2Gi"))
		c.Settle()
		if phase := getClaim(c).Status.Phase; phase != corev1.ClaimPending {
			t.Errorf("without a volume the claim is %s", phase)
		}
		if got := c.Events("PersistentVolumeClaim", "data"); len(got) != 1 || got[0] != "FailedBinding: no persistent volumes available for this claim and no storage class is set" {
			t.Errorf("events are %v", got)
		}
		for name, size := range map[string]string{"small": "1Gi", "large": "10Gi", "right": "3Gi"} {
			v := volume(name, size)
			if name == "right" {
				v.Spec.ClaimRef = nil
			}
			controllertest.Create(c, v)
		}
		c.Settle()
		bound := getClaim(c)
		if bound.Status.Phase != corev1.ClaimBound || bound.Spec.VolumeName == "small" || bound.Spec.VolumeName == "" {
			t.Fatalf("claim is %+v %+v", bound.Spec, bound.Status)
		}
		pv := getVolume(c, bound.Spec.VolumeName)
		if pv.Status.Phase != corev1.VolumeBound || pv.Spec.ClaimRef.UID != bound.UID {
			t.Errorf("volume is %+v %+v", pv.Spec.ClaimRef, pv.Status)
		}
		if phase := getVolume(c, "small").Status.Phase; phase != corev1.VolumeAvailable {
			t.Errorf("the other volume is %s", phase)
		}
		controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
		c.Settle()
		if pv := getVolume(c, bound.Spec.VolumeName); pv.Status.Phase != corev1.VolumeReleased {
			t.Errorf("after the claim is gone the volume is %s", pv.Status.Phase)
		}
	})
}

func TestDynamicProvisioning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var removed []string
		c := start(t, &removed)
		controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", Labels: map[string]string{corev1.LabelHostname: "worker-1"}}})
		controllertest.Create(c, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: localprovisioner.Provisioner,
			VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer), ReclaimPolicy: ptr.To(corev1.PersistentVolumeReclaimDelete)})
		c.Settle()
		controllertest.Create(c, claim(ptr.To("local"), "2Gi"))
		c.Settle()
		if got := c.Events("PersistentVolumeClaim", "data"); len(got) != 1 || got[0] != "WaitForFirstConsumer: waiting for first consumer to be created before binding" {
			t.Errorf("events are %v", got)
		}
		// The scheduler chooses.
		controllertest.Change(c, "default", "data", func(claim *corev1.PersistentVolumeClaim) {
			claim.Annotations = map[string]string{"volume.kubernetes.io/selected-node": "worker-1"}
		})
		c.Pass(time.Second)
		bound := getClaim(c)
		if bound.Status.Phase != corev1.ClaimBound || !strings.HasPrefix(bound.Spec.VolumeName, "pvc-") {
			t.Fatalf("claim is %+v %+v", bound.Spec, bound.Status)
		}
		pv := getVolume(c, bound.Spec.VolumeName)
		if pv.Spec.HostPath == nil || pv.Spec.HostPath.Path != "/volumes/"+pv.Name+"_default_data" || pv.Spec.NodeAffinity == nil || pv.Spec.StorageClassName != "local" {
			t.Errorf("volume is %+v", pv.Spec)
		}
		if got := c.Events("PersistentVolumeClaim", "data"); !slices.Contains(got, "ProvisioningSucceeded: Successfully provisioned volume "+pv.Name) {
			t.Errorf("events are %v", got)
		}

		pod := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "main", Image: "db"}},
			Volumes:    []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
		}})
		c.Bind(pod, "worker-1")
		c.Settle()
		controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
		c.Pass(time.Minute)
		getClaim(c) // it is in use
		controllertest.Delete[*corev1.Pod](c, "default", "db", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.Pass(time.Second)
		if left := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(left) != 0 {
			t.Errorf("the claim is left, with %v", left[0].Finalizers)
		}
		if left := controllertest.List[*corev1.PersistentVolume](c, ""); len(left) != 0 {
			t.Errorf("the volume is left: %+v %v", left[0].Status, left[0].Finalizers)
		}
		if want := []string{"worker-1 /volumes/" + pv.Name + "_default_data"}; !slices.Equal(removed, want) {
			t.Errorf("removed directories %v, wanted %v", removed, want)
		}
	})
}

func TestLostVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		controllertest.Create(c, volume("right", "3Gi"))
		controllertest.Create(c, claim(ptr.To(""), "2Gi"))
		c.Settle()
		controllertest.Delete[*corev1.PersistentVolume](c, "", "right")
		c.Settle()
		getVolume(c, "right") // protected while it is bound
		controllertest.Change(c, "", "right", func(pv *corev1.PersistentVolume) { pv.Finalizers = nil })
		c.Settle()
		if phase := getClaim(c).Status.Phase; phase != corev1.ClaimLost {
			t.Errorf("the claim is %s", phase)
		}
	})
}

// What a claim waits for is told every 15 seconds.
func TestWhatAClaimWaitsFor(t *testing.T) {
	waiting := func(provisioner string, mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}, Provisioner: provisioner, VolumeBindingMode: &mode}
	}
	for _, test := range []struct {
		name  string
		class *storagev1.StorageClass
		named string // of the claim's class
		pods  []string
		want  string
	}{
		{"no class", nil, "", nil, "FailedBinding: no persistent volumes available for this claim and no storage class is set"},
		{"a class that is not there", nil, "none", nil, `ProvisioningFailed: storageclass.storage.k8s.io "none" not found`},
		{"volumes made by people", waiting("kubernetes.io/no-provisioner", storagev1.VolumeBindingImmediate), "slow", nil,
			"ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner"},
		{"a consumer", waiting("example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer), "slow", nil,
			"WaitForFirstConsumer: waiting for first consumer to be created before binding"},
		{"a pod's node", waiting("example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer), "slow", []string{"a"},
			"WaitForPodScheduled: waiting for pod a to be scheduled"},
		{"two pods' node", waiting("example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer), "slow", []string{"b", "a"},
			"WaitForPodScheduled: waiting for pods a,b to be scheduled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, nil)
				if test.class != nil {
					controllertest.Create(c, test.class)
				}
				for _, name := range test.pods {
					controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{
						Containers: []corev1.Container{{Name: "main", Image: "db"}},
						Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
							PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
					}})
				}
				c.Settle()
				wanted := claim(&test.named, "1Gi")
				wanted.Finalizers = []string{"kubernetes.io/pvc-protection"}
				controllertest.Create(c, wanted)
				c.Pass(time.Minute + time.Second)
				if diff := cmp.Diff([]string{test.want}, c.Events("PersistentVolumeClaim", "data")); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				for _, event := range controllertest.List[*corev1.Event](c, "default") {
					if event.InvolvedObject.Name == "data" && event.Count != 5 {
						t.Errorf("told %d times in a minute", event.Count)
					}
				}
			})
		})
	}
}

// A volume that is there comes before a default class that came later.
func TestAVolumeBeforeTheDefaultClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		controllertest.Create(c, volume("right", "1Gi"))
		c.Settle()
		c.Machine.Gate(persistentvolume.Name).Pause()
		controllertest.Create(c, claim(nil, "1Gi"))
		controllertest.Create(c, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "late",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}, Provisioner: "example.com/disks"})
		c.Settle()
		c.Machine.Gate(persistentvolume.Name).Resume()
		c.Pass(time.Second)
		if got := getClaim(c); got.Status.Phase != corev1.ClaimBound || got.Spec.StorageClassName != nil {
			t.Errorf("the claim is %s, of class %v", got.Status.Phase, got.Spec.StorageClassName)
		}
	})
}
