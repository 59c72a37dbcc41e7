package kubelet_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

// smallNode has 1 GiB of memory and of disk.
func smallNode(config *kubelet.Config, _ *sim.Config) {
	config.Capacity = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceEphemeralStorage: resource.MustParse("1Gi")}
}

// using makes a pod that uses so much memory.
func (b *bubble) using(name, memory, spec string) {
	b.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{sim.UseMemory: memory}}}
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		b.t.Fatal(err)
	}
	pod.Spec.NodeName = "worker-1"
	b.create(pod)
	b.pass(10 * time.Millisecond)
}

// condition is a condition of the node: its status and its reason.
func (b *bubble) condition(kind corev1.NodeConditionType) string {
	b.t.Helper()
	node, err := client.Of[*corev1.Node](b.user).Get(b.ctx, "", "worker-1")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return "missing"
}

func requesting(memory string) string {
	return `{containers: [{name: app, image: busybox, command: [wait], resources: {requests: {memory: ` + memory + `}}}]}`
}

// TestANodeShortOfMemoryEvicts: who uses more than it asked for goes first; the node says that it is under pressure, takes
// no pod without requests meanwhile, and is well again after five minutes.
func TestANodeShortOfMemoryEvicts(t *testing.T) {
	inBubble(t, smallNode, func(b *bubble) {
		b.using("modest", "350Mi", requesting("500Mi"))
		b.using("greedy", "300Mi", requesting("100Mi"))
		b.using("small", "10Mi", `{containers: [{name: app, image: busybox, command: [wait]}]}`)
		b.pass(30 * time.Second)
		b.want("greedy", "Running | app:Running ready")
		if got := b.condition(corev1.NodeMemoryPressure); got != "False KubeletHasSufficientMemory" {
			t.Errorf("before, MemoryPressure is %s", got)
		}
		b.using("burst", "250Mi", requesting("10Mi"))
		b.pass(11 * time.Second)
		b.want("burst", "Running | app:Running ready")
		b.want("greedy", "Running | app:Running ready")
		b.using("last", "30Mi", requesting("10Mi")) // 1024 - 940 = 84 MiB are left
		b.pass(11 * time.Second)
		b.want("modest", "Running | app:Running ready")
		b.want("burst", "Failed | Evicted | app:Error(143)") // 240 MiB beyond its request, greedy only 200
		b.want("greedy", "Running | app:Running ready")
		pod := b.get("burst")
		message := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 84Mi. " +
			"Container app was using 250Mi, request is 10Mi, has larger consumption of memory. "
		if pod.Status.Message != message {
			t.Errorf("the message is %q, wanted %q", pod.Status.Message, message)
		}
		b.wantEvent("burst", "Evicted: "+message)
		if got := b.condition(corev1.NodeMemoryPressure); got != "True KubeletHasInsufficientMemory" {
			t.Errorf("after, MemoryPressure is %s", got)
		}
		disrupted := false
		for _, c := range pod.Status.Conditions {
			disrupted = disrupted || c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonTerminationByKubelet
		}
		if !disrupted {
			t.Errorf("the evicted pod has the conditions %v", pod.Status.Conditions)
		}
		b.using("refused", "1Mi", `{containers: [{name: app, image: busybox, command: [wait]}]}`)
		b.using("taken", "1Mi", requesting("1Mi"))
		b.want("refused", "Failed | Evicted")
		if message := b.get("refused").Status.Message; message != "Pod was rejected: The node had condition: [MemoryPressure]. " {
			t.Errorf("a pod without requests is refused with %q", message)
		}
		b.want("taken", "Running | app:Running ready")
		b.pass(6 * time.Minute)
		if got := b.condition(corev1.NodeMemoryPressure); got != "False KubeletHasSufficientMemory" {
			t.Errorf("six minutes later, MemoryPressure is %s", got)
		}
	})
}

// TestAFilledNode: a node may be filled on purpose; critical pods stay.
func TestAFilledNode(t *testing.T) {
	for what, want := range map[corev1.ResourceName]struct {
		condition        corev1.NodeConditionType
		before, pressed  string
		messageOfEvicted string
	}{
		corev1.ResourceMemory:           {corev1.NodeMemoryPressure, "False KubeletHasSufficientMemory", "True KubeletHasInsufficientMemory", "low on resource: memory"},
		corev1.ResourceEphemeralStorage: {corev1.NodeDiskPressure, "False KubeletHasNoDiskPressure", "True KubeletHasDiskPressure", "low on resource: ephemeral-storage"},
		"pids":                          {corev1.NodePIDPressure, "False KubeletHasSufficientPID", "True KubeletHasInsufficientPID", "low on resource: pids"},
	} {
		t.Run(string(what), func(t *testing.T) {
			inBubble(t, smallNode, func(b *bubble) {
				b.using("it", "200Mi", requesting("10Mi"))
				b.pass(20 * time.Second)
				if got := b.condition(want.condition); got != want.before {
					t.Errorf("before, the condition is %s", got)
				}
				if err := b.kubelet.Fill(what); err != nil {
					t.Fatal(err)
				}
				b.pass(2 * time.Second)
				b.want("it", "Failed | Evicted | app:Error(143)")
				if message := b.get("it").Status.Message; !strings.Contains(message, want.messageOfEvicted) {
					t.Errorf("the message is %q", message)
				}
				if got := b.condition(want.condition); got != want.pressed {
					t.Errorf("filled, the condition is %s", got)
				}
				b.kubelet.Unfill(what)
				b.pass(6 * time.Minute)
				if got := b.condition(want.condition); got != want.before {
					t.Errorf("afterwards, the condition is %s", got)
				}
			})
		})
	}
}

// TestFilesBeyondTheirLimit: a volume, a container or a pod that holds more than it may costs the pod its life.
func TestFilesBeyondTheirLimit(t *testing.T) {
	for name, c := range map[string]struct{ spec, message string }{
		"volume": {`{volumes: [{name: v, emptyDir: {sizeLimit: "10"}}], containers: [{name: app, image: busybox, command: [keep, /v/file, "12345678901"], volumeMounts: [{name: v, mountPath: /v}]}]}`,
			`Usage of EmptyDir volume "v" exceeds the limit "10". `},
		"pod": {`{containers: [{name: app, image: busybox, command: [keep, /tmp/file, "12345678901"], resources: {limits: {ephemeral-storage: "10"}}}]}`,
			`Pod ephemeral local storage usage exceeds the total limit of containers 10. `},
		"within": {`{volumes: [{name: v, emptyDir: {sizeLimit: "20"}}], containers: [{name: app, image: busybox, command: [keep, /v/file, "12345678901"], volumeMounts: [{name: v, mountPath: /v}]}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.pod("it", c.spec)
				b.pass(12 * time.Second)
				if c.message == "" {
					b.want("it", "Running | app:Running ready")
					return
				}
				b.want("it", "Failed | Evicted | app:Error(143)")
				if message := b.get("it").Status.Message; message != c.message {
					t.Errorf("the message is %q, wanted %q", message, c.message)
				}
			})
		})
	}
}
