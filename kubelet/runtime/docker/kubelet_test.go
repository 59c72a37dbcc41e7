package docker_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime"
	"kubette/store"
)

// plane is an API server in memory, for kubelets on the engine.
type plane struct {
	testing.TB
	user, node client.Interface
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	_, services, _ := net.ParseCIDR("10.96.0.0/16")
	server, err := apiserver.New(apiserver.Config{Store: store.NewMemory(), Tokens: noTokens{}, ServiceCIDR: services})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { server.Run(ctx) })
	t.Cleanup(func() { cancel(); group.Wait() })
	p := &plane{TB: t, user: client.InProcess(server, &user.DefaultInfo{Name: "kubernetes-admin"}),
		node: client.InProcess(server, &user.DefaultInfo{Name: "system:node:worker-1", Groups: []string{"system:nodes"}})}
	for _, name := range []string{"default", "kube-node-lease"} {
		must(client.Of[*corev1.Namespace](p.user).Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))(t)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	must(client.Of[*corev1.ServiceAccount](p.user).Create(ctx, account))(t)
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "config"}, Data: map[string]string{"key": "value"}}
	must(client.Of[*corev1.ConfigMap](p.user).Create(ctx, config))(t)
	return p
}

type noTokens struct{}

func (noTokens) Issue(context.Context, *corev1.ServiceAccount, authenticationv1.TokenRequestSpec, kinds.Object) (string, time.Time, error) {
	return "token", time.Now().Add(time.Hour), nil
}

// kubelet runs a kubelet until the returned function is called, or the runtime kills it.
func (p *plane) kubelet(r runtime.Runtime) (ended <-chan struct{}, stop func()) {
	p.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if killed, ok := r.(*killing); ok {
		killed.kill = cancel
	}
	events := client.NewRecorder(p.node, "kubelet", "worker-1")
	k, err := kubelet.New(kubelet.Config{NodeName: "worker-1", Client: p.node, Runtime: r, Events: events, VolumeRoot: "/volumes"})
	if err != nil {
		p.Fatal(err)
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { events.Run(ctx) })
	group.Go(func() { k.Run(ctx) })
	go func() { group.Wait(); close(done) }()
	return done, func() { cancel(); <-done }
}

// pod makes a pod on the node.
func (p *plane) pod(name, spec string) {
	p.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		p.Fatal(err)
	}
	pod.Spec.NodeName = "worker-1"
	must(client.Of[*corev1.Pod](p.user).Create(p.Context(), pod))(p)
}

// until waits for a pod, or for its end when it is nil.
func (p *plane) until(name, what string, reached func(*corev1.Pod) bool) *corev1.Pod {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 3*time.Minute)
	defer cancel()
	watched := must(client.Of[*corev1.Pod](p.user).Watch(ctx, "default", metav1.ListOptions{FieldSelector: "metadata.name=" + name}))(p)
	defer watched.Stop()
	for {
		pod, err := client.Of[*corev1.Pod](p.user).Get(ctx, "default", name)
		if apierrors.IsNotFound(err) {
			pod, err = nil, nil
		}
		if err == nil && reached(pod) {
			return pod
		}
		select {
		case <-watched.ResultChan():
		case <-ctx.Done():
			p.Fatalf("pod %s is not %s: %s", name, what, told(pod))
		}
	}
}

func told(pod *corev1.Pod) string {
	if pod == nil {
		return "gone"
	}
	text := string(pod.Status.Phase)
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		text += fmt.Sprintf(" %s: %d restarts, %v", c.Name, c.RestartCount, c.State)
	}
	return text
}

func ready(pod *corev1.Pod) bool {
	return pod != nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func (p *plane) delete(name string) {
	p.Helper()
	if err := client.Of[*corev1.Pod](p.user).Delete(p.Context(), "default", name, metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	p.until(name, "gone", func(pod *corev1.Pod) bool { return pod == nil })
}

// untilNode waits until the node's readiness is so.
func (p *plane) untilNode(status corev1.ConditionStatus) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 3*time.Minute)
	defer cancel()
	watched := must(client.Of[*corev1.Node](p.user).Watch(ctx, "", metav1.ListOptions{}))(p)
	defer watched.Stop()
	for {
		node, err := client.Of[*corev1.Node](p.user).Get(ctx, "", "worker-1")
		if err == nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == status
		}) {
			return
		}
		select {
		case <-watched.ResultChan():
		case <-ctx.Done():
			p.Fatalf("the node's readiness is not %s", status)
		}
	}
}
