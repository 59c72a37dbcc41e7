package kubelet_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

func TestDeletedAtAnyPoint(t *testing.T) {
	slow := func(_ *kubelet.Config, s *sim.Config) { s.PullTime = 5 * time.Second }
	for name, spec := range map[string]string{
		"while its image is pulled":    `{containers: [{name: app, image: busybox}]}`,
		"while a volume is missing":    `{volumes: [{name: v, configMap: {name: none}}], containers: [{name: app, image: busybox}]}`,
		"while its hook runs":          `{containers: [{name: app, image: busybox, lifecycle: {postStart: {sleep: {seconds: 29}}}}]}`,
		"while it waits to restart":    `{containers: [{name: app, image: busybox, command: [exit, "1"]}]}`,
		"while an init container runs": `{initContainers: [{name: one, image: busybox}], containers: [{name: app, image: busybox}]}`,
		"after its end":                `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [exit, "1"]}]}`,
	} {
		for _, after := range []time.Duration{0, time.Second, 7 * time.Second, 20 * time.Second} {
			inBubble(t, slow, func(b *bubble) {
				b.pod("it", spec)
				b.pass(after)
				b.delete("it", nil)
				b.pass(time.Second)
				if !b.gone("it") {
					t.Errorf("%s, after %v: the pod is still there: %s", name, after, b.summary("it"))
				}
				boxes, _ := b.runtime.ListPodSandboxes(b.ctx)
				containers, _ := b.runtime.ListContainers(b.ctx, "")
				if len(boxes)+len(containers) > 0 {
					t.Errorf("%s, after %v: left over are %v %v", name, after, boxes, containers)
				}
			})
		}
	}
}

func TestFinalizerHoldsOnlyTheObject(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "it", Finalizers: []string{"example.com/hold"}},
			Spec: corev1.PodSpec{NodeName: "worker-1", Containers: []corev1.Container{{Name: "app", Image: "busybox"}}}}
		b.create(pod)
		b.pass(time.Second)
		b.delete("it", nil)
		b.pass(time.Minute)
		b.want("it", "Failed | app:Error(143)")
		if left, _ := b.runtime.ListContainers(b.ctx, ""); len(left) > 0 {
			t.Errorf("containers are left over: %v", left)
		}
		if _, err := client.Of[*corev1.Pod](b.user).Patch(b.ctx, "default", "it", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)); err != nil {
			t.Fatal(err)
		}
		if !b.gone("it") {
			t.Error("the object is still there")
		}
	})
}

func TestDebugContainer(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		changed := b.get("it").DeepCopy()
		changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox", Command: []string{"say", "hello"}}}}
		if _, err := b.user.Update(b.ctx, client.ResourceOf[*corev1.Pod](), "default", "it", changed, metav1.UpdateOptions{}, "ephemeralcontainers"); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Minute)
		b.want("it", "Running | app:Running ready | debug:Completed(0)")
	})
}

func TestSimulatedImage(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("db", `{containers: [{name: db, image: postgres, readinessProbe: {exec: {command: [pg_isready]}}, livenessProbe: {tcpSocket: {port: 5432}}}]}`)
		b.pass(time.Minute)
		b.want("db", "Running | db:Running ready")
		b.create(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "job", Annotations: map[string]string{sim.RunFor: "5s", sim.ExitCode: "4"}},
			Spec:       corev1.PodSpec{NodeName: "worker-1", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "app", Image: "perl"}}},
		})
		b.pass(4 * time.Second)
		b.want("job", "Running | app:Running ready")
		b.pass(2 * time.Second)
		b.want("job", "Failed | app:Error(4)")
	})
}

func TestNode(t *testing.T) {
	inBubble(t, func(c *kubelet.Config, _ *sim.Config) { c.Labels = map[string]string{"zone": "a"} }, func(b *bubble) {
		node, err := client.Of[*corev1.Node](b.user).Get(b.ctx, "", "worker-1")
		if err != nil {
			t.Fatal(err)
		}
		if node.Labels["zone"] != "a" || node.Labels[corev1.LabelHostname] != "worker-1" || node.Spec.PodCIDR != "10.97.1.0/24" {
			t.Errorf("labels and range are %v, %s", node.Labels, node.Spec.PodCIDR)
		}
		var reasons []string
		for _, c := range node.Status.Conditions {
			reasons = append(reasons, c.Reason)
		}
		if len(reasons) != 4 || reasons[3] != "KubeletReady" {
			t.Errorf("the conditions are %v", reasons)
		}
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		b.pass(time.Second)
		if node, _ = client.Of[*corev1.Node](b.user).Get(b.ctx, "", "worker-1"); len(node.Status.Images) != 1 {
			t.Errorf("the images are %v", node.Status.Images)
		}
		b.runtime.PowerOff()
		b.pass(11 * time.Second)
		node, _ = client.Of[*corev1.Node](b.user).Get(b.ctx, "", "worker-1")
		if c := node.Status.Conditions[3]; c.Status != corev1.ConditionFalse || c.Reason != "KubeletNotReady" {
			t.Errorf("without its runtime the node is %s: %s", c.Reason, c.Message)
		}
		b.runtime.PowerOn()
		b.pass(11 * time.Second)
		node, _ = client.Of[*corev1.Node](b.user).Get(b.ctx, "", "worker-1")
		if c := node.Status.Conditions[3]; c.Status != corev1.ConditionTrue {
			t.Errorf("with its runtime again the node is %s: %s", c.Reason, c.Message)
		}
		b.want("it", "Running | app:Running last Error(137) ready restarts=1")
	})
}
