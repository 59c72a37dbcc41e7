package protection

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// VolumesName is the volumes' controller's, in traces.
	VolumesName = "persistentvolume-protection-controller"

	volumeFinalizer = "kubernetes.io/pv-protection"
)

// Volumes protects volumes that are bound.
type Volumes struct {
	controllers.Base
	volumes client.Informer[*corev1.PersistentVolume]
	loop    *loop.Loop[string]
}

// NewVolumes makes the controller of volumes.
func NewVolumes(base controllers.Base) *Volumes {
	c := &Volumes{Base: base, volumes: client.InformerFor[*corev1.PersistentVolume](base.Informers)}
	c.loop = loop.New(VolumesName, c.Reconcile, loop.Options{Machine: base.Machine})
	ask := func(volume *corev1.PersistentVolume, what string) {
		if slices.Contains(volume.Finalizers, volumeFinalizer) == (volume.DeletionTimestamp != nil) {
			c.loop.Add(volume.Name, controllers.Cause("persistentvolumes", volume, what))
		}
	}
	c.volumes.Handle(client.Handler[*corev1.PersistentVolume]{
		Add:    func(volume *corev1.PersistentVolume) { ask(volume, "added") },
		Update: func(_, volume *corev1.PersistentVolume) { ask(volume, "changed") },
	})
	return c
}

// Run works until the context ends.
func (c *Volumes) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile protects a volume, or lets a deleted one go that is not bound.
func (c *Volumes) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	volume, ok := c.volumes.Get("", name)
	if !ok {
		return 0, nil
	}
	protected := slices.Contains(volume.Finalizers, volumeFinalizer)
	changed := volume.DeepCopy()
	switch {
	case volume.DeletionTimestamp == nil && !protected:
		loop.Say(ctx, "Protect")
		changed.Finalizers = append(changed.Finalizers, volumeFinalizer)
	case volume.DeletionTimestamp != nil && protected:
		if volume.Status.Phase == corev1.VolumeBound {
			loop.Say(ctx, "StillBound", "claim", volume.Spec.ClaimRef.Namespace+"/"+volume.Spec.ClaimRef.Name)
			return 0, nil
		}
		loop.Say(ctx, "Free")
		changed.Finalizers = slices.DeleteFunc(changed.Finalizers, func(f string) bool { return f == volumeFinalizer })
	default:
		return 0, nil
	}
	_, err := client.Of[*corev1.PersistentVolume](c.Client).Update(ctx, changed)
	return 0, controllers.IgnoreNotFound(err)
}
