package persistentvolume

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/volume"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "persistentvolume-binder-controller"
	// EventSource is the controller's name in events.
	EventSource = "persistentvolume-controller"

	// resyncPeriod is how often a claim that waits is looked at again, and what it waits for told again:
	// --pvclaimbinder-sync-period.
	resyncPeriod = 15 * time.Second

	// defaultClassAnnotation marks the storage class of claims that name none.
	defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"
)

// Controller binds all claims and volumes.
type Controller struct {
	controllers.Base
	claims  client.Informer[*corev1.PersistentVolumeClaim]
	volumes client.Informer[*corev1.PersistentVolume]
	classes client.Informer[*storagev1.StorageClass]
	pods    client.Informer[*corev1.Pod]
	loop    *loop.Loop[task]
}

// task is a claim or, without a namespace, a volume.
type task struct{ namespace, name string }

// String is the key as the trace shows it.
func (t task) String() string {
	if t.namespace == "" {
		return t.name
	}
	return t.namespace + "/" + t.name
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:    base,
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](base.Informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](base.Informers),
		classes: client.InformerFor[*storagev1.StorageClass](base.Informers),
		pods:    client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Add:    func(claim *corev1.PersistentVolumeClaim) { c.askClaim(claim, "added") },
		Update: func(_, claim *corev1.PersistentVolumeClaim) { c.askClaim(claim, "changed") },
		Delete: func(claim *corev1.PersistentVolumeClaim) {
			if claim.Spec.VolumeName != "" {
				c.loop.Add(task{name: claim.Spec.VolumeName}, controllers.Cause("persistentvolumeclaims", claim, "deleted"))
			}
		},
	})
	c.volumes.Handle(client.Handler[*corev1.PersistentVolume]{
		Add:    func(pv *corev1.PersistentVolume) { c.volumeChanged(pv, "added") },
		Update: func(_, pv *corev1.PersistentVolume) { c.volumeChanged(pv, "changed") },
		Delete: func(pv *corev1.PersistentVolume) { c.volumeChanged(pv, "deleted") },
	})
	c.classes.Handle(client.Handler[*storagev1.StorageClass]{
		Add: func(class *storagev1.StorageClass) { c.askPending(controllers.Cause("storageclasses", class, "added")) },
		Update: func(_, class *storagev1.StorageClass) {
			c.askPending(controllers.Cause("storageclasses", class, "changed"))
		},
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile brings a claim or a volume nearer to the state that it should be in.
func (c *Controller) Reconcile(ctx context.Context, t task) (time.Duration, error) {
	if t.namespace == "" {
		if pv, ok := c.volumes.Get("", t.name); ok {
			return 0, controllers.IgnoreNotFound(c.settleVolume(ctx, pv))
		}
		return 0, nil
	}
	claim, ok := c.claims.Get(t.namespace, t.name)
	if !ok {
		return 0, nil
	}
	if _, complete := claim.Annotations[volume.AnnBindCompleted]; complete {
		return 0, controllers.IgnoreNotFound(c.checkBound(ctx, claim))
	}
	return resyncPeriod, controllers.IgnoreNotFound(c.findVolume(ctx, claim))
}

func (c *Controller) askClaim(claim *corev1.PersistentVolumeClaim, what string) {
	c.loop.Add(task{claim.Namespace, claim.Name}, controllers.Cause("persistentvolumeclaims", claim, what))
}

func (c *Controller) volumeChanged(pv *corev1.PersistentVolume, what string) {
	cause := controllers.Cause("persistentvolumes", pv, what)
	c.loop.Add(task{name: pv.Name}, cause)
	if ref := pv.Spec.ClaimRef; ref != nil {
		c.loop.Add(task{ref.Namespace, ref.Name}, cause)
		return
	}
	if pv.DeletionTimestamp == nil && what != "deleted" {
		c.askPending(cause) // it is free: somebody may be waiting for it
	}
}

func (c *Controller) askPending(cause string) {
	for _, claim := range c.claims.List("", nil) {
		if claim.Status.Phase == corev1.ClaimPending && claim.DeletionTimestamp == nil {
			c.loop.Add(task{claim.Namespace, claim.Name}, cause)
		}
	}
}
