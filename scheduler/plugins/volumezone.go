package plugins

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/storage/volume"

	"kubette/scheduler/framework"
)

var otherZone = framework.RefuseForGood("node(s) had no available volume zone")

// VolumeZone keeps a pod in the zones and regions of its volumes. They are labels of the volume, an old way to say what a
// volume's node affinity says for VolumeBinding; some clouds still set them.
type VolumeZone struct {
	Volumes *Volumes
}

// Name implements framework.Plugin.
func (VolumeZone) Name() string { return "VolumeZone" }

// zoneLabels are the labels that count, each with its successor: of volumes made long ago, nodes have the newer one only.
var zoneLabels = []struct{ key, now string }{
	{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
	{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
	{corev1.LabelTopologyZone, corev1.LabelTopologyZone},
	{corev1.LabelTopologyRegion, corev1.LabelTopologyRegion},
}

// PreFilter implements framework.Filter: it looks up where the pod's volumes are.
func (p VolumeZone) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	var check zoneCheck
	for i := range c.Pod.Spec.Volumes {
		from := c.Pod.Spec.Volumes[i].PersistentVolumeClaim
		if from == nil {
			continue
		}
		claim, ok := p.Volumes.claims.Get(c.Pod.Namespace, from.ClaimName)
		if !ok {
			return nil, framework.RefuseForGood(fmt.Sprintf("persistentvolumeclaim %q not found", from.ClaimName))
		}
		if claim.Spec.VolumeName == "" {
			if status := p.mayBeUnbound(claim); status != nil {
				return nil, status
			}
			continue
		}
		pv, ok := p.Volumes.volumes.Get("", claim.Spec.VolumeName)
		if !ok {
			return nil, framework.RefuseForGood(fmt.Sprintf("persistentvolume %q not found", claim.Spec.VolumeName))
		}
		check = append(check, zonesOf(pv)...)
	}
	if len(check) == 0 {
		return nil, nil
	}
	return check, nil
}

// mayBeUnbound says why a claim without a volume keeps its pod from being placed, or nil if the volume is chosen then.
func (p VolumeZone) mayBeUnbound(claim *corev1.PersistentVolumeClaim) *framework.Status {
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		return framework.RefuseForGood("PersistentVolumeClaim had no pv name and storageClass name")
	}
	class, ok := p.Volumes.classes.Get("", name)
	switch {
	case !ok:
		return framework.RefuseForGood(fmt.Sprintf("storageclass.storage.k8s.io %q not found", name))
	case class.VolumeBindingMode == nil:
		return framework.RefuseForGood(fmt.Sprintf("VolumeBindingMode not set for StorageClass %q", name))
	case !delayed(class):
		return framework.RefuseForGood("PersistentVolume had no name")
	}
	return nil
}

// zone is a label of a volume: a node must have one of its values.
type zone struct {
	key, now string
	values   []string
}

// zonesOf returns where a volume is. Several zones are joined by two underscores; a label with an empty one among them
// says nothing.
func zonesOf(pv *corev1.PersistentVolume) []zone {
	var zones []zone
	for _, label := range zoneLabels {
		value, ok := pv.Labels[label.key]
		if !ok {
			continue
		}
		values := strings.Split(value, "__")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if !slices.Contains(values, "") {
			zones = append(zones, zone{label.key, label.now, values})
		}
	}
	return zones
}

// sameZone says that two labels say the same, in whatever order.
func sameZone(a, b zone) bool {
	return a.key == b.key && sets.New(a.values...).Equal(sets.New(b.values...))
}

type zoneCheck []zone

// Check lets a node without any such label pass: a cluster that has no zones has no use for them.
func (zones zoneCheck) Check(node *framework.Node) *framework.Status {
	placed := slices.ContainsFunc(zoneLabels, func(label struct{ key, now string }) bool {
		_, ok := node.Labels[label.key]
		return ok
	})
	if !placed {
		return nil
	}
	for _, zone := range zones {
		value, ok := node.Labels[zone.key]
		if !ok {
			value, ok = node.Labels[zone.now]
		}
		if !ok || !slices.Contains(zone.values, value) {
			return otherZone
		}
	}
	return nil
}

// Helps implements framework.Waker: a claim of the pod's, a volume or a class that may be its own, or a node
// elsewhere.
func (VolumeZone) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.ClaimAdded, framework.ClaimUpdated:
		return event.Claim.Namespace == pod.Namespace && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == event.Claim.Name
		})
	case framework.VolumeAdded, framework.NodeAdded:
		return true
	case framework.VolumeUpdated:
		return !slices.EqualFunc(zonesOf(event.OldVolume), zonesOf(event.Volume), sameZone)
	case framework.StorageClassAdded:
		return delayed(event.Class)
	case framework.NodeUpdated:
		return !maps.Equal(event.OldNode.Labels, event.Node.Labels)
	}
	return false
}
