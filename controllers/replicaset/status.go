package replicaset

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// status counts a set's pods. It also says how long until the next ready pod has been ready for minReadySeconds.
func (c *Controller[T]) status(set *appsv1.ReplicaSet, active []*corev1.Pod, terminating int, failure error) (appsv1.ReplicaSetStatus, time.Duration) {
	status := appsv1.ReplicaSetStatus{
		Replicas:            int32(len(active)),
		TerminatingReplicas: ptr.To(int32(terminating)),
		Conditions:          slices.Clone(set.Status.Conditions),
	}
	if c.kind.HidesTerminating {
		status.TerminatingReplicas = nil
	}
	fromTemplate := labels.SelectorFromSet(set.Spec.Template.Labels)
	var next time.Duration
	for _, pod := range active {
		if fromTemplate.Matches(labels.Set(pod.Labels)) {
			status.FullyLabeledReplicas++
		}
		if !controllers.IsReady(pod) {
			continue
		}
		status.ReadyReplicas++
		available, left := controllers.IsAvailable(pod, set.Spec.MinReadySeconds)
		if available {
			status.AvailableReplicas++
		}
		next = controllers.Sooner(next, left)
	}

	wanted := int(ptr.Deref(set.Spec.Replicas, 1))
	at := slices.IndexFunc(status.Conditions, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	switch {
	case failure != nil && at < 0:
		reason := "FailedCreate"
		if len(active) > wanted {
			reason = "FailedDelete"
		}
		status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
			Reason: reason, Message: failure.Error(),
		})
	case failure == nil && at >= 0:
		status.Conditions = slices.Delete(status.Conditions, at, at+1)
	}
	return status, next
}

// report writes a status that differs from the stored one. A write that met a newer version is tried once more on that;
// if it fails again the set is reconciled anew.
func (c *Controller[T]) report(ctx context.Context, object T, set *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	for attempt := range 2 {
		status.ObservedGeneration = set.Generation
		if equality.Semantic.DeepEqual(set.Status, status) {
			return nil
		}
		loop.Say(ctx, "Status", "replicas", status.Replicas, "ready", status.ReadyReplicas, "available", status.AvailableReplicas)
		_, err := client.Of[T](c.Client).UpdateStatus(ctx, c.kind.WithStatus(object, status))
		if apierrors.IsNotFound(err) {
			return nil // deleted meanwhile
		}
		if err == nil || attempt > 0 {
			return err
		}
		if object, err = client.Of[T](c.Client).Get(ctx, object.GetNamespace(), object.GetName()); err != nil {
			return controllers.IgnoreNotFound(err)
		}
		set = c.kind.View(object)
	}
	return nil
}
