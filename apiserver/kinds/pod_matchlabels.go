package kinds

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// applyMatchLabelKeys writes the values of the pod's own labels into the selectors that ask for them by key
// (matchLabelKeys), so that the scheduler finds plain selectors.
func applyMatchLabelKeys(pod *corev1.Pod) {
	if a := pod.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			mergePodTerms(pod, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			mergePodTerms(pod, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		mergeLabels(pod, c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

func mergePodTerms(pod *corev1.Pod, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		mergePodTerm(pod, &required[i])
	}
	for i := range preferred {
		mergePodTerm(pod, &preferred[i].PodAffinityTerm)
	}
}

func mergePodTerm(pod *corev1.Pod, term *corev1.PodAffinityTerm) {
	mergeLabels(pod, term.LabelSelector, term.MatchLabelKeys, metav1.LabelSelectorOpIn)
	mergeLabels(pod, term.LabelSelector, term.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
}

// mergeLabels adds an expression for each key that the pod has a label for. Without a selector there is nothing to add
// to; validation refuses that.
func mergeLabels(pod *corev1.Pod, selector *metav1.LabelSelector, keys []string, operator metav1.LabelSelectorOperator) {
	if selector == nil {
		return
	}
	for _, key := range keys {
		if value, ok := pod.Labels[key]; ok {
			selector.MatchExpressions = append(selector.MatchExpressions,
				metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: []string{value}})
		}
	}
}
