package scheduler_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/client"
)

const (
	selectedNode  = "volume.kubernetes.io/selected-node"
	bindCompleted = "pv.kubernetes.io/bind-completed"
)

// give stores an object of any kind.
func give[T client.Object](c *cluster, object T) T {
	c.t.Helper()
	created, err := client.Of[T](c.api).Create(c.ctx, object)
	if err != nil {
		c.t.Fatal(err)
	}
	c.settle()
	return created
}

// edit changes an object of any kind, in a part of it if one is named.
func edit[T client.Object](c *cluster, namespace, name string, change func(object T), part ...string) {
	c.t.Helper()
	c.settle()
	objects := client.Of[T](c.api)
	object, err := objects.Get(c.ctx, namespace, name)
	if err != nil {
		c.t.Fatal(err)
	}
	object = object.DeepCopyObject().(T)
	change(object)
	if len(part) > 0 {
		_, err = objects.UpdateStatus(c.ctx, object)
	} else {
		_, err = objects.Update(c.ctx, object)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.settle()
}

func get[T client.Object](c *cluster, namespace, name string) T {
	c.t.Helper()
	c.settle()
	object, err := client.Of[T](c.api).Get(c.ctx, namespace, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return object
}

func class(name, provisioner string, mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
}

func claim(name, class string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
}

// volumeOn is a volume that can be used on one node only.
func volumeOn(name, class, node string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp/" + name}},
		NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
			{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}}},
	}}
}

// available stores a volume that the volume controller has found free.
func available(c *cluster, volume *corev1.PersistentVolume) {
	c.t.Helper()
	give(c, volume)
	edit(c, "", volume.Name, func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeAvailable }, "status")
}

func using(claim string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
}

// bindClaim does what the volume controller does when a volume is there.
func bindClaim(c *cluster, name, volume string) {
	c.t.Helper()
	edit(c, "default", name, func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.VolumeName = volume
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, bindCompleted, "yes")
	})
}

func TestVolumeIsMadeWhereThePodGoes(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		give(c, class("fast", "example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer))
		give(c, claim("data", "fast"))
		c.create(makePod("full", "3", onNode("worker-1")))
		c.settle()
		c.create(makePod("db", "2", using("data")))
		c.wantNode("db", "") // its volume is being made
		if node := get[*corev1.PersistentVolumeClaim](c, "default", "data").Annotations[selectedNode]; node != "worker-2" {
			c.t.Fatalf("the claim is marked with node %q", node)
		}
		if expected := c.pod("db").Status.NominatedNodeName; expected != "worker-2" {
			t.Errorf("while its volume is made the pod is expected on %q", expected)
		}
		// Meanwhile its place is kept, and others are placed.
		c.create(makePod("other", "3"))
		c.wantNode("other", "")
		give(c, volumeOn("made", "fast", "worker-2"))
		bindClaim(c, "data", "made")
		c.wantNode("db", "worker-2")
		if expected := c.pod("db").Status.NominatedNodeName; expected != "" {
			t.Errorf("the pod is still expected on %q", expected)
		}
	})
}

func TestVolumeThatCannotBeMade(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		give(c, class("fast", "example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer))
		give(c, claim("data", "fast"))
		c.create(makePod("db", "", using("data")))
		// The provisioner gives up by taking the mark away; the pod is tried again after a while.
		edit(c, "default", "data", func(claim *corev1.PersistentVolumeClaim) { delete(claim.Annotations, selectedNode) })
		c.wantEvent("db", "FailedScheduling", `running PreBind plugin "VolumeBinding": provisioning failed for PVC "data"`)
		time.Sleep(2100 * time.Millisecond)
		if node := get[*corev1.PersistentVolumeClaim](c, "default", "data").Annotations[selectedNode]; node != "worker-1" {
			t.Errorf("the claim is marked with node %q", node)
		}
	})
}

func TestPodGoesWhereAVolumeIs(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		give(c, class("local", "kubernetes.io/no-provisioner", storagev1.VolumeBindingWaitForFirstConsumer))
		available(c, volumeOn("disk", "local", "worker-2"))
		give(c, claim("data", "local"))
		give(c, claim("more", "local"))
		c.create(makePod("db", "", using("data")))
		c.wantNode("db", "")
		ref := get[*corev1.PersistentVolume](c, "", "disk").Spec.ClaimRef
		if ref == nil || ref.Name != "data" || ref.UID == "" {
			c.t.Fatalf("the volume is for %+v", ref)
		}
		bindClaim(c, "data", "disk")
		c.wantNode("db", "worker-2")
		c.create(makePod("second", "", using("more")))
		c.wantReason("second", "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. "+
			"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
		available(c, volumeOn("disk-2", "local", "worker-1"))
		if get[*corev1.PersistentVolume](c, "", "disk-2").Spec.ClaimRef == nil {
			t.Error("a new volume did not wake the pod that waits for one")
		}
	})
}

func TestBoundVolumes(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		give(c, class("standard", "example.com/disks", storagev1.VolumeBindingImmediate))
		give(c, claim("data", "standard"))
		c.create(makePod("db", "", using("data")))
		c.wantReason("db", "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found")
		give(c, volumeOn("disk", "standard", "worker-2"))
		bindClaim(c, "data", "disk")
		c.wantNode("db", "worker-2")
		c.create(makePod("elsewhere", "", using("data"), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "worker-1"} }))
		c.wantReason("elsewhere", "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) didn't match Pod's node affinity/selector. "+
			"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
	})
}

// A volume's label says in which zones it can be used; the pod follows, and is tried again when the label changes.
func TestVolumeWithAZone(t *testing.T) {
	nodes := three()[1:]
	nodes[0].Labels[corev1.LabelTopologyZone], nodes[1].Labels[corev1.LabelTopologyZone] = "north", "south"
	inBubble(t, nodes, func(c *cluster) {
		give(c, class("standard", "example.com/disks", storagev1.VolumeBindingImmediate))
		for name, zones := range map[string]string{"old": "east__south", "far": "west"} {
			give(c, claim(name, "standard"))
			pv := volumeOn("pv-"+name, "standard", "")
			pv.Spec.NodeAffinity = nil
			pv.Labels = map[string]string{corev1.LabelFailureDomainBetaZone: zones}
			give(c, pv)
			bindClaim(c, name, pv.Name)
		}
		c.create(makePod("db", "", using("old")))
		c.wantNode("db", "worker-2")
		c.create(makePod("lost", "", using("far")))
		c.wantReason("lost", "0/2 nodes are available: 2 node(s) had no available volume zone. "+
			"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
		edit(c, "", "pv-far", func(v *corev1.PersistentVolume) { v.Labels[corev1.LabelFailureDomainBetaZone] = "north" })
		c.wantNode("lost", "worker-1")
	})
}

// A claim whose volume is gone keeps its pod from being placed anywhere, until the volume is back.
func TestVolumeThatIsGone(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		give(c, class("standard", "example.com/disks", storagev1.VolumeBindingImmediate))
		give(c, claim("data", "standard"))
		bindClaim(c, "data", "disk")
		c.create(makePod("db", "", using("data")))
		c.wantReason("db", `0/2 nodes are available: persistentvolume "disk" not found. not found`)
		give(c, volumeOn("disk", "standard", "worker-2"))
		c.wantNode("db", "worker-2")
	})
}

func TestPodDeletedWhileItsVolumeIsMade(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		give(c, class("fast", "example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer))
		give(c, claim("data", "fast"))
		c.create(makePod("db", "3", using("data")))
		c.settle()
		c.delete("db")
		c.create(makePod("web", "3"))
		c.wantNode("web", "worker-1")
	})
}

// Its place is free from then on, though a finalizer keeps the pod in the API.
func TestPodOnItsWayOutWhileItsVolumeIsMade(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		give(c, class("fast", "example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer))
		give(c, claim("data", "fast"))
		c.create(makePod("db", "3", using("data"), withFinalizer))
		c.settle()
		c.create(makePod("web", "3"))
		c.wantNode("web", "")
		c.delete("db")
		c.wantNode("web", "worker-1")
	})
}

// A pod that waits for its volume is not deleted for a more important one: it loses its place, and comes back.
func TestPreemptionOfAPodThatWaitsForItsVolume(t *testing.T) {
	inBubble(t, three()[1:2], func(c *cluster) {
		give(c, class("fast", "example.com/disks", storagev1.VolumeBindingWaitForFirstConsumer))
		give(c, claim("data", "fast"))
		c.create(makePod("db", "3", using("data")))
		c.settle()
		c.create(makePod("urgent", "3", priority(10)))
		c.wantNode("urgent", "worker-1")
		c.wantEvent("db", "Preempted", "Preempted by pod "+string(c.pod("urgent").UID)+" on node worker-1 (in kube-scheduler memory).")
		c.wantEvent("db", "FailedScheduling", `running PreBind plugin "VolumeBinding": binding volumes: context canceled`)
		if db := c.pod("db"); db.DeletionTimestamp != nil || db.Status.NominatedNodeName != "" {
			t.Errorf("deleted at %v, expected on %q", db.DeletionTimestamp, db.Status.NominatedNodeName)
		}
		c.delete("urgent")
		time.Sleep(2 * time.Second)
		if expected := c.pod("db").Status.NominatedNodeName; expected != "worker-1" {
			t.Errorf("afterwards the pod is expected on %q", expected)
		}
	})
}

func TestPreemptionSparesWhatABudgetProtects(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		c.create(makePod("dear", "4", onNode("worker-1"), priority(-10)))
		c.create(makePod("free", "4", onNode("worker-2")))
		one := intstr.FromInt32(1)
		give(c, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "dear", Namespace: "default"}, Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "dear"}},
		}}) // its status allows no disruption
		c.create(makePod("web", "2", priority(10)))
		if c.pod("web").Status.NominatedNodeName != "worker-2" || c.pod("dear").DeletionTimestamp != nil {
			t.Errorf("decisions: %+v", c.scheduler.Decisions("default", "web")[0].Preemption)
		}
	})
}

// A claim with ReadWriteOncePod is one pod's, wherever the others are; a more important pod evicts it.
func TestAClaimForOnePodAtATime(t *testing.T) {
	inBubble(t, three()[1:], func(c *cluster) {
		give(c, class("slow", "example.com/disks", storagev1.VolumeBindingImmediate))
		for _, name := range []string{"mine", "ours"} {
			made := claim(name, "slow")
			if made.Spec.AccessModes[0] = corev1.ReadWriteOncePod; name == "ours" {
				made.Spec.AccessModes[0] = corev1.ReadWriteMany
			}
			give(c, made)
			pv := volumeOn("pv-"+name, "slow", "worker-1")
			pv.Spec.AccessModes, pv.Spec.NodeAffinity = made.Spec.AccessModes, nil
			give(c, pv)
			bindClaim(c, name, pv.Name)
		}
		c.create(makePod("first", "", using("ours"), using("mine")))
		c.settle()
		c.create(makePod("beside", "", using("ours")))
		c.create(makePod("second", "", using("mine")))
		c.settle()
		if get[*corev1.Pod](c, "default", "first").Spec.NodeName == "" || get[*corev1.Pod](c, "default", "beside").Spec.NodeName == "" {
			t.Fatal("the first pod, or one that does not share the claim, has no node")
		}
		c.wantNode("second", "")
		c.wantEvent("second", "FailedScheduling", "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.")
		c.create(makePod("small", "1"))
		c.delete("small") // helps nobody
		if n := c.attempts("second"); n != 1 {
			t.Errorf("the second was tried %d times", n)
		}
		c.create(makePod("urgent", "", using("mine"), priority(10)))
		c.settle()
		if first := get[*corev1.Pod](c, "default", "first"); first.DeletionTimestamp == nil {
			t.Error("the less important pod was not evicted")
		}
	})
}
