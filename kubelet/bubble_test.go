package kubelet_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
	"kubette/store"
	"kubette/toolbox"
)

// bubble is one node and its API server in virtual time.
type bubble struct {
	t       *testing.T
	ctx     context.Context
	server  *apiserver.Server
	user    client.Interface
	runtime *sim.Runtime
	kubelet *kubelet.Kubelet
	config  kubelet.Config
	stop    func() // the kubelet's
}

// inBubble runs a test with a node in it. The kubelet has run for a second when the test begins.
func inBubble(t *testing.T, change func(*kubelet.Config, *sim.Config), test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		memory := store.NewMemory()
		_, services, _ := net.ParseCIDR("10.96.0.0/16")
		server, err := apiserver.New(apiserver.Config{Store: memory, Tokens: issuer{}, ServiceCIDR: services})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() { server.Run(ctx) })
		b := &bubble{t: t, ctx: ctx, server: server}
		b.user = client.InProcess(server, &user.DefaultInfo{Name: "kubernetes-admin"})
		for _, name := range []string{"default", "kube-node-lease"} {
			b.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		b.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}})
		simulated := sim.Config{Node: "worker-1", Prefix: netip.MustParsePrefix("10.97.1.0/24"), Images: images, Programs: programs()}
		node := client.InProcess(server, &user.DefaultInfo{Name: "system:node:worker-1", Groups: []string{"system:nodes"}})
		events := client.NewRecorder(node, "kubelet", "worker-1")
		group.Go(func() { events.Run(ctx) })
		b.config = kubelet.Config{
			NodeName: "worker-1", Client: node, Events: events, PodCIDR: "10.97.1.0/24", ClusterDNS: []string{"10.96.0.10"},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.97.0.2"}}, VolumeRoot: "/volumes",
		}
		if change != nil {
			change(&b.config, &simulated)
		}
		if b.runtime, err = sim.New(simulated); err != nil {
			t.Fatal(err)
		}
		defer b.runtime.Close()
		b.config.Runtime = b.runtime
		b.startKubelet()
		defer func() { b.stop() }()
		b.pass(time.Second)
		test(b)
	})
}

func (b *bubble) startKubelet() {
	b.t.Helper()
	k, err := kubelet.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	b.kubelet = k
	b.stop = func() { cancel(); <-done }
}

// pass lets time pass, and all that it brings happen.
func (b *bubble) pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) create(object client.Object) {
	b.t.Helper()
	kind, err := client.KindOfObject(object)
	if err != nil {
		b.t.Fatal(err)
	}
	resource := kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
	if _, err := b.user.Create(b.ctx, resource, object.GetNamespace(), object.GetName(), object, metav1.CreateOptions{}); err != nil {
		b.t.Fatalf("create %s %s: %v", kind.Kind, object.GetName(), err)
	}
}

// pod makes a pod on the node from the YAML of its spec.
func (b *bubble) pod(name, spec string) {
	b.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		b.t.Fatal(err)
	}
	pod.Spec.NodeName = "worker-1"
	b.create(pod)
	b.pass(10 * time.Millisecond)
}

func (b *bubble) get(name string) *corev1.Pod {
	b.t.Helper()
	pod, err := client.Of[*corev1.Pod](b.user).Get(b.ctx, "default", name)
	if err != nil {
		b.t.Fatalf("get pod %s: %v", name, err)
	}
	return pod
}

func (b *bubble) gone(name string) bool {
	_, err := client.Of[*corev1.Pod](b.user).Get(b.ctx, "default", name)
	return apierrors.IsNotFound(err)
}

func (b *bubble) delete(name string, grace *int64) {
	b.t.Helper()
	if err := client.Of[*corev1.Pod](b.user).Delete(b.ctx, "default", name, metav1.DeleteOptions{GracePeriodSeconds: grace}); err != nil {
		b.t.Fatalf("delete pod %s: %v", name, err)
	}
	b.pass(10 * time.Millisecond)
}

// container returns the runtime's identifier of a pod's container.
func (b *bubble) container(pod, name string) string {
	b.t.Helper()
	status := b.get(pod).Status
	for _, list := range [][]corev1.ContainerStatus{status.ContainerStatuses, status.InitContainerStatuses, status.EphemeralContainerStatuses} {
		for _, c := range list {
			if c.Name == name {
				return strings.TrimPrefix(c.ContainerID, "sim://")
			}
		}
	}
	b.t.Fatalf("pod %s has no container %s", pod, name)
	return ""
}

// summary is what `kubectl get pods` makes of the pod: phase, ready containers, restarts, and each container's state.
func (b *bubble) summary(name string) string {
	b.t.Helper()
	pod := b.get(name)
	parts := []string{string(pod.Status.Phase)}
	if pod.Status.Reason != "" {
		parts = append(parts, pod.Status.Reason)
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for _, c := range list {
			parts = append(parts, describe(c))
		}
	}
	return strings.Join(parts, " | ")
}

func describe(c corev1.ContainerStatus) string {
	text := c.Name + ":"
	switch {
	case c.State.Running != nil:
		text += "Running"
	case c.State.Terminated != nil:
		text += fmt.Sprintf("%s(%d)", c.State.Terminated.Reason, c.State.Terminated.ExitCode)
	case c.State.Waiting != nil:
		text += c.State.Waiting.Reason
	}
	if last := c.LastTerminationState.Terminated; last != nil {
		text += fmt.Sprintf(" last %s(%d)", last.Reason, last.ExitCode)
	}
	if c.Ready {
		text += " ready"
	}
	if c.RestartCount > 0 {
		text += fmt.Sprintf(" restarts=%d", c.RestartCount)
	}
	return text
}

func (b *bubble) want(name, summary string) {
	b.t.Helper()
	if got := b.summary(name); got != summary {
		b.t.Fatalf("pod %s is\n\t%s\nwanted\n\t%s", name, got, summary)
	}
}

// events are the pod's events, oldest first: "Reason: message (xN)".
func (b *bubble) events(pod string) []string {
	b.t.Helper()
	b.pass(time.Millisecond)
	list, err := client.Of[*corev1.Event](b.user).List(b.ctx, "default", metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	var texts []string
	for _, e := range list {
		if e.InvolvedObject.Name != pod {
			continue
		}
		text := e.Reason + ": " + e.Message
		if e.Count > 1 {
			text += fmt.Sprintf(" (x%d)", e.Count)
		}
		texts = append(texts, text)
	}
	return texts
}

func (b *bubble) wantEvent(pod, text string) {
	b.t.Helper()
	all := b.events(pod)
	for _, each := range all {
		if strings.Contains(each, text) {
			return
		}
	}
	b.t.Fatalf("pod %s has no event with %q; it has\n\t%s", pod, text, strings.Join(all, "\n\t"))
}

func (b *bubble) logs(pod string, options corev1.PodLogOptions) (string, error) {
	stream, err := b.kubelet.Logs(b.ctx, "default", pod, &options)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	return string(data), err
}

func (b *bubble) exec(pod, container string, command ...string) (string, error) {
	var output bytes.Buffer
	err := b.kubelet.Exec(b.ctx, "default", pod, container, command, apiserver.Streams{Stdout: &output, Stderr: &output})
	return output.String(), err
}

// issuer makes tokens that say whose they are and when they were made.
type issuer struct{}

func (issuer) Issue(_ context.Context, account *corev1.ServiceAccount, spec authenticationv1.TokenRequestSpec, bound kinds.Object) (string, time.Time, error) {
	now := time.Now()
	text := fmt.Sprintf("token of %s at %s", account.Name, now.UTC().Format(time.TimeOnly))
	return text, now.Add(time.Duration(*spec.ExpirationSeconds) * time.Second), nil
}

var images = []toolbox.Image{
	{Name: "kubette.local/tools", StandsFor: []string{"docker.io/library/busybox"}, Command: []string{"wait"}},
}

// programs are a small toolbox for the tests.
func programs() map[string]toolbox.Program {
	return map[string]toolbox.Program{
		"wait": func(ctx context.Context, p *toolbox.Process) int { <-ctx.Done(); return 143 },
		"deaf": func(ctx context.Context, p *toolbox.Process) int { time.Sleep(time.Hour); return 0 },
		"exit": func(ctx context.Context, p *toolbox.Process) int {
			var code int
			_, _ = fmt.Sscan(p.Args[1], &code)
			return code
		},
		"say": func(ctx context.Context, p *toolbox.Process) int {
			fmt.Fprintln(p.Stdout, strings.Join(p.Args[1:], " "))
			return 0
		},
		"env": func(ctx context.Context, p *toolbox.Process) int {
			for _, each := range p.Env {
				fmt.Fprintln(p.Stdout, each)
			}
			return 0
		},
		"cat": func(ctx context.Context, p *toolbox.Process) int {
			for _, name := range p.Args[1:] {
				file, err := p.Files.OpenFile(name, 0, 0)
				if err != nil {
					fmt.Fprintln(p.Stderr, err)
					return 1
				}
				_, _ = io.Copy(p.Stdout, file)
			}
			return 0
		},
		"write": func(ctx context.Context, p *toolbox.Process) int {
			file, err := p.Files.OpenFile(p.Args[1], 0x241, 0o644) // write, create, truncate
			if err == nil {
				_, err = fmt.Fprint(file, p.Args[2])
			}
			if err != nil {
				fmt.Fprintln(p.Stderr, err)
				return 1
			}
			return 0
		},
		// keep writes a file and waits.
		"keep": func(ctx context.Context, p *toolbox.Process) int {
			if file, err := p.Files.OpenFile(p.Args[1], 0x241, 0o644); err == nil {
				fmt.Fprint(file, p.Args[2])
			}
			<-ctx.Done()
			return 143
		},
		// once ends with a code as long as its file is not there, and makes it.
		"once": func(ctx context.Context, p *toolbox.Process) int {
			if _, err := p.Files.OpenFile(p.Args[1], 0, 0); err == nil {
				<-ctx.Done()
				return 143
			}
			if _, err := p.Files.OpenFile(p.Args[1], 0x241, 0o644); err != nil {
				return 1
			}
			var code int
			_, _ = fmt.Sscan(p.Args[2], &code)
			return code
		},
		"fail": func(ctx context.Context, p *toolbox.Process) int {
			if file, err := p.Files.OpenFile("/dev/termination-log", 1, 0); err == nil {
				fmt.Fprint(file, strings.Join(p.Args[1:], " "))
			}
			return 3
		},
	}
}

var _ runtime.Object = (*corev1.Pod)(nil)
