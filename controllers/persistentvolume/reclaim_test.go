package persistentvolume_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"kubette/controllers/controllertest"
)

// Why a claim does not get the volume that it names.
func TestAVolumeThatDoesNotFit(t *testing.T) {
	for want, change := range map[string]func(pv *corev1.PersistentVolume){
		"requested PV is too small": func(pv *corev1.PersistentVolume) {
			pv.Spec.Capacity[corev1.ResourceStorage] = resource.MustParse("1Gi")
		},
		"storageClassName does not match": func(pv *corev1.PersistentVolume) { pv.Spec.StorageClassName = "fast" },
		"volumeAttributesClassName does not match": func(pv *corev1.PersistentVolume) {
			pv.Spec.VolumeAttributesClassName = ptr.To("gold")
			pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "example.org", VolumeHandle: "1"}}
		},
		"incompatible volumeMode": func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) },
		"incompatible accessMode": func(pv *corev1.PersistentVolume) {
			pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
		},
		`the volume is marked for deletion "disk"`: nil,
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, nil)
				pv := volume("disk", "3Gi")
				if change != nil {
					change(pv)
				} else {
					pv.Finalizers = []string{"example.org/hold"}
				}
				controllertest.Create(c, pv)
				c.Settle()
				if change == nil {
					controllertest.Delete[*corev1.PersistentVolume](c, "", "disk")
					c.Settle()
				}
				asks := claim(ptr.To(""), "2Gi")
				asks.Spec.VolumeName = "disk"
				controllertest.Create(c, asks)
				c.Settle()
				if diff := cmp.Diff([]string{`VolumeMismatch: Cannot bind to requested volume "disk": ` + want}, c.Events("PersistentVolumeClaim", "data")); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What becomes of a volume without a provisioner when its claim is gone.
func TestReclaimByHand(t *testing.T) {
	const noPlugin = `VolumeFailedDelete: error getting deleter volume plugin for volume "disk": no deletable volume plugin matched`
	const noRecycler = "VolumeFailedRecycle: No recycler plugin found for the volume!"
	local := corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/mnt/disk"}}
	path := func(path string) corev1.PersistentVolumeSource {
		return corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}
	}
	for name, test := range map[string]struct {
		policy corev1.PersistentVolumeReclaimPolicy
		source corev1.PersistentVolumeSource
		phase  corev1.PersistentVolumePhase // "" for gone
		events []string
	}{
		"a disk of a node is deleted":         {corev1.PersistentVolumeReclaimDelete, local, corev1.VolumeFailed, []string{noPlugin}},
		"a directory is deleted":              {corev1.PersistentVolumeReclaimDelete, path("/mnt/disk"), corev1.VolumeFailed, []string{"VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided /mnt/disk"}},
		"a directory below /tmp is deleted":   {corev1.PersistentVolumeReclaimDelete, path("/tmp/disk"), "", nil},
		"a disk of a node is recycled":        {corev1.PersistentVolumeReclaimRecycle, local, corev1.VolumeFailed, []string{noRecycler}},
		"a directory is kept":                 {corev1.PersistentVolumeReclaimRetain, path("/mnt/disk"), corev1.VolumeReleased, nil},
		"a driver's volume is left to others": {corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "example.org", VolumeHandle: "1"}}, corev1.VolumeReleased, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, nil)
				pv := volume("disk", "3Gi")
				pv.Spec.PersistentVolumeReclaimPolicy, pv.Spec.PersistentVolumeSource = test.policy, test.source
				if test.source.Local != nil {
					pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
						MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"worker-1"}}}}}}}
				}
				controllertest.Create(c, pv)
				c.Settle()
				controllertest.Create(c, claim(ptr.To(""), "2Gi"))
				c.Settle()
				controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data")
				c.Settle()
				var phase corev1.PersistentVolumePhase
				if left := controllertest.List[*corev1.PersistentVolume](c, ""); len(left) > 0 {
					phase = left[0].Status.Phase
				}
				if phase != test.phase {
					t.Errorf("phase %q, wanted %q", phase, test.phase)
				}
				if diff := cmp.Diff(test.events, c.Events("PersistentVolume", "disk")); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A volume that a person kept for a claim stays kept for one of its name when that claim is bound elsewhere.
func TestAVolumeWhoseClaimIsBoundElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		controllertest.Create(c, volume("right", "3Gi"))
		controllertest.Create(c, claim(ptr.To(""), "2Gi"))
		c.Settle()
		kept := volume("kept", "3Gi")
		kept.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "default", Name: "data", UID: getClaim(c).UID}
		controllertest.Create(c, kept)
		c.Settle()
		got := getVolume(c, "kept")
		if got.Status.Phase != corev1.VolumeAvailable || got.Spec.ClaimRef == nil || got.Spec.ClaimRef.Name != "data" || got.Spec.ClaimRef.UID != "" {
			t.Errorf("phase %s, claim %+v", got.Status.Phase, got.Spec.ClaimRef)
		}
	})
}

// A volume of another mode that was kept for a claim is said not to fit, on both.
func TestAKeptVolumeOfAnotherMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		controllertest.Create(c, claim(ptr.To(""), "2Gi"))
		c.Settle()
		block := volume("disk", "3Gi")
		block.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock)
		block.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "default", Name: "data", UID: getClaim(c).UID}
		controllertest.Create(c, block)
		c.Settle()
		if diff := cmp.Diff([]string{`VolumeMismatch: Cannot bind PersistentVolume to requested PersistentVolumeClaim "data" due to incompatible volumeMode.`},
			c.Events("PersistentVolume", "disk")); diff != "" {
			t.Errorf("events of the volume (-want +got):\n%s", diff)
		}
	})
}
