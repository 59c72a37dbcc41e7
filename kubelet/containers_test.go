package kubelet_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

// TestWhatAUserSees: a pod's spec, and what its status is after a while.
func TestWhatAUserSees(t *testing.T) {
	cases := map[string]struct {
		spec  string
		after time.Duration
		want  string
		event string
	}{
		"a job that succeeds": {
			spec: `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [exit, "0"]}]}`,
			want: "Succeeded | app:Completed(0)",
		},
		"a job that fails": {
			spec: `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [exit, "3"]}]}`,
			want: "Failed | app:Error(3)",
		},
		"one fails, one succeeds": {
			spec: `{restartPolicy: Never, containers: [{name: a, image: busybox, command: [exit, "0"]}, {name: b, image: busybox, command: [exit, "1"]}]}`,
			want: "Failed | a:Completed(0) | b:Error(1)",
		},
		"on failure, success stays": {
			spec: `{restartPolicy: OnFailure, containers: [{name: a, image: busybox, command: [exit, "0"]}, {name: b, image: busybox}]}`,
			want: "Running | a:Completed(0) | b:Running ready",
		},
		"init containers in order": {
			spec: `{initContainers: [{name: one, image: busybox, command: [exit, "0"]}, {name: two, image: busybox, command: [exit, "0"]}], containers: [{name: app, image: busybox}]}`,
			want: "Running | one:Completed(0) ready | two:Completed(0) ready | app:Running ready",
		},
		"an init container that runs": {
			spec: `{initContainers: [{name: one, image: busybox}], containers: [{name: app, image: busybox}]}`,
			want: "Pending | one:Running | app:PodInitializing",
		},
		"an init container that fails": {
			spec: `{initContainers: [{name: one, image: busybox, command: [exit, "1"]}], containers: [{name: app, image: busybox}]}`,
			want: "Pending | one:CrashLoopBackOff last Error(1) restarts=1 | app:PodInitializing",
		},
		"an init container that fails for good": {
			spec: `{restartPolicy: Never, initContainers: [{name: one, image: busybox, command: [exit, "1"]}], containers: [{name: app, image: busybox}]}`,
			want: "Failed | one:Error(1) | app:PodInitializing",
		},
		"a sidecar": {
			spec: `{initContainers: [{name: side, image: busybox, restartPolicy: Always}], containers: [{name: app, image: busybox}]}`,
			want: "Running | side:Running ready | app:Running ready",
		},
		"a sidecar ends with its job": {
			spec: `{restartPolicy: Never, initContainers: [{name: side, image: busybox, restartPolicy: Always}], containers: [{name: app, image: busybox, command: [exit, "0"]}]}`,
			want: "Succeeded | side:Error(143) | app:Completed(0)",
		},
		"an unknown image runs": {
			spec: `{containers: [{name: app, image: "example.com/some/program:v1"}]}`,
			want: "Running | app:Running ready", event: "is simulated",
		},
		"a missing image": {
			spec: `{containers: [{name: app, image: "busybox:doesnotexist"}]}`,
			want: "Pending | app:ErrImagePull", event: "Failed to pull image \"busybox:doesnotexist\"",
		},
		"a missing image after a while": {
			spec: `{containers: [{name: app, image: "busybox:doesnotexist"}]}`, after: 4 * time.Second,
			want: "Pending | app:ImagePullBackOff", event: "Back-off pulling image \"busybox:doesnotexist\"",
		},
		"an image never pulled": {
			spec: `{containers: [{name: app, image: busybox, imagePullPolicy: Never}]}`,
			want: "Pending | app:ErrImageNeverPull", event: "is not present with pull policy of Never",
		},
		"a bad image name": {
			spec: `{containers: [{name: app, image: "BAD NAME"}]}`,
			want: "Pending | app:InvalidImageName", event: "couldn't parse image name",
		},
		"a command that is not there": {
			spec: `{containers: [{name: app, image: busybox, command: [nonsense]}]}`,
			want: "Running | app:CrashLoopBackOff last StartError(128) restarts=1", event: "executable file not found in $PATH",
		},
		"a command that is not there, never restarted": {
			spec: `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [nonsense]}]}`,
			want: "Failed | app:StartError(128)",
		},
		"a missing config map": {
			spec: `{containers: [{name: app, image: busybox, envFrom: [{configMapRef: {name: settings}}]}]}`,
			want: "Pending | app:CreateContainerConfigError", event: `Error: configmap "settings" not found`,
		},
		"a missing secret volume": {
			spec: `{volumes: [{name: v, secret: {secretName: keys}}], containers: [{name: app, image: busybox, volumeMounts: [{name: v, mountPath: /keys}]}]}`,
			want: "Pending | app:ContainerCreating", event: `MountVolume.SetUp failed for volume "v" : secret "keys" not found`,
		},
		"too much cpu": {
			spec: `{containers: [{name: app, image: busybox, resources: {requests: {cpu: "64"}}}]}`,
			want: "Failed | OutOfcpu", event: "Node didn't have enough resource: cpu, requested: 64000, used: 0, capacity: 4000",
		},
		"the host's network": {
			spec: `{hostNetwork: true, containers: [{name: app, image: busybox}]}`,
			want: "Failed | Forbidden", event: "hostNetwork",
		},
		"a directory of the host": {
			spec: `{volumes: [{name: v, hostPath: {path: /etc}}], containers: [{name: app, image: busybox}]}`,
			want: "Failed | Forbidden", event: "hostPath /etc",
		},
		"past its deadline": {
			spec: `{activeDeadlineSeconds: 5, containers: [{name: app, image: busybox}]}`, after: 6 * time.Second,
			want: "Failed | DeadlineExceeded | app:Error(143)", event: "longer than the specified deadline",
		},
		"a failing hook": {
			spec: `{restartPolicy: Never, containers: [{name: app, image: busybox, lifecycle: {postStart: {exec: {command: [exit, "2"]}}}}]}`,
			want: "Failed | app:Error(143)", event: "FailedPostStartHook: PostStartHook failed",
		},
		"not as root": {
			spec: `{containers: [{name: app, image: busybox, securityContext: {runAsNonRoot: true}}]}`,
			want: "Pending | app:CreateContainerConfigError", event: "image will run as root",
		},
		"a restart rule": {
			spec: `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [exit, "42"], restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]}]}`,
			want: "Running | app:CrashLoopBackOff last Error(42) restarts=1",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.pod("it", c.spec)
				b.pass(c.after)
				b.want("it", c.want)
				if c.event != "" {
					b.wantEvent("it", c.event)
				}
			})
		})
	}
}

func TestPullIsTriedAgain(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: "missing.test/app"}]}`)
		for _, wait := range []time.Duration{10, 20, 40} {
			b.pass(wait*time.Second - time.Second)
			b.want("it", "Pending | app:ImagePullBackOff")
			b.pass(time.Second)
			b.want("it", "Pending | app:ErrImagePull")
		}
	})
}

func TestTerminationMessages(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("file", `{restartPolicy: Never, containers: [{name: app, image: busybox, command: [fail, "no", database]}]}`)
		b.pod("logs", `{restartPolicy: Never, containers: [{name: app, image: busybox, terminationMessagePolicy: FallbackToLogsOnError, command: [cat, /nothing]}]}`)
		if got := b.get("file").Status.ContainerStatuses[0].State.Terminated.Message; got != "no database" {
			t.Errorf("the message of the file is %q", got)
		}
		if got := b.get("logs").Status.ContainerStatuses[0].State.Terminated.Message; !strings.Contains(got, "/nothing") {
			t.Errorf("the message from the log is %q", got)
		}
	})
}

func TestKilledFromOutside(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		id := b.container("it", "app")
		if err := b.runtime.OutOfMemory(id); err != nil {
			t.Fatal(err)
		}
		b.pass(10 * time.Millisecond)
		b.want("it", "Running | app:Running last OOMKilled(137) ready restarts=1")
		if err := b.runtime.Kill(b.container("it", "app")); err != nil {
			t.Fatal(err)
		}
		b.pass(10 * time.Millisecond)
		b.want("it", "Running | app:CrashLoopBackOff last Error(137) restarts=1")
		b.pass(10 * time.Second)
		b.want("it", "Running | app:Running last Error(137) ready restarts=2")

		// Removed with its record, as `docker rm -f` does.
		if err := b.runtime.RemoveContainer(b.ctx, b.container("it", "app")); err != nil {
			t.Fatal(err)
		}
		b.pass(30 * time.Second)
		if got := b.summary("it"); !strings.Contains(got, "app:Running") || !strings.Contains(got, "restarts=3") {
			t.Errorf("after its removal from outside the pod is %s", got)
		}
	})
}

func TestSandboxKilledFromOutside(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{initContainers: [{name: one, image: busybox, command: [exit, "0"]}], containers: [{name: app, image: busybox}]}`)
		sandboxes, _ := b.runtime.ListPodSandboxes(b.ctx)
		if err := b.runtime.KillSandbox(sandboxes[0].ID); err != nil {
			t.Fatal(err)
		}
		b.pass(15 * time.Second)
		if got := b.summary("it"); !strings.Contains(got, "app:Running last Error(137) ready restarts=1") {
			t.Errorf("after the end of its sandbox the pod is %s", got)
		}
	})
}

func TestKubeletRestartAdopts(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("stays", `{containers: [{name: app, image: busybox}]}`)
		b.pod("goes", `{containers: [{name: app, image: busybox}]}`)
		_ = b.runtime.Kill(b.container("stays", "app"))
		b.pass(10 * time.Millisecond)
		before := b.get("stays")
		b.stop()
		b.pass(time.Minute)
		zero := int64(0)
		b.delete("goes", &zero)
		b.startKubelet()
		b.pass(5 * time.Second)
		after := b.get("stays")
		if b.container("stays", "app") != strings.TrimPrefix(before.Status.ContainerStatuses[0].ContainerID, "sim://") {
			t.Error("the container was replaced")
		}
		b.want("stays", "Running | app:Running last Error(137) ready restarts=1")
		if after.ResourceVersion != before.ResourceVersion {
			t.Errorf("the pod was written though nothing changed:\n%v\n%v", before.Status, after.Status)
		}
		if left, _ := b.runtime.ListPodSandboxes(b.ctx); len(left) != 1 {
			t.Errorf("%d sandboxes are left, one pod is", len(left))
		}
		if err := b.kubelet.Restart(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.pass(5 * time.Second)
		if again := b.get("stays"); again.ResourceVersion != before.ResourceVersion {
			t.Errorf("the pod was written by a kubelet that was restarted:\n%v\n%v", before.Status, again.Status)
		}
		b.pod("later", `{containers: [{name: app, image: busybox}]}`)
		b.pass(5 * time.Second)
		b.want("later", "Running | app:Running ready")
	})
}

func TestForcedDeletion(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [deaf]}]}`)
		zero := int64(0)
		b.delete("it", &zero)
		b.pass(2 * time.Second)
		if left, _ := b.runtime.ListContainers(b.ctx, ""); len(left) > 0 {
			t.Errorf("containers are left over: %v", left)
		}
	})
}

func TestHooksAndOrderOfTheEnd(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{terminationGracePeriodSeconds: 30,
			initContainers: [{name: first, image: busybox, restartPolicy: Always}, {name: second, image: busybox, restartPolicy: Always}],
			containers: [{name: app, image: busybox, lifecycle: {preStop: {sleep: {seconds: 5}}}}]}`)
		b.delete("it", nil)
		b.pass(4 * time.Second)
		b.want("it", "Running | first:Running ready | second:Running ready | app:Running ready")
		b.pass(2 * time.Second)
		if !b.gone("it") {
			t.Errorf("the pod is still there: %s", b.summary("it"))
		}
		var order []string
		for _, e := range b.events("it") {
			if name, ok := strings.CutPrefix(e, "Killing: Stopping container "); ok {
				order = append(order, name)
			}
		}
		if got := strings.Join(order, " "); len(order) != 3 || !strings.Contains(got, "app") {
			t.Errorf("stopped were %q", got)
		}
	})
}

func TestShorterGraceOnSecondDeletion(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{terminationGracePeriodSeconds: 300, containers: [{name: app, image: busybox, command: [deaf]}]}`)
		b.delete("it", nil)
		b.pass(5 * time.Second)
		short := int64(2)
		b.delete("it", &short)
		b.pass(3 * time.Second)
		if !b.gone("it") {
			t.Errorf("the pod is still there: %s", b.summary("it"))
		}
	})
}

func TestPowerCut(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		if err := b.kubelet.Stop(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Minute)
		b.want("it", "Running | app:Running ready") // nobody told the API
		if err := b.kubelet.Start(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.pass(5 * time.Second)
		if got := b.summary("it"); !strings.Contains(got, "app:Running last Error(137) ready restarts=1") {
			t.Errorf("after the power came back the pod is %s", got)
		}
	})
}

func TestImageChangeReplacesContainer(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		patch := []byte(`{"spec":{"containers":[{"name":"app","image":"busybox:2"}]}}`)
		if _, err := client.Of[*corev1.Pod](b.user).Patch(b.ctx, "default", "it", types.StrategicMergePatchType, patch); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		b.want("it", "Running | app:Running last Error(143) ready restarts=1")
		if got := b.get("it").Status.ContainerStatuses[0].Image; got != "docker.io/library/busybox:2" {
			t.Errorf("the image is %s", got)
		}
		b.wantEvent("it", "Container app definition changed, will be restarted")
	})
}

func TestResizeInPlace(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}}]}`)
		patch := []byte(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"150m"},"limits":{"cpu":"300m"}}}]}}`)
		if _, err := client.Of[*corev1.Pod](b.user).Patch(b.ctx, "default", "it", types.StrategicMergePatchType, patch, "resize"); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		status := b.get("it").Status.ContainerStatuses[0]
		if got := status.Resources.Limits.Cpu().String(); got != "300m" || status.RestartCount != 0 {
			t.Errorf("the limit is %s after %d restarts", got, status.RestartCount)
		}
	})
}

func TestSlowPullShowsContainerCreating(t *testing.T) {
	slow := func(_ *kubelet.Config, s *sim.Config) { s.PullTime = 5 * time.Second }
	inBubble(t, slow, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		b.pass(time.Second)
		b.want("it", "Pending | app:ContainerCreating")
		b.pass(5 * time.Second)
		b.want("it", "Running | app:Running ready")
	})
}
