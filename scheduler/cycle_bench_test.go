package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"kubette/scheduler/framework"
)

// The choice alone: what one pod costs, on nodes that are half full with its siblings.
func BenchmarkCycle(b *testing.B) {
	for _, nodes := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			siblings := labels.SelectorFromSet(labels.Set{"app": "web"})
			s := &Scheduler{
				cluster: framework.NewCluster(), random: rand.New(rand.NewPCG(1, 2)), decisions: newDecisions(),
				nominated: map[types.UID]nomination{}, expected: map[string]int{},
				profile: defaultProfile(func(*corev1.Pod) labels.Selector { return siblings }, nil, ""),
			}
			for i := range nodes {
				name := fmt.Sprintf("worker-%d", i)
				s.cluster.SetNode(&corev1.Node{
					ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, "kubernetes.io/os": "linux"}},
					Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
					}},
				})
				for j := range 50 {
					s.cluster.AddPod(framework.NewPod(benchPod(fmt.Sprintf("%s-%d", name, j))), name)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				pod := framework.NewPod(benchPod(fmt.Sprint("new-", i)))
				t := &trial{queued: &queued{pod: pod}, cycle: &framework.Cycle{Pod: pod, Cluster: s.cluster}, record: &record{}}
				node, err := s.choose(t)
				if err != nil {
					b.Fatal(err)
				}
				t.record.note(t, nodes)
				s.decisions.keep(pod.Key(), t.record)
				s.cluster.AddPod(pod, node.Name)
				b.StopTimer()
				s.cluster.RemovePod(pod.UID, node.Name)
				b.StartTimer()
			}
		})
	}
}

func benchPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nginx:1", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
		}}}},
	}
}
