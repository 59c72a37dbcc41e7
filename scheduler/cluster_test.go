package scheduler_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/client"
	"kubette/loop"
	"kubette/scheduler"
	"kubette/store"
)

// cluster is an API server with a scheduler, in a bubble of virtual time; nodes and kubelets are the test.
type cluster struct {
	t         testing.TB
	ctx       context.Context
	api       client.Interface
	own       client.Interface // the scheduler's
	scheduler *scheduler.Scheduler
	machine   *loop.Machine
	settle    func()
}

// inBubble runs a test on a cluster with nodes.
func inBubble(t *testing.T, nodes []*corev1.Node, test func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, nodes)
		t.Cleanup(stop)
		c.settle = synctest.Wait
		c.settle()
		test(c)
	})
}

// start makes the cluster; it runs until stop is called.
func start(t testing.TB, nodes []*corev1.Node, change ...func(*scheduler.Config)) (*cluster, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	_, services, _ := net.ParseCIDR("10.96.0.0/16")
	server, err := apiserver.New(apiserver.Config{Store: store.NewMemory(), ServiceCIDR: services})
	if err != nil {
		t.Fatal(err)
	}
	admin := &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{"system:authenticated"}}
	c := &cluster{t: t, ctx: ctx, api: client.InProcess(server, admin), machine: loop.NewMachine(100)}
	c.own = client.InProcess(server, &user.DefaultInfo{Name: "system:kube-scheduler", Groups: []string{"system:authenticated"}})
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	for _, node := range nodes {
		c.addNode(node)
	}
	done := make(chan struct{})
	go func() { server.Run(ctx); close(done) }()
	stop := c.startScheduler(change...)
	return c, func() {
		stop()
		cancel()
		<-done
	}
}

// startScheduler starts a scheduler, which runs until stop is called.
func (c *cluster) startScheduler(change ...func(*scheduler.Config)) func() {
	ctx, cancel := context.WithCancel(c.ctx)
	informers := client.NewInformers(c.own, nil)
	events := client.NewSeriesRecorder(c.own, "default-scheduler", "host")
	config := scheduler.Config{
		Client: c.own, Informers: informers, Events: events, Machine: c.machine, Random: rand.New(rand.NewPCG(1, 2)),
	}
	for _, f := range change {
		f(&config)
	}
	c.scheduler = scheduler.New(config)
	informers.Start(ctx)
	if !informers.Sync(ctx) {
		c.t.Fatal("the informers did not sync")
	}
	var group sync.WaitGroup
	group.Go(func() { events.Run(ctx) })
	group.Go(func() { c.scheduler.Run(ctx) })
	return func() {
		cancel()
		group.Wait()
		informers.Wait()
	}
}

func (c *cluster) create(object client.Object) {
	c.t.Helper()
	var err error
	switch o := object.(type) {
	case *corev1.Pod:
		_, err = client.Of[*corev1.Pod](c.api).Create(c.ctx, o)
	case *corev1.Namespace:
		_, err = client.Of[*corev1.Namespace](c.api).Create(c.ctx, o)
	case *corev1.Node:
		_, err = client.Of[*corev1.Node](c.api).Create(c.ctx, o)
	case *corev1.Service:
		_, err = client.Of[*corev1.Service](c.api).Create(c.ctx, o)
	default:
		err = fmt.Errorf("no way to create a %T", object)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// addNode makes a node and says what it has, as its kubelet would.
func (c *cluster) addNode(node *corev1.Node) {
	c.t.Helper()
	created, err := client.Of[*corev1.Node](c.api).Create(c.ctx, node)
	if err != nil {
		c.t.Fatal(err)
	}
	created = created.DeepCopy()
	created.Status = node.Status
	if _, err := client.Of[*corev1.Node](c.api).UpdateStatus(c.ctx, created); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) pod(name string) *corev1.Pod {
	c.t.Helper()
	c.settle()
	pod, err := client.Of[*corev1.Pod](c.api).Get(c.ctx, "default", name)
	if err != nil {
		c.t.Fatal(err)
	}
	return pod
}

// wantNode checks on which node a pod is; "" for none.
func (c *cluster) wantNode(name, node string) {
	c.t.Helper()
	if got := c.pod(name).Spec.NodeName; got != node {
		c.t.Errorf("pod %s is on node %q, want %q; decisions: %+v", name, got, node, c.scheduler.Decisions("default", name))
	}
}

// wantReason checks what a pod's status says about why it has no node.
func (c *cluster) wantReason(name, message string) {
	c.t.Helper()
	pod := c.pod(name)
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	if i < 0 {
		c.t.Errorf("pod %s has no condition PodScheduled", name)
		return
	}
	got := pod.Status.Conditions[i]
	if got.Status != corev1.ConditionFalse || got.Reason != "Unschedulable" || got.Message != message {
		c.t.Errorf("pod %s: %s %s\n got %s\nwant %s", name, got.Status, got.Reason, got.Message, message)
	}
}

// wantEvent checks that an event was written about a pod.
func (c *cluster) wantEvent(name, reason, message string) {
	c.t.Helper()
	c.settle()
	events, err := client.Of[*corev1.Event](c.api).List(c.ctx, "default", metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var seen []string
	for _, event := range events {
		if event.InvolvedObject.Name != name {
			continue
		}
		if event.Reason == reason && event.Message == message && event.ReportingController == "default-scheduler" {
			return
		}
		seen = append(seen, event.Reason+": "+event.Message)
	}
	c.t.Errorf("no event %s %q about %s, but\n%s", reason, message, name, strings.Join(seen, "\n"))
}

func (c *cluster) updatePod(name string, change func(pod *corev1.Pod)) {
	c.t.Helper()
	pod := c.pod(name).DeepCopy()
	change(pod)
	if _, err := client.Of[*corev1.Pod](c.api).Update(c.ctx, pod); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) updateNode(name string, change func(node *corev1.Node)) {
	c.t.Helper()
	nodes := client.Of[*corev1.Node](c.api)
	node, err := nodes.Get(c.ctx, "", name)
	if err != nil {
		c.t.Fatal(err)
	}
	node = node.DeepCopy()
	change(node)
	if _, err := nodes.Update(c.ctx, node); err != nil {
		c.t.Fatal(err)
	}
	c.settle() // the informers of nodes and of pods are not in step
}

// delete removes a pod at once, as its kubelet does when its containers have ended.
func (c *cluster) delete(name string) {
	c.t.Helper()
	now := int64(0)
	if err := client.Of[*corev1.Pod](c.api).Delete(c.ctx, "default", name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		c.t.Fatal(err)
	}
}

func makeNode(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			corev1.ResourcePods: resource.MustParse("110"),
		}},
	}
	for _, f := range change {
		f(node)
	}
	node.Status.Capacity = node.Status.Allocatable
	return node
}

func tainted(key string) func(*corev1.Node) {
	return func(node *corev1.Node) {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
}

// makePod makes a pod that requests cpu; "" for none.
func makePod(name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": strings.TrimRight(name, "-0123456789")}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nginx:1"}}},
	}
	if cpu != "" {
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	for _, f := range change {
		f(pod)
	}
	return pod
}

func priority(p int32) func(*corev1.Pod) { return func(pod *corev1.Pod) { pod.Spec.Priority = &p } }

func onNode(name string) func(*corev1.Pod) { return func(pod *corev1.Pod) { pod.Spec.NodeName = name } }
