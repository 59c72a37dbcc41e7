package kubelet_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/sim"
)

// troubled is a runtime in which the second sandbox of a pod is made under a difficulty.
type troubled struct {
	*sim.Runtime
	slow bool // to ask about the first takes longer than to make one, and somebody removes the pod's container meanwhile
	cut  bool // the sandbox is made, and the answer is lost
	made int
}

func (r *troubled) PodSandbox(ctx context.Context, id string) (runtime.Sandbox, error) {
	sandbox, err := r.Runtime.PodSandbox(ctx, id)
	if r.slow && sandbox.Attempt == 0 {
		time.Sleep(2 * time.Second)
	}
	return sandbox, err
}

func (r *troubled) RunPodSandbox(ctx context.Context, config *runtime.SandboxConfig) (string, error) {
	r.made++
	if r.slow && r.made == 2 {
		containers, err := r.ListContainers(ctx, config.UID)
		if err != nil {
			return "", err
		}
		if err := r.RemoveContainer(ctx, containers[0].ID); err != nil {
			return "", err
		}
		time.Sleep(time.Second)
	}
	id, err := r.Runtime.RunPodSandbox(ctx, config)
	if r.cut && r.made == 2 {
		return "", errors.New("the connection was lost")
	}
	return id, err
}

// A pod whose sandbox has ended gets one new sandbox and runs in it.
func TestASandboxIsReplaced(t *testing.T) {
	for name, r := range map[string]*troubled{
		"while the old one is looked at": {slow: true},
		"and the answer is lost":         {cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.stop()
				r.Runtime, b.config.Runtime = b.runtime, r
				b.startKubelet()
				b.pod("it", `{containers: [{name: app, image: busybox}]}`)
				b.pass(10 * time.Second)
				b.want("it", "Running | app:Running ready")
				before := b.get("it").Status.ContainerStatuses[0].ContainerID
				sandboxes, _ := b.runtime.ListPodSandboxes(b.ctx)
				if err := b.runtime.KillSandbox(sandboxes[0].ID); err != nil {
					t.Fatal(err)
				}
				b.pass(time.Minute)
				status := b.get("it").Status.ContainerStatuses[0]
				if !status.Ready || status.RestartCount != 1 || status.ContainerID == before {
					t.Errorf("the pod is %s", b.summary("it"))
				}
				if sandboxes, _ = b.runtime.ListPodSandboxes(b.ctx); len(sandboxes) != 2 || r.made != 2 {
					t.Errorf("%d sandboxes were made for the pod: %+v", r.made, sandboxes)
				}
			})
		})
	}
}
