package statefulset

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/controllers"
)

// ordinal is the number in a pod's name, or -1.
func ordinal(set *appsv1.StatefulSet, pod *corev1.Pod) int {
	digits, ok := strings.CutPrefix(pod.Name, set.Name+"-")
	if !ok {
		return -1
	}
	number, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || number < 0 || strconv.FormatInt(number, 10) != digits {
		return -1
	}
	return int(number)
}

// isMember says whether a pod's name is one that the set gives.
func isMember(set *appsv1.StatefulSet, pod *corev1.Pod) bool { return ordinal(set, pod) >= 0 }

func podName(set *appsv1.StatefulSet, number int) string {
	return set.Name + "-" + strconv.Itoa(number)
}

func revisionOf(pod *corev1.Pod) string { return pod.Labels[appsv1.StatefulSetRevisionLabel] }

// newPod makes pod number n. Those below the partition of a rolling update keep the version that was current before.
func (r *run) newPod(number int) *corev1.Pod {
	template, revision := r.updateTemplate, r.update.Name
	strategy := r.set.Spec.UpdateStrategy
	if strategy.Type != appsv1.OnDeleteStatefulSetStrategyType && number < r.start()+r.partition() {
		template, revision = r.currentTemplate, r.current.Name
	}
	pod := controllers.PodFromTemplate(template, r.set)
	pod.Name = podName(r.set, number) // it keeps the unused generateName, in Kubernetes too
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[appsv1.StatefulSetRevisionLabel] = revision
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, r.set.Spec.ServiceName
	r.identify(pod)
	return pod
}

// identify gives a pod what follows from its number: labels and the volumes of its claims.
func (r *run) identify(pod *corev1.Pod) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal(r.set, pod))
	claimed := map[string]bool{}
	var volumes []corev1.Volume
	for i := range r.set.Spec.VolumeClaimTemplates {
		template := &r.set.Spec.VolumeClaimTemplates[i]
		claimed[template.Name] = true
		volumes = append(volumes, corev1.Volume{Name: template.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(r.set, template, ordinal(r.set, pod))},
		}})
	}
	for _, volume := range pod.Spec.Volumes {
		if !claimed[volume.Name] {
			volumes = append(volumes, volume)
		}
	}
	pod.Spec.Volumes = volumes
}

// identityMatches says whether a pod still bears the labels of its number.
func (r *run) identityMatches(pod *corev1.Pod) bool {
	return pod.Labels[appsv1.StatefulSetPodNameLabel] == pod.Name &&
		pod.Labels[appsv1.PodIndexLabel] == strconv.Itoa(ordinal(r.set, pod))
}

func claimName(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, number int) string {
	return fmt.Sprintf("%s-%s-%d", template.Name, set.Name, number)
}

// claimsFor are the claims of pod number n, as they are made.
func (r *run) claimsFor(number int) []*corev1.PersistentVolumeClaim {
	var claims []*corev1.PersistentVolumeClaim
	for i := range r.set.Spec.VolumeClaimTemplates {
		template := &r.set.Spec.VolumeClaimTemplates[i]
		claim := template.DeepCopy()
		claim.Name, claim.Namespace = claimName(r.set, template, number), r.set.Namespace
		merged := maps.Clone(claim.Labels)
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, r.set.Spec.Selector.MatchLabels)
		claim.Labels = merged
		claims = append(claims, claim)
	}
	return claims
}
