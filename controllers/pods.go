package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/ephemeral"

	"kubette/client"
)

// Events that all controllers of pods write, in Kubernetes' words.
const (
	SuccessfulCreate = "SuccessfulCreate"
	FailedCreate     = "FailedCreate"
	SuccessfulDelete = "SuccessfulDelete"
	FailedDelete     = "FailedDelete"
)

// IsFinished says whether a pod has run to its end.
func IsFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// IsActive says whether a pod still counts as one of its controller's: neither finished nor on its way out.
func IsActive(pod *corev1.Pod) bool { return !IsFinished(pod) && pod.DeletionTimestamp == nil }

// IsTerminating says whether a pod is on its way out and has not ended yet.
func IsTerminating(pod *corev1.Pod) bool { return !IsFinished(pod) && pod.DeletionTimestamp != nil }

// PodCondition returns a pod's condition of one type, or nil.
func PodCondition(status *corev1.PodStatus, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return &status.Conditions[i]
		}
	}
	return nil
}

// IsReady says whether a pod's Ready condition is true.
func IsReady(pod *corev1.Pod) bool {
	ready := PodCondition(&pod.Status, corev1.PodReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}

// IsAvailable says whether a pod has been ready for minReadySeconds. For one that is ready, but not for long enough, it
// also says how long until then.
func IsAvailable(pod *corev1.Pod, minReadySeconds int32) (bool, time.Duration) {
	ready := PodCondition(&pod.Status, corev1.PodReady)
	switch {
	case ready == nil || ready.Status != corev1.ConditionTrue:
		return false, 0
	case minReadySeconds == 0:
		return true, 0
	case ready.LastTransitionTime.IsZero():
		return false, 0
	}
	left := time.Until(ready.LastTransitionTime.Add(time.Duration(minReadySeconds) * time.Second))
	return left <= 0, max(left, 0)
}

// SetPodCondition sets a condition in a pod's status, and says whether that changed anything. The transition time moves
// only when the status does.
func SetPodCondition(status *corev1.PodStatus, condition corev1.PodCondition) bool {
	condition.LastTransitionTime = metav1.Now()
	old := PodCondition(status, condition.Type)
	if old == nil {
		status.Conditions = append(status.Conditions, condition)
		return true
	}
	if old.Status == condition.Status {
		condition.LastTransitionTime = old.LastTransitionTime
	}
	condition.LastProbeTime = old.LastProbeTime
	changed := *old != condition
	*old = condition
	return changed
}

// PodFromTemplate makes the pod that a template describes, for an owner who will control it. Its name is generated from
// the owner's.
func PodFromTemplate(template *corev1.PodTemplateSpec, owner client.Object) *corev1.Pod {
	prefix := owner.GetName() + "-"
	if len(validation.NameIsDNSSubdomain(prefix, true)) != 0 {
		prefix = owner.GetName()
	}
	copied := template.DeepCopy()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName:    prefix,
			Namespace:       owner.GetNamespace(),
			Labels:          copied.Labels,
			Annotations:     copied.Annotations,
			Finalizers:      slices.Clone(copied.Finalizers),
			OwnerReferences: []metav1.OwnerReference{OwnerRef(owner)},
		},
		Spec: copied.Spec,
	}
}

// CreatePod creates a pod for its owner, and says so in an event.
func (b Base) CreatePod(ctx context.Context, owner client.Object, pod *corev1.Pod) (*corev1.Pod, error) {
	if len(pod.Labels) == 0 {
		return nil, fmt.Errorf("unable to create pods, no labels")
	}
	created, err := client.Of[*corev1.Pod](b.Client).Create(ctx, pod)
	if err != nil {
		// A namespace on its way out takes nothing new: that is no failure to tell people about.
		if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			b.Events.Event(owner, corev1.EventTypeWarning, FailedCreate, "Error creating: %v", err)
		}
		return nil, err
	}
	b.Events.Event(owner, corev1.EventTypeNormal, SuccessfulCreate, "Created pod: %v", created.Name)
	return created, nil
}

// DeletePod deletes a pod of an owner, and says so in an event. A pod that is gone already is an apierrors.IsNotFound.
func (b Base) DeletePod(ctx context.Context, owner client.Object, pod *corev1.Pod) error {
	err := client.Of[*corev1.Pod](b.Client).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		b.Events.Event(owner, corev1.EventTypeWarning, FailedDelete, "Error deleting: %v", err)
		return fmt.Errorf("unable to delete pods: %w", err)
	}
	b.Events.Event(owner, corev1.EventTypeNormal, SuccessfulDelete, "Deleted pod: %v", pod.Name)
	return nil
}

// SlowStart calls a function count times, in batches that double: 1, 2, 4, … A failed batch ends it, so that a quota or
// a broken template is met by few failures, not by hundreds. It returns how many calls succeeded, and the first error.
func SlowStart(count int, call func(index int) error) (int, error) {
	succeeded := 0
	for start, size := 0, 1; start < count; size *= 2 {
		size = min(size, count-start)
		if done, err := inParallel(start, size, call); err != nil {
			return succeeded + done, err
		}
		succeeded, start = succeeded+size, start+size
	}
	return succeeded, nil
}

// IsSidecar says that an init container always restarts: it runs beside the pod's own containers.
func IsSidecar(container *corev1.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// ClaimName is the claim that a pod's volume is: one that it names, or the one that is made for the pod; "" for any other
// volume.
func ClaimName(pod *corev1.Pod, volume *corev1.Volume) string {
	switch {
	case volume.PersistentVolumeClaim != nil:
		return volume.PersistentVolumeClaim.ClaimName
	case volume.Ephemeral != nil:
		return ephemeral.VolumeClaimName(pod, volume)
	}
	return ""
}
