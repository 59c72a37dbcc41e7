package plugins

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler/framework"
)

var claimInUse = framework.Refuse("node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod")

// VolumeRestrictions keeps a second pod away from a claim that only one pod at a time may use (the access mode
// ReadWriteOncePod). The other may be on any node; if it is less important, it may be evicted. Kubernetes also keeps apart
// pods with the same disk of certain clouds, which there are none of here.
type VolumeRestrictions struct {
	Volumes *Volumes
}

// Name implements framework.Plugin.
func (VolumeRestrictions) Name() string { return "VolumeRestrictions" }

// PreFilter implements framework.Filter.
func (p VolumeRestrictions) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	check := &soleUse{namespace: c.Pod.Namespace, claims: map[string]bool{}}
	for i := range c.Pod.Spec.Volumes {
		if v := &c.Pod.Spec.Volumes[i]; v.PersistentVolumeClaim != nil {
			claim, ok := p.Volumes.claims.Get(c.Pod.Namespace, v.PersistentVolumeClaim.ClaimName)
			if !ok {
				return nil, framework.RefuseForGood(fmt.Sprintf("persistentvolumeclaim %q not found", v.PersistentVolumeClaim.ClaimName))
			}
			if slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
				check.claims[claim.Name] = true
			}
		}
	}
	if len(check.claims) == 0 {
		return nil, nil
	}
	for _, node := range c.Cluster.Nodes() {
		for _, pod := range node.Pods {
			check.users += check.usedBy(pod)
		}
	}
	return check, nil
}

// soleUse counts who uses the claims that the pod must have for itself.
type soleUse struct {
	namespace string
	claims    map[string]bool
	users     int
}

func (c *soleUse) usedBy(pod *framework.Pod) (uses int) {
	if pod.Namespace != c.namespace {
		return 0
	}
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil && c.claims[v.PersistentVolumeClaim.ClaimName] {
			uses++
		}
	}
	return uses
}

func (c *soleUse) Check(*framework.Node) *framework.Status {
	if c.users > 0 {
		return claimInUse
	}
	return nil
}

// Clone implements framework.Simulator.
func (c *soleUse) Clone() framework.Check {
	return &soleUse{namespace: c.namespace, claims: maps.Clone(c.claims), users: c.users}
}

// Add implements framework.Simulator.
func (c *soleUse) Add(pod *framework.Pod, _ *framework.Node) { c.users += c.usedBy(pod) }

// Remove implements framework.Simulator.
func (c *soleUse) Remove(pod *framework.Pod, _ *framework.Node) { c.users -= c.usedBy(pod) }

// Helps implements framework.Waker: the other pod goes, or the claim appears; a node that is added helps with the disks that
// Kubernetes keeps apart by node, and wakes the pod here as there.
func (VolumeRestrictions) Helps(event *framework.Event, pod *framework.Pod) bool {
	mine := func(v corev1.Volume, name string) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name
	}
	switch event.Kind {
	case framework.NodeAdded:
		return true
	case framework.ClaimAdded:
		return event.Claim.Namespace == pod.Namespace && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return mine(v, event.Claim.Name) })
	case framework.PodGone:
		return event.Pod.Namespace == pod.Namespace && slices.ContainsFunc(event.Pod.Spec.Volumes, func(freed corev1.Volume) bool {
			return freed.PersistentVolumeClaim != nil && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
				return mine(v, freed.PersistentVolumeClaim.ClaimName)
			})
		})
	}
	return false
}
