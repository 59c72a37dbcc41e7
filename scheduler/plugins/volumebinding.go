package plugins

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"

	"kubette/scheduler/framework"
)

var unboundClaims = framework.RefuseForGood("pod has unbound immediate PersistentVolumeClaims")

// The reasons why a node does not suit a pod's volumes.
const (
	volumeElsewhere = "node(s) didn't match PersistentVolume's node affinity"
	noVolume        = "node(s) didn't find available persistent volumes to bind"
	volumeGone      = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
)

// VolumeBinding keeps a pod off nodes where its volumes cannot be. A claim that is bound has its volume, which may be tied
// to certain nodes. A claim that waits for its first consumer (the storage class' volumeBindingMode) is bound only now:
// to a volume that is there and can be used on the node, or else, by marking the claim with the node, the class'
// provisioner is asked to make one there; the pod is bound when that is done.
type VolumeBinding struct {
	Volumes *Volumes
}

// Name implements framework.Plugin.
func (VolumeBinding) Name() string { return "VolumeBinding" }

// PreFilter implements framework.Filter: it looks up the pod's claims.
func (p VolumeBinding) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	check := &volumeCheck{volumes: p.Volumes, pod: c.Pod, found: map[string]*bindings{}}
	for i := range c.Pod.Spec.Volumes {
		claim, err := p.Volumes.claimOf(c.Pod.Pod, &c.Pod.Spec.Volumes[i])
		if err != nil {
			return nil, framework.RefuseForGood(err.Error())
		}
		switch {
		case claim == nil:
		case fullyBound(claim):
			check.bound = append(check.bound, claim)
		default:
			waits, err := p.Volumes.waitsForConsumer(claim)
			if err != nil {
				return nil, framework.Fail(err)
			}
			if !waits || claim.Spec.VolumeName != "" {
				return nil, unboundClaims // the volume controller binds it, and then the pod is tried again
			}
			check.waiting = append(check.waiting, claim)
		}
	}
	if len(check.bound)+len(check.waiting) == 0 {
		return nil, nil
	}
	// Small claims choose first, so that they do not take the volumes that only they could do without.
	slices.SortStableFunc(check.waiting, func(a, b *corev1.PersistentVolumeClaim) int {
		x, y := a.Spec.Resources.Requests[corev1.ResourceStorage], b.Spec.Resources.Requests[corev1.ResourceStorage]
		return x.Cmp(y)
	})
	return check, nil
}

func fullyBound(claim *corev1.PersistentVolumeClaim) bool {
	_, completed := claim.Annotations[volume.AnnBindCompleted]
	return claim.Spec.VolumeName != "" && completed
}

// claimName is the name of the claim that a pod's volume uses, or "".
func claimName(pod *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return ephemeral.VolumeClaimName(pod, v)
	}
	return ""
}

type volumeCheck struct {
	volumes *Volumes
	pod     *framework.Pod
	bound   []*corev1.PersistentVolumeClaim
	waiting []*corev1.PersistentVolumeClaim
	found   map[string]*bindings // what to do on each node, by its name
	chosen  *bindings
}

// bindings are what has to be done for a pod's waiting claims on one node.
type bindings struct {
	node      string
	static    []binding
	provision []*corev1.PersistentVolumeClaim
}

// binding is a claim and the volume that it is to get.
type binding struct {
	claim  *corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume
}

func (c *volumeCheck) Check(node *framework.Node) *framework.Status {
	var reasons []string
	for _, claim := range c.bound {
		pv, ok := c.volumes.volume(claim.Spec.VolumeName)
		if !ok {
			reasons = append(reasons, volumeGone)
			break
		}
		if volume.CheckNodeAffinity(pv, node.Labels) != nil {
			reasons = append(reasons, volumeElsewhere)
			break
		}
	}
	wanted := &bindings{node: node.Name}
	fits, err := c.bindWaiting(wanted, node)
	switch {
	case err != nil:
		return framework.Fail(err)
	case !fits:
		reasons = append(reasons, noVolume)
	}
	if len(reasons) > 0 {
		return framework.RefuseForGood(reasons...)
	}
	c.found[node.Name] = wanted
	return nil
}

// bindWaiting finds a volume for each waiting claim, or that one can be made.
func (c *volumeCheck) bindWaiting(wanted *bindings, node *framework.Node) (bool, error) {
	taken := map[string]*corev1.PersistentVolume{}
	for _, claim := range c.waiting {
		selected, marked := claim.Annotations[volume.AnnSelectedNode]
		if marked && selected != node.Name {
			return false, nil // a volume is being made for it elsewhere
		}
		if !marked {
			class := volume.GetPersistentVolumeClaimClass(claim)
			pv, err := volume.FindMatchingVolume(claim, c.volumes.ofClass(class), node.Node, taken, true, true)
			if err != nil {
				return false, fmt.Errorf("find a volume for claim %s/%s: %w", claim.Namespace, claim.Name, err)
			}
			if pv != nil {
				taken[pv.Name] = pv
				wanted.static = append(wanted.static, binding{claim: claim, volume: pv})
				continue
			}
		}
		if ok, err := c.volumes.canProvision(claim, node.Node); !ok || err != nil {
			return false, err
		}
		wanted.provision = append(wanted.provision, claim)
	}
	return true, nil
}

// Reserve implements framework.Reserver: no other pod gets the same volumes.
func (c *volumeCheck) Reserve(node *framework.Node) *framework.Status {
	wanted := c.found[node.Name]
	if wanted == nil || len(wanted.static)+len(wanted.provision) == 0 {
		return nil
	}
	c.chosen = wanted
	for i := range wanted.static {
		b := &wanted.static[i]
		bound, changed, err := volume.GetBindVolumeToClaim(b.volume, b.claim)
		if err != nil {
			c.Unreserve()
			return framework.Fail(fmt.Errorf("bind volume %s to claim %s/%s: %w", b.volume.Name, b.claim.Namespace, b.claim.Name, err))
		}
		if changed {
			c.volumes.assumeVolume(bound)
		}
		b.volume = bound
	}
	for i, claim := range wanted.provision {
		marked := claim.DeepCopy()
		if marked.Annotations == nil {
			marked.Annotations = map[string]string{}
		}
		marked.Annotations[volume.AnnSelectedNode] = node.Name
		c.volumes.assumeClaim(marked)
		wanted.provision[i] = marked
	}
	return nil
}

// Unreserve implements framework.Reserver.
func (c *volumeCheck) Unreserve() {
	if c.chosen == nil {
		return
	}
	for _, b := range c.chosen.static {
		c.volumes.forgetVolume(b.volume.Name)
	}
	for _, claim := range c.chosen.provision {
		c.volumes.forgetClaim(claim.Namespace, claim.Name)
	}
	c.chosen = nil
}

// PreBindPreFlight implements framework.Reserver.
func (c *volumeCheck) PreBindPreFlight() bool { return c.chosen != nil }

// bindTimeout is how long a pod waits for its volumes before it is scheduled anew.
const bindTimeout = 10 * time.Minute

// PreBind implements framework.Reserver: it says in the API what is to be bound or made, and waits until it is.
func (c *volumeCheck) PreBind(ctx context.Context) error {
	chosen := c.chosen
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	if err := c.volumes.write(ctx, chosen); err != nil {
		return err
	}
	for {
		changed := c.volumes.changes()
		done, err := c.volumes.bound(chosen)
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("binding volumes: %w", ctx.Err())
		}
	}
}

// Helps implements framework.Waker: a claim of the pod's, a volume or a class that may be its own, or a node elsewhere.
func (p VolumeBinding) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.ClaimAdded, framework.ClaimUpdated:
		if event.Claim.Namespace != pod.Namespace {
			return false
		}
		return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return claimName(pod.Pod, &v) == event.Claim.Name
		})
	case framework.VolumeAdded, framework.VolumeUpdated, framework.StorageClassAdded, framework.NodeAdded:
		return true
	case framework.StorageClassUpdated: // its binding mode cannot be changed
		return !equality.Semantic.DeepEqual(event.OldClass.AllowedTopologies, event.Class.AllowedTopologies)
	case framework.NodeUpdated:
		return !maps.Equal(event.OldNode.Labels, event.Node.Labels)
	}
	return false
}

// delayed says whether a class binds claims only when a pod needs them.
func delayed(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}
