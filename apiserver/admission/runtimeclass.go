package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"kubette/apiserver"
)

// RuntimeClass gives a pod what its runtime class says: what the runtime itself needs, and where it can run.
type RuntimeClass struct{}

func (RuntimeClass) Name() string { return "RuntimeClass" }

func (RuntimeClass) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := newPod(r)
	if !ok || pod.Spec.RuntimeClassName == nil {
		return nil
	}
	class, err := runtimeClassOf(r, pod)
	if err != nil {
		return err
	}
	if class.Overhead != nil {
		if pod.Spec.Overhead != nil && !equality.Semantic.DeepEqual(pod.Spec.Overhead, class.Overhead.PodFixed) {
			return forbidden(r, errors.New("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
		}
		pod.Spec.Overhead = class.Overhead.PodFixed.DeepCopy()
	}
	if class.Scheduling == nil {
		return nil
	}
	if err := mergeSelector(pod, class.Scheduling.NodeSelector); err != nil {
		return forbidden(r, err)
	}
	for _, t := range class.Scheduling.Tolerations {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, *t.DeepCopy())
	}
	return nil
}

func mergeSelector(pod *corev1.Pod, selector map[string]string) error {
	merged := maps.Clone(pod.Spec.NodeSelector)
	for key, value := range selector {
		if own, set := merged[key]; set && own != value {
			return fmt.Errorf("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, own)
		}
		if merged == nil {
			merged = map[string]string{}
		}
		merged[key] = value
	}
	pod.Spec.NodeSelector = merged
	return nil
}

func runtimeClassOf(r *apiserver.AdmissionRequest, pod *corev1.Pod) (*nodev1.RuntimeClass, error) {
	object, found := r.Cluster.Get(nodev1.GroupName, "runtimeclasses", "", *pod.Spec.RuntimeClassName)
	class, ok := object.(*nodev1.RuntimeClass)
	if !found || !ok {
		return nil, forbidden(r, fmt.Errorf("pod rejected: RuntimeClass %q not found", *pod.Spec.RuntimeClassName))
	}
	return class, nil
}

// Validate refuses an overhead that no class gave.
func (RuntimeClass) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := newPod(r)
	if !ok || pod.Spec.Overhead == nil {
		return nil
	}
	if pod.Spec.RuntimeClassName == nil {
		return forbidden(r, errors.New("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
	}
	class, err := runtimeClassOf(r, pod)
	if err != nil {
		return err
	}
	if class.Overhead == nil {
		return forbidden(r, errors.New("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
	}
	return nil
}
