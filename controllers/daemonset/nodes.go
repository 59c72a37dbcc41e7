package daemonset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// tolerated are the taints that every daemon pod tolerates.
var tolerated = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

var toleratedOnHostNetwork = corev1.Toleration{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}

// tolerate gives a pod spec the tolerations of daemon pods, in place of the same ones with other settings.
func tolerate(spec *corev1.PodSpec) {
	add := func(toleration corev1.Toleration) {
		for i := range spec.Tolerations {
			if spec.Tolerations[i].MatchToleration(&toleration) {
				spec.Tolerations[i] = toleration
				return
			}
		}
		spec.Tolerations = append(spec.Tolerations, toleration)
	}
	for _, toleration := range tolerated {
		add(toleration)
	}
	if spec.HostNetwork {
		add(toleratedOnHostNetwork)
	}
}

// belongs says whether a node should get a pod of the set, and whether one that runs there may stay: a NoSchedule taint
// does not drive it away.
func belongs(set *appsv1.DaemonSet, node *corev1.Node) (should, mayStay bool) {
	spec := set.Spec.Template.Spec.DeepCopy()
	tolerate(spec)
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return false, false
	}
	if fits, err := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: *spec}).Match(node); err != nil || !fits {
		return false, false
	}
	untolerated := func(effects ...corev1.TaintEffect) bool {
		_, found := scheduling.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, spec.Tolerations,
			func(taint *corev1.Taint) bool { return slices.Contains(effects, taint.Effect) }, true)
		return found
	}
	return !untolerated(corev1.TaintEffectNoExecute, corev1.TaintEffectNoSchedule), !untolerated(corev1.TaintEffectNoExecute)
}

// pin makes a pod be scheduled to one node only, on top of what its own affinity asks for.
func pin(spec *corev1.PodSpec, node string) {
	here := []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	affinity := spec.Affinity.NodeAffinity
	if affinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		affinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: here}}}
		return
	}
	// The template's affinity has decided already that the node is among those wanted.
	affinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms = []corev1.NodeSelectorTerm{{MatchFields: here}}
}

// targetNode is the node that a pod is on, or pinned to.
func targetNode(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return pod.Spec.NodeName
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil || pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == "metadata.name" && field.Operator == corev1.NodeSelectorOpIn && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}
