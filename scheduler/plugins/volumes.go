package plugins

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"

	"kubette/client"
)

// Volumes is what VolumeBinding knows of claims, volumes and storage classes: what the API says, with what was promised to
// pods whose binding is under way laid over it.
type Volumes struct {
	client  client.Interface
	claims  client.Informer[*corev1.PersistentVolumeClaim]
	volumes client.Informer[*corev1.PersistentVolume]
	classes client.Informer[*storagev1.StorageClass]

	// Promises belong to the scheduling goroutine. One holds until the API has a newer version of the object.
	promisedVolumes map[string]*corev1.PersistentVolume
	promisedClaims  map[string]*corev1.PersistentVolumeClaim

	mu      sync.Mutex
	changed chan struct{} // closed when a claim or volume changes; nil while nobody waits
}

const byClass = "class"

// NewVolumes watches claims, volumes and storage classes.
func NewVolumes(c client.Interface, informers *client.Informers) *Volumes {
	v := &Volumes{
		client:          c,
		claims:          client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes:         client.InformerFor[*corev1.PersistentVolume](informers),
		classes:         client.InformerFor[*storagev1.StorageClass](informers),
		promisedVolumes: map[string]*corev1.PersistentVolume{},
		promisedClaims:  map[string]*corev1.PersistentVolumeClaim{},
	}
	v.volumes.AddIndex(byClass, func(pv *corev1.PersistentVolume) []string { return []string{volume.GetPersistentVolumeClass(pv)} })
	v.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Add:    func(*corev1.PersistentVolumeClaim) { v.tell() },
		Update: func(_, _ *corev1.PersistentVolumeClaim) { v.tell() },
		Delete: func(*corev1.PersistentVolumeClaim) { v.tell() },
	})
	v.volumes.Handle(client.Handler[*corev1.PersistentVolume]{
		Add:    func(*corev1.PersistentVolume) { v.tell() },
		Update: func(_, _ *corev1.PersistentVolume) { v.tell() },
		Delete: func(*corev1.PersistentVolume) { v.tell() },
	})
	return v
}

func (v *Volumes) tell() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// changes returns a channel that is closed when a claim or volume changes.
func (v *Volumes) changes() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.changed
}

// claimOf returns the claim that a pod's volume uses, nil if it uses none, or why the claim cannot be used.
func (v *Volumes) claimOf(pod *corev1.Pod, from *corev1.Volume) (*corev1.PersistentVolumeClaim, error) {
	name := claimName(pod, from)
	if name == "" {
		return nil, nil
	}
	claim, ok := v.claims.Get(pod.Namespace, name)
	switch {
	case !ok && from.Ephemeral != nil:
		return nil, fmt.Errorf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", name)
	case !ok:
		return nil, fmt.Errorf("persistentvolumeclaim %q not found", name)
	case claim.Status.Phase == corev1.ClaimLost:
		return nil, fmt.Errorf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, claim.Spec.VolumeName)
	case claim.DeletionTimestamp != nil:
		return nil, fmt.Errorf("persistentvolumeclaim %q is being deleted", name)
	}
	if from.Ephemeral != nil {
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			return nil, err
		}
	}
	if promised, ok := v.promisedClaims[claim.Namespace+"/"+claim.Name]; ok {
		if promised.ResourceVersion == claim.ResourceVersion {
			return promised, nil
		}
		v.forgetClaim(claim.Namespace, claim.Name)
	}
	return claim, nil
}

// waitsForConsumer says whether a claim is bound only when a pod that uses it is scheduled.
func (v *Volumes) waitsForConsumer(claim *corev1.PersistentVolumeClaim) (bool, error) {
	class, ok := v.classes.Get("", volume.GetPersistentVolumeClaimClass(claim))
	if !ok {
		return false, nil
	}
	if class.VolumeBindingMode == nil {
		return false, fmt.Errorf("VolumeBindingMode not set for StorageClass %q", class.Name)
	}
	return delayed(class), nil
}

// volume returns a volume as it will be when the bindings under way are done.
func (v *Volumes) volume(name string) (*corev1.PersistentVolume, bool) {
	pv, ok := v.volumes.Get("", name)
	if !ok {
		return nil, false
	}
	return v.latest(pv), true
}

func (v *Volumes) latest(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	promised, ok := v.promisedVolumes[pv.Name]
	switch {
	case !ok:
		return pv
	case promised.ResourceVersion == pv.ResourceVersion:
		return promised
	}
	v.forgetVolume(pv.Name)
	return pv
}

// ofClass returns the volumes of a storage class.
func (v *Volumes) ofClass(class string) []*corev1.PersistentVolume {
	all := v.volumes.ByIndex(byClass, class)
	for i, pv := range all {
		all[i] = v.latest(pv)
	}
	return all
}

// canProvision says whether a volume for a claim can be made for use on a node.
func (v *Volumes) canProvision(claim *corev1.PersistentVolumeClaim, node *corev1.Node) (bool, error) {
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		return false, fmt.Errorf("no class for claim %q", claim.Namespace+"/"+claim.Name)
	}
	class, ok := v.classes.Get("", name)
	if !ok {
		return false, fmt.Errorf("failed to find storage class %q", name)
	}
	if class.Provisioner == "" || class.Provisioner == volume.NotSupportedProvisioner {
		return false, nil
	}
	return allowsTopology(class.AllowedTopologies, node), nil
}

func allowsTopology(terms []corev1.TopologySelectorTerm, node *corev1.Node) bool {
	if len(terms) == 0 {
		return true
	}
	return slices.ContainsFunc(terms, func(term corev1.TopologySelectorTerm) bool {
		for _, e := range term.MatchLabelExpressions {
			if value, ok := node.Labels[e.Key]; !ok || !slices.Contains(e.Values, value) {
				return false
			}
		}
		return len(term.MatchLabelExpressions) > 0
	})
}

func (v *Volumes) assumeVolume(pv *corev1.PersistentVolume) { v.promisedVolumes[pv.Name] = pv }

func (v *Volumes) forgetVolume(name string) { delete(v.promisedVolumes, name) }

func (v *Volumes) assumeClaim(claim *corev1.PersistentVolumeClaim) {
	v.promisedClaims[claim.Namespace+"/"+claim.Name] = claim
}

func (v *Volumes) forgetClaim(namespace, name string) { delete(v.promisedClaims, namespace+"/"+name) }

// write says in the API what is to be bound and what is to be made. The volume controller and the provisioner do it.
func (v *Volumes) write(ctx context.Context, chosen *bindings) error {
	for _, b := range chosen.static {
		if _, err := client.Of[*corev1.PersistentVolume](v.client).Update(ctx, b.volume); err != nil {
			return fmt.Errorf("bind volume %s to claim %s/%s: %w", b.volume.Name, b.claim.Namespace, b.claim.Name, err)
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{volume.AnnSelectedNode: chosen.node}}})
	if err != nil {
		return err
	}
	for _, claim := range chosen.provision {
		_, err := client.Of[*corev1.PersistentVolumeClaim](v.client).Patch(ctx, claim.Namespace, claim.Name, types.MergePatchType, patch)
		if err != nil {
			return fmt.Errorf("choose node %s for claim %s/%s: %w", chosen.node, claim.Namespace, claim.Name, err)
		}
	}
	return nil
}

// bound says whether all that was asked for is there, or why it will not be.
func (v *Volumes) bound(chosen *bindings) (bool, error) {
	for _, b := range chosen.static {
		claim, ok := v.claims.Get(b.claim.Namespace, b.claim.Name)
		if !ok {
			return false, fmt.Errorf("failed to check binding: persistentvolumeclaim %q not found", b.claim.Name)
		}
		if !fullyBound(claim) {
			return false, nil
		}
	}
	for _, wanted := range chosen.provision {
		claim, ok := v.claims.Get(wanted.Namespace, wanted.Name)
		switch {
		case !ok:
			return false, fmt.Errorf("failed to check provisioning pvc: persistentvolumeclaim %q not found", wanted.Name)
		case claim.ResourceVersion == wanted.ResourceVersion:
			return false, nil // what was just written has not come back yet
		case claim.Annotations[volume.AnnSelectedNode] != chosen.node:
			// A provisioner that cannot make the volume takes the mark away.
			return false, fmt.Errorf("provisioning failed for PVC %q", wanted.Name)
		case !fullyBound(claim):
			return false, nil
		}
	}
	return true, nil
}
