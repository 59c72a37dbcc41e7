package controllers

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// nodeIndex finds pods by the node that they are on.
const nodeIndex = "node"

// IndexByNode makes OnNode quick. All controllers share the index.
func IndexByNode(pods client.Informer[*corev1.Pod]) {
	pods.AddIndex(nodeIndex, func(pod *corev1.Pod) []string {
		if pod.Spec.NodeName == "" {
			return nil
		}
		return []string{pod.Spec.NodeName}
	})
}

// OnNode returns the pods that are bound to a node.
func OnNode(pods client.Informer[*corev1.Pod], node string) []*corev1.Pod {
	return pods.ByIndex(nodeIndex, node)
}

// NodeCondition returns a node's condition of one type, or nil.
func NodeCondition(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

// MarkDisrupted notes on a pod, before it is deleted, that it goes because of a disruption and not because its work is
// done. A phase that is not "" is set too. A pod that is gone is an apierrors.IsNotFound.
func (b Base) MarkDisrupted(ctx context.Context, pod *corev1.Pod, reason, message string, phase corev1.PodPhase) error {
	status := pod.Status.DeepCopy()
	changed := SetPodCondition(status, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: pod.Generation,
	})
	if phase != "" && status.Phase != phase {
		status.Phase, changed = phase, true
	}
	if !changed {
		return nil
	}
	fields := map[string]any{"conditions": []corev1.PodCondition{*PodCondition(status, corev1.DisruptionTarget)}}
	if phase != "" {
		fields["phase"], fields["observedGeneration"] = phase, pod.Generation
	}
	return b.PatchPodStatus(ctx, pod, fields)
}

// PatchPodStatus changes some fields of a pod's status only: the kubelet may be writing the others.
func (b Base) PatchPodStatus(ctx context.Context, pod *corev1.Pod, fields map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": fields})
	if err != nil {
		return err
	}
	_, err = client.Of[*corev1.Pod](b.Client).Patch(ctx, pod.Namespace, pod.Name, types.StrategicMergePatchType, patch, "status")
	return err
}
