package horizontalpodautoscaler

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"kubette/client"
)

// target is what an autoscaler scales.
type target struct {
	replicas int32
	selector labels.Selector
	set      func(ctx context.Context, replicas int32) error
}

// targetKind reads one kind of target.
type targetKind struct {
	informer func(*client.Informers)
	find     func(informers *client.Informers, namespace, name string) (replicas *int32, selector *metav1.LabelSelector, ok bool)
	resource schema.GroupVersionResource
}

var targetKinds = map[schema.GroupKind]targetKind{
	{Group: "apps", Kind: "Deployment"}: kindOf(func(d *appsv1.Deployment) (*int32, *metav1.LabelSelector) {
		return d.Spec.Replicas, d.Spec.Selector
	}),
	{Group: "apps", Kind: "ReplicaSet"}: kindOf(func(s *appsv1.ReplicaSet) (*int32, *metav1.LabelSelector) {
		return s.Spec.Replicas, s.Spec.Selector
	}),
	{Group: "apps", Kind: "StatefulSet"}: kindOf(func(s *appsv1.StatefulSet) (*int32, *metav1.LabelSelector) {
		return s.Spec.Replicas, s.Spec.Selector
	}),
	{Kind: "ReplicationController"}: kindOf(func(rc *corev1.ReplicationController) (*int32, *metav1.LabelSelector) {
		return rc.Spec.Replicas, &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
	}),
}

func kindOf[T client.Object](read func(T) (*int32, *metav1.LabelSelector)) targetKind {
	return targetKind{
		informer: func(informers *client.Informers) { client.InformerFor[T](informers) },
		find: func(informers *client.Informers, namespace, name string) (*int32, *metav1.LabelSelector, bool) {
			object, ok := client.InformerFor[T](informers).Get(namespace, name)
			if !ok {
				return nil, nil, false
			}
			replicas, selector := read(object)
			return replicas, selector, true
		},
		resource: client.ResourceOf[T](),
	}
}

// findTarget reads the scale of the autoscaler's target.
func (r *run) findTarget(context.Context) (target, error) {
	ref := r.hpa.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return target{}, fmt.Errorf("invalid API version in scale target reference: %w", err)
	}
	kind, ok := targetKinds[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}]
	if !ok {
		return target{}, fmt.Errorf("no matches for kind %q in group %q: kubette scales Deployments, ReplicaSets, StatefulSets and ReplicationControllers", ref.Kind, gv.Group)
	}
	replicas, selector, ok := kind.find(r.Informers, r.hpa.Namespace, ref.Name)
	if !ok {
		return target{}, fmt.Errorf("%s %q not found", kind.resource.GroupResource(), ref.Name)
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return target{}, fmt.Errorf("couldn't convert selector into a corresponding internal selector object: %w", err)
	}
	return target{replicas: ptr.Deref(replicas, 1), selector: parsed, set: func(ctx context.Context, replicas int32) error {
		scale := &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: ref.Name, Namespace: r.hpa.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas},
		}
		_, err := r.Client.Update(ctx, kind.resource, r.hpa.Namespace, ref.Name, scale, metav1.UpdateOptions{}, "scale")
		return err
	}}, nil
}
