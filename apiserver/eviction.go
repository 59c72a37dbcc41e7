package apiserver

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

var budgets = schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudgets"}

// maxDisruptedPods is how many evictions may wait to be confirmed by the controller.
const maxDisruptedPods = 2000

// evict deletes a pod if its disruption budget allows: what `kubectl drain` asks for.
func (s *Server) evict(ctx context.Context, op *operation, eviction *policyv1.Eviction) (runtime.Object, error) {
	if eviction.Name != op.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	if err := placeIn(op.Namespace, eviction); err != nil {
		return nil, err
	}
	var options metav1.DeleteOptions
	if eviction.DeleteOptions != nil {
		options = *eviction.DeleteOptions
	}
	dryRun := op.dryRun
	if err := op.deleteOptions(&options); err != nil {
		return nil, err
	}
	op.dryRun = op.dryRun || dryRun
	if err := s.admit(ctx, op, "CREATE", eviction, nil); err != nil {
		return nil, err
	}
	if err := s.validateAdmission(ctx, op, "CREATE", eviction, nil); err != nil {
		return nil, err
	}
	current, err := s.present(op)
	if err != nil {
		return nil, err
	}
	pod, ok := current.object.(*corev1.Pod)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s is no pod", op.Name))
	}
	if !finishedOrUnstarted(pod) {
		if err := s.spendBudget(ctx, op, pod); err != nil {
			return nil, err
		}
		if err := s.markEvicted(ctx, op); err != nil {
			return nil, err
		}
	}
	deletion := *op
	deletion.Subresource = ""
	if _, _, err := s.delete(ctx, &deletion, options); err != nil {
		return nil, err
	}
	return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

// finishedOrUnstarted pods count in no budget.
func finishedOrUnstarted(pod *corev1.Pod) bool {
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodPending:
		return true
	}
	return pod.DeletionTimestamp != nil
}

// spendBudget takes one disruption from the budget that guards a pod, or says why there is none to take.
func (s *Server) spendBudget(ctx context.Context, op *operation, pod *corev1.Pod) error {
	guards, err := s.budgetsOf(pod)
	if err != nil {
		return err
	}
	if len(guards) > 1 {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}}
	}
	if len(guards) == 0 || unguarded(pod, guards[0]) || op.dryRun {
		return nil
	}
	res := s.storedResource(budgets.Group, budgets.Resource)
	if res == nil {
		return nil
	}
	status := &operation{resource: res, verb: "update", Request: Request{User: op.User, Namespace: op.Namespace, Name: guards[0].Name,
		Subresource: "status", Warn: op.Warn}}
	_, _, err = s.modify(ctx, status, modification{change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		budget, ok := old.DeepCopyObject().(*policyv1.PodDisruptionBudget)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("a %T is no disruption budget", old))
		}
		return budget, takeDisruption(budget, pod.Name)
	}})
	return err
}

func (s *Server) budgetsOf(pod *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	var guards []*policyv1.PodDisruptionBudget
	for _, object := range s.cluster().List(budgets.Group, budgets.Resource, pod.Namespace) {
		budget, ok := object.(*policyv1.PodDisruptionBudget)
		if !ok {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("selector of disruption budget %s: %w", budget.Name, err))
		}
		if selector.Matches(labels.Set(pod.Labels)) {
			guards = append(guards, budget)
		}
	}
	return guards, nil
}

// unguarded says that a pod which is not ready may go although its budget is spent: it is no loss, when the rest is
// healthy or the budget says so.
func unguarded(pod *corev1.Pod, budget *policyv1.PodDisruptionBudget) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	if p := budget.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return budget.Status.CurrentHealthy >= budget.Status.DesiredHealthy && budget.Status.DesiredHealthy > 0
}

// takeDisruption counts one more pod as disrupted, in the status of its budget.
func takeDisruption(budget *policyv1.PodDisruptionBudget, pod string) error {
	status := &budget.Status
	switch {
	case status.ObservedGeneration < budget.Generation:
		return tooManyDisruptions(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", budget.Name))
	case status.DisruptionsAllowed < 0:
		return apierrors.NewForbidden(budgets, budget.Name, fmt.Errorf("pdb disruptions allowed is negative"))
	case len(status.DisruptedPods) > maxDisruptedPods:
		return apierrors.NewForbidden(budgets, budget.Name, fmt.Errorf("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
	case status.DisruptionsAllowed == 0:
		text := fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", budget.Name, status.DesiredHealthy, status.CurrentHealthy)
		if c := apimeta.FindStatusCondition(status.Conditions, policyv1.DisruptionAllowedCondition); c != nil && c.Reason == policyv1.SyncFailedReason {
			text = fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %v", budget.Name, c.Message)
		}
		return tooManyDisruptions(0, text)
	}
	status.DisruptionsAllowed--
	if status.DisruptionsAllowed == 0 {
		apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{Type: policyv1.DisruptionAllowedCondition,
			Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: status.ObservedGeneration})
	}
	if status.DisruptedPods == nil {
		status.DisruptedPods = map[string]metav1.Time{}
	}
	status.DisruptedPods[pod] = now()
	return nil
}

// tooManyDisruptions is 429: try again later.
func tooManyDisruptions(retrySeconds int, why string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retrySeconds)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: why})
	return err
}

// markEvicted writes into the pod why it goes.
func (s *Server) markEvicted(ctx context.Context, op *operation) error {
	if op.dryRun {
		return nil
	}
	status := *op
	status.Subresource = "status"
	_, _, err := s.modify(ctx, &status, modification{change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		pod, ok := old.DeepCopyObject().(*corev1.Pod)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("%s is no pod", op.Name))
		}
		pod.Status.Conditions = withCondition(pod.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget,
			Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting"})
		return pod, nil
	}})
	return err
}
