// Package localprovisioner makes volumes for claims of a local storage class: each a directory below one root, on the
// node that the scheduler has chosen for the first pod of the claim. The kubelet makes the directory when it mounts it.
//
// It plays the part of an external provisioner, such as local-path-provisioner: package persistentvolume marks the claims
// that need a volume with the provisioner's name, and binds the volume that comes. A released volume with the reclaim
// policy Delete is deleted, and its directory with it.
package localprovisioner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "local-provisioner"
	// Provisioner is the name that storage classes call it by.
	Provisioner = "kubette.io/local-path"
)

// Options of the provisioner.
type Options struct {
	// Root is the directory below which volumes lie, on every node.
	Root string
	// Remove deletes a volume's directory on a node; nil leaves directories.
	Remove func(ctx context.Context, node, dir string) error
}

// Controller makes and deletes volumes.
type Controller struct {
	controllers.Base
	options Options
	claims  client.Informer[*corev1.PersistentVolumeClaim]
	volumes client.Informer[*corev1.PersistentVolume]
	classes client.Informer[*storagev1.StorageClass]
	nodes   client.Informer[*corev1.Node]
	loop    *loop.Loop[task]
}

// task is a claim or, without a namespace, a volume.
type task struct{ namespace, name string }

// String is the key as the trace shows it.
func (t task) String() string { return path.Join(t.namespace, t.name) }

// New makes the controller.
func New(base controllers.Base, options Options) *Controller {
	c := &Controller{
		Base: base, options: options,
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](base.Informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](base.Informers),
		classes: client.InformerFor[*storagev1.StorageClass](base.Informers),
		nodes:   client.InformerFor[*corev1.Node](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: 4, MinBackoff: time.Second, MaxBackoff: 5 * time.Minute, Machine: base.Machine})
	askClaim := func(claim *corev1.PersistentVolumeClaim, what string) {
		if wanted(claim) {
			c.loop.Add(task{claim.Namespace, claim.Name}, controllers.Cause("persistentvolumeclaims", claim, what))
		}
	}
	c.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Add:    func(claim *corev1.PersistentVolumeClaim) { askClaim(claim, "added") },
		Update: func(_, claim *corev1.PersistentVolumeClaim) { askClaim(claim, "changed") },
	})
	askVolume := func(pv *corev1.PersistentVolume, what string) {
		if released(pv) {
			c.loop.Add(task{name: pv.Name}, controllers.Cause("persistentvolumes", pv, what))
		}
	}
	c.volumes.Handle(client.Handler[*corev1.PersistentVolume]{
		Add:    func(pv *corev1.PersistentVolume) { askVolume(pv, "added") },
		Update: func(_, pv *corev1.PersistentVolume) { askVolume(pv, "changed") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// wanted says whether a claim waits for a volume of ours.
func wanted(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Annotations[volume.AnnStorageProvisioner] == Provisioner && claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil
}

// released says whether a volume of ours is to be deleted.
func released(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[volume.AnnDynamicallyProvisioned] == Provisioner && pv.Status.Phase == corev1.VolumeReleased &&
		pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && pv.DeletionTimestamp == nil
}

// Reconcile makes the volume that a claim waits for, or deletes one that was released.
func (c *Controller) Reconcile(ctx context.Context, t task) (time.Duration, error) {
	if t.namespace == "" {
		if pv, ok := c.volumes.Get("", t.name); ok && released(pv) {
			return 0, c.remove(ctx, pv)
		}
		return 0, nil
	}
	claim, ok := c.claims.Get(t.namespace, t.name)
	if !ok || !wanted(claim) {
		return 0, nil
	}
	class, ok := c.classes.Get("", volume.GetPersistentVolumeClaimClass(claim))
	if !ok || class.Provisioner != Provisioner {
		return 0, nil
	}
	node := claim.Annotations[volume.AnnSelectedNode]
	if node == "" && ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) == storagev1.VolumeBindingWaitForFirstConsumer {
		return 0, nil // the scheduler will say which
	}
	err := c.provision(ctx, claim, class, node)
	if err != nil {
		c.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %v", class.Name, err)
	}
	return 0, err
}

func (c *Controller) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node string) error {
	pv, err := c.volumeFor(claim, class, node)
	if err != nil {
		return err
	}
	c.Events.Event(claim, corev1.EventTypeNormal, "Provisioning", "External provisioner is provisioning volume for claim %q", controllers.Key(claim))
	loop.Say(ctx, "Provision", "volume", pv.Name, "node", node)
	if _, err = client.Of[*corev1.PersistentVolume](c.Client).Create(ctx, pv); apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		c.Events.Event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", pv.Name)
	}
	return err
}

// volumeFor describes the volume for a claim.
func (c *Controller) volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node string) (*corev1.PersistentVolume, error) {
	switch {
	case claim.Spec.Selector != nil:
		return nil, errors.New("claim.Spec.Selector is not supported")
	case ptr.Deref(claim.Spec.VolumeMode, corev1.PersistentVolumeFilesystem) != corev1.PersistentVolumeFilesystem:
		return nil, errors.New("block volume provisioning is not supported")
	case slices.ContainsFunc(claim.Spec.AccessModes, func(mode corev1.PersistentVolumeAccessMode) bool {
		return mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod
	}):
		return nil, errors.New("a directory on one node supports the access modes ReadWriteOnce and ReadWriteOncePod only")
	}
	name := "pvc-" + string(claim.UID)
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{volume.AnnDynamicallyProvisioned: Provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name,
				UID: claim.UID, ResourceVersion: claim.ResourceVersion},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: path.Join(c.options.Root, name+"_"+claim.Namespace+"_"+claim.Name), Type: ptr.To(corev1.HostPathDirectoryOrCreate),
			}},
		},
	}
	if node != "" {
		there, ok := c.nodes.Get("", node)
		if !ok {
			return nil, fmt.Errorf("node %q not found", node)
		}
		host := there.Labels[corev1.LabelHostname]
		if host == "" {
			host = node
		}
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}},
		}}}}
	}
	return pv, nil
}

func (c *Controller) remove(ctx context.Context, pv *corev1.PersistentVolume) error {
	if c.options.Remove != nil && pv.Spec.HostPath != nil {
		if err := c.options.Remove(ctx, nodeOf(pv), pv.Spec.HostPath.Path); err != nil {
			c.Events.Event(pv, corev1.EventTypeWarning, "VolumeFailedDelete", "%v", err)
			return err
		}
	}
	loop.Say(ctx, "DeleteVolume", "volume", pv.Name)
	return controllers.IgnoreNotFound(client.Of[*corev1.PersistentVolume](c.Client).Delete(ctx, "", pv.Name, metav1.DeleteOptions{}))
}

func nodeOf(pv *corev1.PersistentVolume) string {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, expression := range term.MatchExpressions {
			if expression.Key == corev1.LabelHostname && len(expression.Values) > 0 {
				return expression.Values[0]
			}
		}
	}
	return ""
}
