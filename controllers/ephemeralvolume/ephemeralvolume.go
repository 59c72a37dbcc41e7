// Package ephemeralvolume makes the claims of generic ephemeral volumes: a pod's volume with a volumeClaimTemplate gets a
// claim named POD-VOLUME, which the pod owns, so that it goes with it.
package ephemeralvolume

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "ephemeral-volume-controller"
	// EventSource is the controller's name in events.
	EventSource = "ephemeral_volume"
)

// Controller makes claims for pods.
type Controller struct {
	controllers.Base
	pods   client.Informer[*corev1.Pod]
	claims client.Informer[*corev1.PersistentVolumeClaim]
	loop   *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:   base,
		pods:   client.InformerFor[*corev1.Pod](base.Informers),
		claims: client.InformerFor[*corev1.PersistentVolumeClaim](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.pods.Handle(client.Handler[*corev1.Pod]{Add: func(pod *corev1.Pod) {
		for i := range pod.Spec.Volumes {
			if pod.Spec.Volumes[i].Ephemeral != nil {
				c.loop.Add(controllers.Key(pod), controllers.Cause("pods", pod, "added"))
				return
			}
		}
	}})
	c.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{Delete: func(claim *corev1.PersistentVolumeClaim) {
		if pod, ok := controllers.ControllerOf(c.pods, "Pod", claim); ok {
			c.loop.Add(controllers.Key(pod), controllers.Cause("persistentvolumeclaims", claim, "deleted"))
		}
	}})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile makes the claims that a pod lacks.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	pod, ok := c.pods.Get(namespace, name)
	if !ok || pod.DeletionTimestamp != nil {
		return 0, nil
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.Ephemeral == nil || volume.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		if err := c.ensure(ctx, pod, volume); err != nil {
			c.Events.Event(pod, corev1.EventTypeWarning, "FailedBinding", "ephemeral volume %s: %v", volume.Name, err)
			return 0, fmt.Errorf("pod %s, ephemeral volume %s: %w", key, volume.Name, err)
		}
	}
	return 0, nil
}

func (c *Controller) ensure(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume) error {
	name := controllers.ClaimName(pod, volume)
	if there, ok := c.claims.Get(pod.Namespace, name); ok {
		return ownedBy(pod, there)
	}
	template := volume.Ephemeral.VolumeClaimTemplate.DeepCopy()
	loop.Say(ctx, "CreateClaim", "name", name)
	_, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pod.Namespace, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{controllers.OwnerRef(pod)}},
		Spec: template.Spec,
	})
	switch {
	case err == nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case apierrors.IsAlreadyExists(err): // the cache does not show it yet
		there, err := client.Of[*corev1.PersistentVolumeClaim](c.Client).Get(ctx, pod.Namespace, name)
		if err != nil {
			return err
		}
		return ownedBy(pod, there)
	}
	return fmt.Errorf("create PVC %s: %w", name, err)
}

// ownedBy is an error for a claim that has the name of a pod's, and is not the pod's: nothing of another's is given to it.
func ownedBy(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) error {
	if metav1.IsControlledBy(claim, pod) {
		return nil
	}
	return fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", claim.Namespace, claim.Name, pod.Namespace, pod.Name)
}
