package localprovisioner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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
)

// world is a cluster with the class "local", and what the provisioner removed.
type world struct {
	*controllertest.Cluster
	mu      sync.Mutex // guards what follows
	removed []string
	refuse  error // of removals
}

func start(t *testing.T, mode storagev1.VolumeBindingMode) *world {
	w := &world{}
	w.Cluster = controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{localprovisioner.New(base, localprovisioner.Options{Root: "/volumes", Remove: func(_ context.Context, node, dir string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.refuse == nil {
				w.removed = append(w.removed, node+":"+dir)
			}
			return w.refuse
		}})}
	})
	controllertest.Create(w.Cluster, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", Labels: map[string]string{corev1.LabelHostname: "one"}}})
	controllertest.Create(w.Cluster, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: localprovisioner.Provisioner, VolumeBindingMode: &mode})
	w.Settle()
	return w
}

func (w *world) setRefuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

// claim makes a claim as the volume binder has marked it.
func (w *world) claim(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	w.T.Helper()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "default", Annotations: map[string]string{"volume.kubernetes.io/storage-provisioner": localprovisioner.Provisioner}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: ptr.To("local"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if change != nil {
		change(claim)
	}
	claim = controllertest.Create(w.Cluster, claim)
	w.Settle()
	return claim
}

func (w *world) volumes() []*corev1.PersistentVolume {
	w.Settle()
	return controllertest.List[*corev1.PersistentVolume](w.Cluster, "")
}

func onNode(claim *corev1.PersistentVolumeClaim) {
	claim.Annotations["volume.kubernetes.io/selected-node"] = "worker-1"
}

func TestAClaimGetsAVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, storagev1.VolumeBindingWaitForFirstConsumer)
		claim := w.claim(nil)
		if n := len(w.volumes()); n != 0 {
			t.Fatalf("%d volumes before the scheduler has chosen a node", n)
		}
		controllertest.Change(w.Cluster, "default", "data", onNode)
		volumes := w.volumes()
		if len(volumes) != 1 {
			t.Fatalf("%d volumes", len(volumes))
		}
		pv := volumes[0]
		got := []string{pv.Name, pv.Spec.HostPath.Path, string(pv.Spec.PersistentVolumeReclaimPolicy), pv.Spec.StorageClassName, pv.Spec.Capacity.Storage().String(),
			pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0], string(pv.Spec.ClaimRef.UID)}
		name := "pvc-" + string(claim.UID)
		if diff := cmp.Diff([]string{name, "/volumes/" + name + "_default_data", "Delete", "local", "1Gi", "one", string(claim.UID)}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{`Provisioning: External provisioner is provisioning volume for claim "default/data"`,
			"ProvisioningSucceeded: Successfully provisioned volume " + name}, w.Events("PersistentVolumeClaim", "data")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestClaimsThatGetNone(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		why    string // in an event; "" for none
	}{
		"another provisioner": {change: func(c *corev1.PersistentVolumeClaim) {
			c.Annotations["volume.kubernetes.io/storage-provisioner"] = "example.org/nfs"
		}},
		"a volume is named":  {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "mine" }},
		"another class":      {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("other") }},
		"many nodes at once": {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.AccessModes[0] = corev1.ReadWriteMany }, why: "a directory on one node supports"},
		"a block device":     {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }, why: "block volume"},
		"a selector": {change: func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}, why: "Selector is not supported"},
		"a node that is gone": {change: func(c *corev1.PersistentVolumeClaim) {
			c.Annotations["volume.kubernetes.io/selected-node"] = "worker-9"
		}, why: `node "worker-9" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, storagev1.VolumeBindingImmediate)
				w.claim(test.change)
				w.Pass(time.Minute)
				if n := len(w.volumes()); n != 0 {
					t.Errorf("%d volumes", n)
				}
				said := w.Events("PersistentVolumeClaim", "data")
				if test.why == "" && len(said) > 0 || test.why != "" && (len(said) == 0 || !strings.Contains(said[0], test.why)) {
					t.Errorf("events %q", said)
				}
			})
		})
	}
}

func TestAReleasedVolumeIsRemovedWithItsDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, storagev1.VolumeBindingImmediate)
		w.claim(onNode)
		pv := w.volumes()[0]
		w.setRefuse(errors.New("the directory is busy"))
		controllertest.ChangeStatus(w.Cluster, "", pv.Name, func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeReleased })
		w.Pass(time.Minute)
		if len(w.volumes()) != 1 || !slices.Contains(w.Events("PersistentVolume", pv.Name), "VolumeFailedDelete: the directory is busy") {
			t.Errorf("%d volumes, events %q", len(w.volumes()), w.Events("PersistentVolume", pv.Name))
		}
		w.setRefuse(nil)
		w.Pass(10 * time.Minute)
		if diff := cmp.Diff([]string{"one:" + pv.Spec.HostPath.Path}, w.removed); diff != "" || len(w.volumes()) != 0 {
			t.Errorf("%d volumes are left; removed: %s", len(w.volumes()), diff)
		}
	})
}

func TestAKeptVolumeStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, storagev1.VolumeBindingImmediate)
		w.claim(onNode)
		pv := w.volumes()[0]
		controllertest.Change(w.Cluster, "", pv.Name, func(pv *corev1.PersistentVolume) {
			pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		})
		controllertest.ChangeStatus(w.Cluster, "", pv.Name, func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeReleased })
		w.Pass(time.Hour)
		if len(w.volumes()) != 1 || len(w.removed) != 0 {
			t.Errorf("%d volumes, removed %v", len(w.volumes()), w.removed)
		}
	})
}

// Of a write that failed or was done all the same there is one volume in the end.
func TestFailingWritesMakeOneVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, storagev1.VolumeBindingImmediate)
		failures := 0
		w.Faults.Set(func(string, string, string) error {
			if failures++; failures < 3 {
				return errors.New("lost")
			}
			return nil
		})
		w.claim(onNode)
		w.Pass(time.Minute)
		if n := len(w.volumes()); n != 1 {
			t.Errorf("%d volumes", n)
		}
	})
}
