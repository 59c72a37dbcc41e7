package disruption

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
)

// expected sums how many pods the owners of the given pods want. Pods without an owner are returned apart.
func (c *Controller) expected(ctx context.Context, pods []*corev1.Pod) (sum int, unmanaged []string, err error) {
	seen := map[types.UID]bool{}
	for _, pod := range pods {
		owner := metav1.GetControllerOfNoCopy(pod)
		if owner == nil {
			unmanaged = append(unmanaged, pod.Name)
			continue
		}
		uid, scale, err := c.scale(ctx, pod, owner)
		if err != nil {
			return 0, nil, err
		}
		if !seen[uid] {
			seen[uid] = true
			sum += int(scale)
		}
	}
	return sum, unmanaged, nil
}

// scale is the number of replicas of a pod's owner; for a ReplicaSet of a Deployment, the Deployment's. An owner that is
// gone has none, and then nobody knows how many pods there should be.
func (c *Controller) scale(ctx context.Context, pod *corev1.Pod, owner *metav1.OwnerReference) (types.UID, int32, error) {
	switch owner.Kind {
	case "ReplicaSet":
		set, err := ownerOf(ctx, c, c.sets, pod, owner)
		if err != nil {
			return "", 0, err
		}
		if d, ok := controllers.ControllerOf(c.deployments, "Deployment", set); ok {
			return d.UID, ptr.Deref(d.Spec.Replicas, 1), nil
		}
		return set.UID, ptr.Deref(set.Spec.Replicas, 1), nil
	case "StatefulSet":
		set, err := ownerOf(ctx, c, c.stateful, pod, owner)
		if err != nil {
			return "", 0, err
		}
		return set.UID, ptr.Deref(set.Spec.Replicas, 1), nil
	case "ReplicationController":
		rc, err := ownerOf(ctx, c, c.rcs, pod, owner)
		if err != nil {
			return "", 0, err
		}
		return rc.UID, ptr.Deref(rc.Spec.Replicas, 1), nil
	}
	return "", 0, fmt.Errorf("%s does not implement the scale subresource", plural(owner))
}

// ownerOf finds a pod's owner, in the API when the cache does not have it: it may be late.
func ownerOf[T client.Object](ctx context.Context, c *Controller, owners client.Informer[T], pod *corev1.Pod, ref *metav1.OwnerReference) (T, error) {
	owner, ok := controllers.ControllerOf(owners, ref.Kind, pod)
	if ok {
		return owner, nil
	}
	owner, err := client.Of[T](c.Client).Get(ctx, pod.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err) || err == nil && owner.GetUID() != ref.UID:
		return owner, fmt.Errorf("found no controllers for pod %q", pod.Name)
	case err != nil:
		return owner, err
	}
	return owner, nil
}

// plural is the resource of an owner, such as daemonsets.apps.
func plural(owner *metav1.OwnerReference) schema.GroupResource {
	resource, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind))
	return resource.GroupResource()
}

// watchScales looks at budgets again when an owner is scaled.
func (c *Controller) watchScales() {
	watchScale(c, c.sets, func(set *appsv1.ReplicaSet) (*int32, map[string]string) {
		return set.Spec.Replicas, set.Spec.Template.Labels
	})
	watchScale(c, c.deployments, func(d *appsv1.Deployment) (*int32, map[string]string) { return d.Spec.Replicas, d.Spec.Template.Labels })
	watchScale(c, c.stateful, func(set *appsv1.StatefulSet) (*int32, map[string]string) {
		return set.Spec.Replicas, set.Spec.Template.Labels
	})
	watchScale(c, c.rcs, func(rc *corev1.ReplicationController) (*int32, map[string]string) {
		if rc.Spec.Template == nil {
			return rc.Spec.Replicas, nil
		}
		return rc.Spec.Replicas, rc.Spec.Template.Labels
	})
}

func watchScale[T client.Object](c *Controller, owners client.Informer[T], of func(T) (*int32, map[string]string)) {
	resource := client.ResourceOf[T]().Resource
	owners.Handle(client.Handler[T]{Update: func(old, owner T) {
		before, _ := of(old)
		now, podLabels := of(owner)
		if ptr.Deref(before, 1) == ptr.Deref(now, 1) {
			return
		}
		for _, budget := range c.budgets.List(owner.GetNamespace(), nil) {
			selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
			if err == nil && selector.Matches(labels.Set(podLabels)) {
				c.loop.Add(budgetTask(budget), controllers.Cause(resource, owner, "scaled"))
			}
		}
	}})
}
