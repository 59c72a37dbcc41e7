package apiserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/store"
)

// bind gives a pod its node: the scheduler's decision. A pod is bound once.
func (s *Server) bind(ctx context.Context, op *operation, binding *corev1.Binding) (runtime.Object, error) {
	if binding.Name == "" {
		binding.Name = op.Name
	}
	if err := placeIn(op.Namespace, binding); err != nil {
		return nil, err
	}
	if binding.Name != op.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := validateBinding(binding); len(errs) > 0 {
		return nil, plainError(errs.ToAggregate())
	}
	if err := s.admit(ctx, op, "CREATE", binding, nil); err != nil {
		return nil, err
	}
	if err := s.validateAdmission(ctx, op, "CREATE", binding, nil); err != nil {
		return nil, err
	}
	for range modifyAttempts {
		err := s.bindOnce(ctx, op, binding)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
	}
	return nil, apierrors.NewConflict(op.groupResource(), op.Name, errConflict)
}

func validateBinding(binding *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if kind := binding.Target.Kind; kind != "" && kind != "Node" {
		errs = append(errs, field.NotSupported(field.NewPath("target", "kind"), kind, []string{"Node", "<empty>"}))
	}
	if binding.Target.Name == "" {
		errs = append(errs, field.Required(field.NewPath("target", "name"), ""))
	}
	return errs
}

func (s *Server) bindOnce(ctx context.Context, op *operation, binding *corev1.Binding) error {
	current, err := s.present(op)
	if err != nil {
		return err
	}
	pod, ok := current.object.(*corev1.Pod)
	if !ok {
		return apierrors.NewInternalError(fmt.Errorf("%s is no pod", op.Name))
	}
	if err := op.bindable(pod, binding); err != nil {
		return err
	}
	bound := shallow(pod)
	bound.Spec.NodeName = binding.Target.Name
	bound.Annotations = merged(pod.Annotations, binding.Annotations)
	bound.Labels = merged(pod.Labels, binding.Labels)
	bound.Status.Conditions = withCondition(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	bound.Status.NominatedNodeName = "" // it was for the time until now
	if op.dryRun {
		return nil
	}
	_, err = s.write(ctx, op, current.key, bound, current.revision)
	return err
}

// bindable says why a pod cannot be bound. All of these are conflicts: they depend on what others have done.
func (op *operation) bindable(pod *corev1.Pod, binding *corev1.Binding) error {
	switch {
	case binding.UID != "" && binding.UID != pod.UID:
		return apierrors.NewConflict(op.groupResource(), op.Name, op.preconditionError("UID", string(binding.UID), string(pod.UID)))
	case binding.ResourceVersion != "" && binding.ResourceVersion != pod.ResourceVersion:
		return apierrors.NewConflict(op.groupResource(), op.Name, op.preconditionError("ResourceVersion", binding.ResourceVersion, pod.ResourceVersion))
	}
	var why error
	switch {
	case pod.DeletionTimestamp != nil:
		why = fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name)
	case pod.Spec.NodeName != "":
		why = fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName)
	case len(pod.Spec.SchedulingGates) > 0:
		why = fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name)
	default:
		return nil
	}
	return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, op.Name, why)
}

// merged returns a copy of a with b's entries; a itself when b has none.
func merged(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	both := make(map[string]string, len(a)+len(b))
	maps.Copy(both, a)
	maps.Copy(both, b)
	return both
}

// withCondition returns a copy of a pod's conditions in which one is as given, with the time of its transition.
func withCondition(conditions []corev1.PodCondition, condition corev1.PodCondition) []corev1.PodCondition {
	condition.LastTransitionTime = now()
	copied := append([]corev1.PodCondition(nil), conditions...)
	for i := range copied {
		if copied[i].Type == condition.Type {
			if copied[i].Status == condition.Status {
				condition.LastTransitionTime = copied[i].LastTransitionTime
			}
			copied[i] = condition
			return copied
		}
	}
	return append(copied, condition)
}
