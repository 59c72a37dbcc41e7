package framework_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/scheduler/framework"
)

// What is taken over from a sibling is what would be worked out.
func TestNewSiblingIsNewPod(t *testing.T) {
	cpu := func(text string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(text)}}
	}
	shared := []corev1.Container{{Name: "main", Resources: cpu("2"), Ports: []corev1.ContainerPort{{HostPort: 80}}}}
	pod := func(change func(p *corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.PodSpec{Containers: shared}}
		if change != nil {
			change(p)
		}
		return p
	}
	whole := cpu("3")
	affinity := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
		{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, TopologyKey: "zone"},
	}}}
	other := pod(nil)
	for name, change := range map[string]func(p *corev1.Pod){
		"the same":         nil,
		"another priority": func(p *corev1.Pod) { p.Spec.Priority = new(int32(7)) },
		"other containers": func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "main", Resources: cpu("4")}} },
		"more containers": func(p *corev1.Pod) {
			p.Spec.Containers = append(shared[:1:1], corev1.Container{Name: "beside", Resources: cpu("1")})
		},
		"an init container":  func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "first", Resources: cpu("8")}} },
		"overhead":           func(p *corev1.Pod) { p.Spec.Overhead = cpu("1").Requests },
		"a request as whole": func(p *corev1.Pod) { p.Spec.Resources = &whole },
		"affinity":           func(p *corev1.Pod) { p.Spec.Affinity = affinity },
		"affinity elsewhere": func(p *corev1.Pod) { p.Spec.Affinity, p.Namespace = affinity, "other" },
		"it has been resized": func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", AllocatedResources: cpu("5").Requests}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []*framework.Pod{nil, framework.NewPod(other), framework.NewPod(pod(func(p *corev1.Pod) { p.Spec.Affinity = affinity }))} {
				object := pod(change)
				got, want := framework.NewSibling(object, before), framework.NewPod(object)
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(framework.Pod{}, framework.Term{}), cmpopts.IgnoreFields(framework.Term{}, "Selector")); diff != "" {
					t.Errorf("after %v (-want +got):\n%s", before, diff)
				}
			}
		})
	}
}
