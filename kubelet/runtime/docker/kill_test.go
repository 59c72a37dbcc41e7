package docker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubette/kubelet/runtime"
)

// killing is a runtime whose kubelet is killed at one of its calls: after it, so that it was done and nobody knows, or in
// the middle of it. From then on nothing is answered any more.
type killing struct {
	runtime.Runtime
	at     int // counted from one; 0 for never
	inside bool
	kill   func()

	mu    sync.Mutex
	calls []string
	dead  bool
}

// step makes a call count.
func step[T any](k *killing, ctx context.Context, what string, do func(context.Context) (T, error)) (T, error) {
	var none T
	k.mu.Lock()
	if k.dead {
		k.mu.Unlock()
		return none, context.Canceled
	}
	k.calls = append(k.calls, what)
	now := len(k.calls) == k.at
	if now && k.inside {
		k.dead = true
		go k.kill()
	}
	k.mu.Unlock()
	result, err := do(ctx)
	if now && !k.inside {
		k.mu.Lock()
		k.dead = true
		k.mu.Unlock()
		k.kill()
	}
	if now {
		return none, context.Canceled
	}
	return result, err
}

func none(err error) (struct{}, error) { return struct{}{}, err }

func (k *killing) RunPodSandbox(ctx context.Context, config *runtime.SandboxConfig) (string, error) {
	return step(k, ctx, "RunPodSandbox", func(ctx context.Context) (string, error) { return k.Runtime.RunPodSandbox(ctx, config) })
}

func (k *killing) WriteVolume(ctx context.Context, uid, name string, volume runtime.Volume) error {
	_, err := step(k, ctx, "WriteVolume "+strings.SplitN(name, "-", 4)[0], func(ctx context.Context) (struct{}, error) {
		return none(k.Runtime.WriteVolume(ctx, uid, name, volume))
	})
	return err
}

func (k *killing) ImageStatus(ctx context.Context, image string) (runtime.ImageStatus, error) {
	return step(k, ctx, "ImageStatus", func(ctx context.Context) (runtime.ImageStatus, error) { return k.Runtime.ImageStatus(ctx, image) })
}

func (k *killing) CreateContainer(ctx context.Context, sandbox string, config *runtime.ContainerConfig) (string, error) {
	return step(k, ctx, "CreateContainer "+config.Name, func(ctx context.Context) (string, error) { return k.Runtime.CreateContainer(ctx, sandbox, config) })
}

func (k *killing) StartContainer(ctx context.Context, id string) error {
	_, err := step(k, ctx, "StartContainer", func(ctx context.Context) (struct{}, error) { return none(k.Runtime.StartContainer(ctx, id)) })
	return err
}

// TestKubetteIsKilledAtAnyStepOfAPodsStart: started again it finds what is there, the pod runs without a needless restart,
// and when it is deleted nothing is left of it.
func TestKubetteIsKilledAtAnyStepOfAPodsStart(t *testing.T) {
	const spec = `{volumes: [{name: config, configMap: {name: config}}, {name: scratch, emptyDir: {medium: Memory}}],
		automountServiceAccountToken: false, terminationGracePeriodSeconds: 1,
		initContainers: [{name: prepare, image: "kubette.test/program:1", imagePullPolicy: Never, args: [say, ready]}],
		containers: [{name: app, image: "kubette.test/program:1", imagePullPolicy: Never, args: [term, exit, "0"],
			volumeMounts: [{name: config, mountPath: /config}, {name: scratch, mountPath: /scratch}]}]}`
	cluster := newCluster(t)
	// What a start consists of is seen on one that nobody disturbs.
	all := &killing{Runtime: cluster.node}
	p := newPlane(t)
	_, stop := p.kubelet(all)
	p.pod("quiet", spec)
	p.until("quiet", "ready", ready)
	all.mu.Lock()
	steps := append([]string(nil), all.calls...)
	all.mu.Unlock()
	p.delete("quiet")
	stop()
	cluster.engine.Close() // two that live at a time would take the keeper of the volume from each other
	if len(steps) < 8 {
		t.Fatalf("a start has only the steps %v", steps)
	}
	for n, what := range steps {
		for _, inside := range []bool{false, true} {
			name := fmt.Sprintf("after %d %s", n+1, what)
			if inside {
				name = fmt.Sprintf("in %d %s", n+1, what)
			}
			t.Run(name, func(t *testing.T) {
				c := cluster.again(t)
				p := newPlane(t)
				killed, _ := p.kubelet(&killing{Runtime: c.node, at: n + 1, inside: inside})
				p.pod("it", spec)
				<-killed
				c.engine.Close()
				c = cluster.again(t)
				_, stop := p.kubelet(c.node)
				defer stop()
				pod := p.until("it", "ready", ready)
				if restarts := pod.Status.ContainerStatuses[0].RestartCount; restarts != 0 {
					t.Errorf("the container was restarted %d times", restarts)
				}
				c.holds(t, 1, 2)
				p.delete("it")
				c.holds(t, 0, 0)
			})
		}
	}
}

// again connects anew to a cluster that is there, as a kubette that is started again does.
func (c *cluster) again(t *testing.T) *cluster {
	t.Helper()
	fresh := &cluster{TB: t, engine: connect(t), config: c.config, image: c.image}
	t.Cleanup(fresh.engine.Close)
	fresh.config.Log = nil
	if err := fresh.engine.Prepare(t.Context(), fresh.config); err != nil {
		t.Fatal(err)
	}
	fresh.node = fresh.engine.Node(fresh.nodeConfig("worker-1"))
	return fresh
}

// holds checks how many sandboxes and containers the node has. A sandbox that had to be replaced ends, and is there until
// its pod is deleted.
func (c *cluster) holds(t *testing.T, sandboxes, containers int) {
	t.Helper()
	boxes, all := must(c.node.ListPodSandboxes(t.Context()))(t), must(c.node.ListContainers(t.Context(), ""))(t)
	if sandboxes > 0 {
		boxes = slices.DeleteFunc(boxes, func(box runtime.Sandbox) bool { return !box.Ready })
	}
	if len(boxes) != sandboxes || len(all) != containers {
		t.Errorf("the node has the sandboxes %+v and the containers %+v, wanted %d and %d", boxes, all, sandboxes, containers)
	}
}
