package kubelet_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestPodRunsAndReportsItself(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("web", `{containers: [{name: app, image: busybox}]}`)
		b.want("web", "Running | app:Running ready")
		pod := b.get("web")
		if pod.Status.PodIP != "10.97.1.2" || pod.Status.HostIP != "10.97.0.2" || pod.Status.StartTime == nil {
			t.Errorf("addresses and start are %q, %q, %v", pod.Status.PodIP, pod.Status.HostIP, pod.Status.StartTime)
		}
		for _, c := range pod.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				t.Errorf("condition %s is %s: %s %s", c.Type, c.Status, c.Reason, c.Message)
			}
		}
		b.wantEvent("web", "Container started")
		t.Log(b.events("web"))
	})
}

func TestCrashingContainerBacksOff(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("crash", `{containers: [{name: app, image: busybox, command: [exit, "1"]}]}`)
		b.want("crash", "Running | app:CrashLoopBackOff last Error(1) restarts=1")
		for i, wait := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
			b.pass(wait*time.Second - 500*time.Millisecond)
			if got := b.get("crash").Status.ContainerStatuses[0].RestartCount; got != int32(i+1) {
				t.Fatalf("before the wait of %d s is over there are %d restarts, wanted %d", wait, got, i+1)
			}
			b.pass(500 * time.Millisecond)
			if got := b.get("crash").Status.ContainerStatuses[0].RestartCount; got != int32(i+2) {
				t.Fatalf("after the wait of %d s there are %d restarts, wanted %d", wait, got, i+2)
			}
		}
		b.wantEvent("crash", "BackOff: Back-off restarting failed container app in pod crash_default(")
	})
}

func TestPodEndsGracefully(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("good", `{containers: [{name: app, image: busybox}]}`)
		b.pod("deaf", `{terminationGracePeriodSeconds: 20, containers: [{name: app, image: busybox, command: [deaf]}]}`)
		b.delete("good", nil)
		if !b.gone("good") {
			t.Errorf("a pod that heeds its signal is still there: %s", b.summary("good"))
		}
		b.delete("deaf", nil)
		b.pass(19 * time.Second)
		b.want("deaf", "Running | app:Running ready")
		b.pass(2 * time.Second)
		if !b.gone("deaf") {
			t.Errorf("a pod is still there after its grace period: %s", b.summary("deaf"))
		}
		if left, _ := b.runtime.ListContainers(b.ctx, ""); len(left) > 0 {
			t.Errorf("containers are left over: %v", left)
		}
	})
}
