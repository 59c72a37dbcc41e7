package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// Priority looks up the number behind a pod's priority class, and allows one default class.
type Priority struct{}

func (Priority) Name() string { return "Priority" }

func (Priority) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !of(r, "", "pods") {
		return nil
	}
	if r.Operation == update {
		// What was decided at the creation stays.
		if old, ok := r.Old.(*corev1.Pod); ok {
			if pod.Spec.Priority == nil {
				pod.Spec.Priority = old.Spec.Priority
			}
			if pod.Spec.PreemptionPolicy == nil {
				pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
			}
		}
		return nil
	}
	value, policy := int32(0), corev1.PreemptLowerPriority
	class, err := classOf(r, pod)
	if err != nil {
		return err
	}
	if class != nil {
		pod.Spec.PriorityClassName, value = class.Name, class.Value
		if class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	}
	if given := pod.Spec.Priority; given != nil && *given != value {
		return forbidden(r, fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *given, value))
	}
	if given := pod.Spec.PreemptionPolicy; given != nil && *given != policy {
		return forbidden(r, fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *given, policy))
	}
	pod.Spec.Priority, pod.Spec.PreemptionPolicy = &value, &policy
	return nil
}

// classOf is the class that a pod names, or the default one, or nil.
func classOf(r *apiserver.AdmissionRequest, pod *corev1.Pod) (*schedulingv1.PriorityClass, error) {
	name := pod.Spec.PriorityClassName
	if name == "" {
		return defaultClass(r.Cluster), nil
	}
	object, found := r.Cluster.Get(schedulingv1.GroupName, "priorityclasses", "", name)
	class, ok := object.(*schedulingv1.PriorityClass)
	if !found || !ok {
		return nil, forbidden(r, fmt.Errorf("no PriorityClass with name %v was found", name))
	}
	return class, nil
}

// defaultClass is the default priority class, of several that with the lowest value.
func defaultClass(cluster kinds.Cluster) *schedulingv1.PriorityClass {
	var lowest *schedulingv1.PriorityClass
	for _, object := range cluster.List(schedulingv1.GroupName, "priorityclasses", "") {
		class, ok := object.(*schedulingv1.PriorityClass)
		if ok && class.GlobalDefault && (lowest == nil || class.Value < lowest.Value) {
			lowest = class
		}
	}
	return lowest
}

// Validate refuses a second default class.
func (Priority) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	class, ok := r.Object.(*schedulingv1.PriorityClass)
	if !ok || r.Operation != create && r.Operation != update || !class.GlobalDefault {
		return nil
	}
	if there := defaultClass(r.Cluster); there != nil && there.Name != class.Name {
		return forbidden(r, fmt.Errorf("PriorityClass %v is already marked as default. Only one default can exist", there.Name))
	}
	return nil
}
