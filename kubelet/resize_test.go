package kubelet_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

// resize asks for other cpu requests of a pod's container.
func (b *bubble) resize(name, cpu string) {
	b.t.Helper()
	patch := []byte(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"` + cpu + `"}}}]}}`)
	if _, err := client.Of[*corev1.Pod](b.user).Patch(b.ctx, "default", name, types.StrategicMergePatchType, patch, "resize"); err != nil {
		b.t.Fatal(err)
	}
	b.pass(time.Second)
}

// resizing is what the pod says of its resize, and what the container was given.
func (b *bubble) resizing(name string) string {
	b.t.Helper()
	pod := b.get(name)
	text := pod.Status.ContainerStatuses[0].AllocatedResources.Cpu().String()
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress {
			text += " " + string(c.Type) + " " + c.Reason + ": " + c.Message
		}
	}
	return text
}

// TestAResizeWaitsForRoom: what the node could never give is infeasible; what others hold is deferred, and given when one
// of them goes, also over a restart of the kubelet.
func TestAResizeWaitsForRoom(t *testing.T) {
	twoCPUs := func(config *kubelet.Config, _ *sim.Config) {
		config.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	}
	const spec = `{containers: [{name: app, image: busybox, resources: {requests: {cpu: 500m}}}], terminationGracePeriodSeconds: 1}`
	for _, restart := range []bool{false, true} {
		inBubble(t, twoCPUs, func(b *bubble) {
			want := func(text string) {
				t.Helper()
				if got := b.resizing("it"); got != text {
					t.Fatalf("the resize is %q, wanted %q", got, text)
				}
			}
			b.pod("it", spec)
			b.pod("other", spec)
			b.pod("third", spec)
			b.pass(time.Second)
			b.resize("it", "3")
			want("500m PodResizePending Infeasible: Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000")
			b.resize("it", "1500m")
			want("500m PodResizePending Deferred: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000")
			if restart {
				b.stop()
				b.startKubelet()
				b.pass(time.Second)
				want("500m PodResizePending Deferred: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000")
			}
			b.resize("third", "600m") // what waits holds nothing
			if got := b.resizing("third"); got != "600m" {
				t.Errorf("the other pod's resize is %q", got)
			}
			b.resize("third", "500m")
			b.delete("other", nil)
			b.pass(2 * time.Second)
			want("1500m")
			if err := client.Of[*corev1.Pod](b.user).Delete(b.ctx, "default", "it", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
