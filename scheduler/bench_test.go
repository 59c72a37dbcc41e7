package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// How long it takes until the last of a ReplicaSet's pods, created at once, is bound in the API.
func BenchmarkSchedule(b *testing.B) {
	for _, size := range []struct{ nodes, pods int }{{100, 500}, {100, 5000}, {1000, 5000}, {1000, 20000}} {
		b.Run(fmt.Sprintf("nodes=%d/pods=%d", size.nodes, size.pods), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				var nodes []*corev1.Node
				for i := range size.nodes {
					nodes = append(nodes, makeNode(fmt.Sprintf("worker-%d", i), "64", "256Gi"))
				}
				c, stop := start(b, nodes)
				pods := client.Of[*corev1.Pod](c.api)
				owner := &appsv1.ReplicaSet{
					ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}},
					Spec: appsv1.ReplicaSetSpec{
						Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
						Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: makePod("web", "10m").Spec},
					},
				}
				owner, err := client.Of[*appsv1.ReplicaSet](c.api).Create(c.ctx, owner)
				if err != nil {
					b.Fatal(err)
				}
				c.machine.Gate("default-scheduler").Pause()
				for i := range size.pods {
					pod := makePod(fmt.Sprintf("web-%d", i), "10m")
					pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
					if _, err := pods.Create(c.ctx, pod); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				began := time.Now()
				c.machine.Gate("default-scheduler").Resume()
				watch, err := pods.Watch(c.ctx, "default", metav1.ListOptions{})
				if err != nil {
					b.Fatal(err)
				}
				bound := map[string]bool{}
				for event := range watch.ResultChan() {
					if pod, ok := event.Object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
						if bound[pod.Name] = true; len(bound) == size.pods {
							break
						}
					}
				}
				watch.Stop()
				b.ReportMetric(float64(time.Since(began).Microseconds())/float64(size.pods), "µs/pod")
				b.StopTimer()
				stop()
				b.StartTimer()
			}
		})
	}
}
