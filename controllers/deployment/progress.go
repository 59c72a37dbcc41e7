package deployment

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/loop"
)

// Reasons of the Progressing condition.
const (
	reasonAvailable = "NewReplicaSetAvailable"
	reasonUpdated   = "ReplicaSetUpdated"
	reasonTimedOut  = "ProgressDeadlineExceeded"
	reasonPaused    = "DeploymentPaused"
	reasonResumed   = "DeploymentResumed"
)

// report writes the counts and how the rollout gets on: progressing, complete, or stuck for longer than
// progressDeadlineSeconds.
func (r *rollout) report(ctx context.Context) error {
	status := r.counted()
	if !r.hasDeadline() {
		removeCondition(&status, appsv1.DeploymentProgressing)
	}
	progressing := condition(&r.Status, appsv1.DeploymentProgressing)
	complete := status.Replicas == status.UpdatedReplicas && progressing != nil && progressing.Reason == reasonAvailable
	if r.hasDeadline() && !complete {
		r.progress(&status, progressing)
	}
	r.reportFailure(&status)
	r.lookAgain(&status)
	return r.write(ctx, status)
}

// progress sets the Progressing condition. A complete rollout is not judged again, however its pods fare later.
func (r *rollout) progress(status *appsv1.DeploymentStatus, before *appsv1.DeploymentCondition) {
	what := fmt.Sprintf("Deployment %q", r.Name)
	if current := r.current(); current != nil {
		what = fmt.Sprintf("ReplicaSet %q", current.Name)
	}
	switch {
	case r.complete(status):
		setCondition(status, appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonAvailable, what+" has successfully progressed.")
	case r.advanced(status):
		// The update time must move with every advance, for the deadline counts from it.
		removeCondition(status, appsv1.DeploymentProgressing)
		setCondition(status, appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonUpdated, what+" is progressing.")
		if before != nil && before.Status == corev1.ConditionTrue {
			condition(status, appsv1.DeploymentProgressing).LastTransitionTime = before.LastTransitionTime
		}
	case r.timedOut(status):
		setCondition(status, appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, what+" has timed out progressing.")
	}
}

// complete says whether every pod is of the new version and available.
func (r *rollout) complete(status *appsv1.DeploymentStatus) bool {
	wanted := *r.Spec.Replicas
	return status.UpdatedReplicas == wanted && status.Replicas == wanted && status.AvailableReplicas == wanted &&
		status.ObservedGeneration >= r.Generation
}

// advanced compares with the stored status: more new pods, fewer old ones, more ready, or more available.
func (r *rollout) advanced(status *appsv1.DeploymentStatus) bool {
	return status.UpdatedReplicas > r.Status.UpdatedReplicas ||
		status.Replicas-status.UpdatedReplicas < r.Status.Replicas-r.Status.UpdatedReplicas ||
		status.ReadyReplicas > r.Status.ReadyReplicas || status.AvailableReplicas > r.Status.AvailableReplicas
}

func (r *rollout) timedOut(status *appsv1.DeploymentStatus) bool {
	progressing := condition(status, appsv1.DeploymentProgressing)
	switch {
	case progressing == nil || progressing.Reason == reasonAvailable:
		return false
	case progressing.Reason == reasonTimedOut:
		return true
	}
	return r.deadlineAfter(progressing) < 0
}

func (r *rollout) deadlineAfter(progressing *appsv1.DeploymentCondition) time.Duration {
	return time.Until(progressing.LastUpdateTime.Add(time.Duration(*r.Spec.ProgressDeadlineSeconds) * time.Second))
}

// lookAgain asks for a step after the deadline: when a rollout is stuck nothing else brings one.
func (r *rollout) lookAgain(status *appsv1.DeploymentStatus) {
	progressing := condition(status, appsv1.DeploymentProgressing)
	if !r.hasDeadline() || progressing == nil || progressing.Reason == reasonTimedOut || r.complete(status) {
		return
	}
	if progressing.Reason == reasonAvailable {
		return
	}
	// The condition's time has whole seconds: one more makes sure that the deadline has passed.
	r.next = max(r.deadlineAfter(progressing)+time.Second, 10*time.Millisecond)
}

// reportFailure shows a ReplicaSet's trouble with creating pods in the Deployment's conditions.
func (r *rollout) reportFailure(status *appsv1.DeploymentStatus) {
	removed := condition(status, appsv1.DeploymentReplicaFailure)
	failure := r.failure()
	if failure == nil {
		if removed != nil {
			removeCondition(status, appsv1.DeploymentReplicaFailure)
		}
		return
	}
	setCondition(status, appsv1.DeploymentReplicaFailure, failure.Status, failure.Reason, failure.Message)
}

func (r *rollout) failure() *appsv1.ReplicaSetCondition {
	sets := r.old()
	if current := r.current(); current != nil {
		sets = append([]*appsv1.ReplicaSet{current}, sets...)
	}
	for _, set := range sets {
		for i := range set.Status.Conditions {
			if set.Status.Conditions[i].Type == appsv1.ReplicaSetReplicaFailure {
				return &set.Status.Conditions[i]
			}
		}
	}
	return nil
}

// notePause shows in the Progressing condition that a rollout was paused or resumed, so that the time between does not
// count against the deadline.
func (r *rollout) notePause(ctx context.Context) error {
	progressing := r.condition(appsv1.DeploymentProgressing)
	if !r.hasDeadline() || progressing != nil && progressing.Reason == reasonTimedOut {
		return nil
	}
	noted := progressing != nil && progressing.Reason == reasonPaused
	switch {
	case r.Spec.Paused && !noted:
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !r.Spec.Paused && noted:
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	default:
		return nil
	}
	loop.Say(ctx, "PauseChanged", "paused", r.Spec.Paused)
	return r.writeStatus(ctx)
}
