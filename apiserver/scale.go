package apiserver

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
)

// scaleOf shows an object's replica counts, the same way for every kind that has some.
func (op *operation) scaleOf(object kinds.Object) *autoscalingv1.Scale {
	wanted, present, selector := op.Scale.Get(object)
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: object.GetName(), Namespace: object.GetNamespace(), UID: object.GetUID(),
			ResourceVersion: object.GetResourceVersion(), CreationTimestamp: object.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: wanted},
		Status: autoscalingv1.ScaleStatus{Replicas: present, Selector: selector},
	}
}

// updateScale changes an object's wanted replica count.
func (s *Server) updateScale(ctx context.Context, op *operation, object runtime.Object) (runtime.Object, error) {
	scale, ok := object.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected input object type to be Scale, but %T", object))
	}
	scale = scale.DeepCopy()
	if err := placeIn(op.Namespace, scale); err != nil {
		return nil, err
	}
	if err := checkName(scale, op.Name, op.Namespace); err != nil {
		return nil, err
	}
	return s.rescale(ctx, op, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return scale, nil })
}

// patchScale changes it by a patch of the Scale.
func (s *Server) patchScale(ctx context.Context, p *patcher) (runtime.Object, error) {
	return s.rescale(ctx, p.op, func(old *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		patched := &autoscalingv1.Scale{}
		before := *old
		before.SetGroupVersionKind(p.op.bodyKind())
		if err := p.patch(&before, patched); err != nil {
			return nil, err
		}
		return patched, p.op.checkPatched(patched)
	})
}

// rescale works out a new Scale from the old one, and carries it over to the object.
func (s *Server) rescale(ctx context.Context, op *operation, change func(old *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) (runtime.Object, error) {
	after, _, err := s.modify(ctx, op, modification{change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		scale, err := change(op.scaleOf(old))
		if err != nil {
			return nil, err
		}
		if err := validateScale(scale); err != nil {
			return nil, err
		}
		if scale.UID != "" && scale.UID != old.GetUID() {
			return nil, apierrors.NewConflict(op.groupResource(), scale.Name,
				fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", scale.UID, old.GetUID())) //nolint:staticcheck // Kubernetes' text
		}
		object := old.DeepCopyObject().(kinds.Object)
		op.Scale.Set(object, scale.Spec.Replicas)
		object.SetResourceVersion(scale.ResourceVersion)
		return op.managers.updated(op, old, object), nil
	}})
	if err != nil {
		return nil, err
	}
	return op.scaleOf(after), nil
}

func validateScale(scale *autoscalingv1.Scale) error {
	if scale.Spec.Replicas >= 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: autoscalingv1.GroupName, Kind: "Scale"}, scale.Name, field.ErrorList{
		field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must be greater than or equal to 0")})
}

// applyScale is server-side apply of a Scale. Its one field is the object's spec.replicas, and is owned there.
func (s *Server) applyScale(ctx context.Context, p *patcher, patch *unstructured.Unstructured, force bool) (runtime.Object, error) {
	op := p.op
	if patch.GroupVersionKind() != op.bodyKind() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Incorrect version specified in apply patch. Specified patch version: %s, expected: %s",
			patch.GroupVersionKind().GroupVersion(), op.bodyKind().GroupVersion()))
	}
	wanted, found, err := unstructured.NestedNumberAsFloat64(patch.Object, "spec", "replicas")
	if err != nil {
		return nil, apierrors.NewBadRequest("error decoding patch: " + err.Error())
	}
	replicas := int64(wanted)
	applied := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": op.Name}}}
	applied.SetGroupVersionKind(op.GroupVersionKind())
	if op.Namespace != "" {
		applied.SetNamespace(op.Namespace)
	}
	if found {
		applied.Object["spec"] = map[string]any{"replicas": replicas}
	}
	after, _, err := s.modify(ctx, op, modification{change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		if replicas < 0 {
			return nil, validateScale(&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: op.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: int32(replicas)}})
		}
		object, err := op.managers.applied(op, old, applied.DeepCopy(), force)
		return object, plainError(err)
	}})
	if err != nil {
		return nil, err
	}
	return op.scaleOf(after), nil
}
