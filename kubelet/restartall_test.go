package kubelet_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

const startsOver = `{volumes: [{name: v, emptyDir: {}}], restartPolicy: Never,
	initContainers: [{name: prepare, image: busybox, command: [say, ready]}],
	containers: [{name: app, image: busybox, command: [wait], lifecycle: {preStop: {sleep: {seconds: 25}}}},
		{name: judge, image: busybox, command: [once, /v/seen, "42"], volumeMounts: [{name: v, mountPath: /v}], restartPolicy: Never,
			restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [42]}}]}]}`

// TestAContainersEndStartsThePodOver: a rule may start all containers again, the init containers first, in the same
// sandbox and with the same volumes, without preStop hooks.
func TestAContainersEndStartsThePodOver(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", startsOver)
		address := b.get("it").Status.PodIP
		b.pass(3 * time.Second) // far less than the hook would take
		b.want("it", "Running | prepare:Completed(0) last Completed(0) ready restarts=1 | "+
			"app:Running last Error(143) ready restarts=1 | judge:Running last Error(42) ready restarts=1")
		pod := b.get("it")
		if pod.Status.PodIP != address {
			t.Errorf("the address was %s and is %s", address, pod.Status.PodIP)
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.AllContainersRestarting && c.Status == corev1.ConditionFalse {
				return
			}
		}
		t.Errorf("the condition AllContainersRestarting is not false: %v", pod.Status.Conditions)
	})
}

// TestARestartOfAllIsHeldBack: a pod that starts itself over again and again waits longer and longer, as one that crashes.
func TestARestartOfAllIsHeldBack(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", strings.Replace(startsOver, "once, /v/seen,", "exit,", 1))
		b.pass(3 * time.Second)
		b.want("it", "Running | prepare:Completed(0) last Completed(0) ready restarts=1 | "+
			"app:Running last Error(143) ready restarts=1 | judge:CrashLoopBackOff last Error(42) restarts=1")
		b.pass(20 * time.Second)
		if restarts := b.get("it").Status.ContainerStatuses[0].RestartCount; restarts != 2 {
			t.Errorf("the other container was restarted %d times after 23 seconds, wanted 2", restarts)
		}
	})
}

// TestAHostPathHasItsType: what a hostPath volume says of its path is checked, and made where that may be.
func TestAHostPathHasItsType(t *testing.T) {
	for _, c := range []struct{ kind, want, event string }{
		{"Directory", "Pending | app:ContainerCreating", `MountVolume.SetUp failed for volume "v" : hostPath type check failed: /data is not a directory`},
		{"File", "Pending | app:ContainerCreating", "hostPath type check failed: /data is not a file"},
		{"Socket", "Pending | app:ContainerCreating", "hostPath type check failed: /data is not a socket file"},
		{"BlockDevice", "Pending | app:ContainerCreating", "hostPath type check failed: /data is not a block device"},
		{"DirectoryOrCreate", "Running | app:Running ready", "Started"},
		{"FileOrCreate", "Running | app:Running ready", "Started"},
		{`""`, "Running | app:Running ready", "Started"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			inBubble(t, func(config *kubelet.Config, _ *sim.Config) { config.AllowHostPath = true }, func(b *bubble) {
				b.pod("it", `{volumes: [{name: v, hostPath: {path: /data, type: `+c.kind+`}}],
					containers: [{name: app, image: busybox, volumeMounts: [{name: v, mountPath: /v}]}]}`)
				b.pass(time.Second)
				b.want("it", c.want)
				b.wantEvent("it", c.event)
			})
		})
	}
}
