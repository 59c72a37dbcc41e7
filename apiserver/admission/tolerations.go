package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kubette/apiserver"
)

// DefaultTolerationSeconds lets a pod stay for five minutes on a node that is not ready or cannot be reached, unless the
// pod says something else.
type DefaultTolerationSeconds struct{ mutates }

func (DefaultTolerationSeconds) Name() string { return "DefaultTolerationSeconds" }

const tolerationSeconds = 300

func (DefaultTolerationSeconds) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !of(r, "", "pods") {
		return nil
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerated := slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if !tolerated {
			seconds := int64(tolerationSeconds)
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return nil
}

// TaintNodesByCondition taints every new node as not ready, so that no pod comes before the node lifecycle controller has
// seen it ready.
type TaintNodesByCondition struct{ mutates }

func (TaintNodesByCondition) Name() string { return "TaintNodesByCondition" }

func (TaintNodesByCondition) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	node, ok := r.Object.(*corev1.Node)
	if !ok || r.Operation != create || !of(r, "", "nodes") {
		return nil
	}
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&notReady) }) {
		node.Spec.Taints = append(node.Spec.Taints, notReady)
	}
	return nil
}
