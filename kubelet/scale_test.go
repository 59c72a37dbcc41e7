package kubelet_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/client"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
	"kubette/store"
)

// BenchmarkManyPods starts pods on many nodes and waits until all are ready, in real time. PODS and NODES set how many.
func BenchmarkManyPods(b *testing.B) {
	pods, nodes := number("PODS", 1000), number("NODES", 20)
	for range b.N {
		manyPods(b, pods, nodes)
	}
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func manyPods(b *testing.B, pods, nodes int) {
	ctx, cancel := context.WithCancel(b.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	server, err := apiserver.New(apiserver.Config{Store: store.NewMemory(), Tokens: issuer{}})
	if err != nil {
		b.Fatal(err)
	}
	group.Go(func() { server.Run(ctx) })
	admin := client.InProcess(server, &user.DefaultInfo{Name: "kubernetes-admin"})
	for _, name := range []string{"default", "kube-node-lease"} {
		if _, err := client.Of[*corev1.Namespace](admin).Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			b.Fatal(err)
		}
	}
	network := sim.NewNetwork()
	for i := range nodes {
		name := fmt.Sprintf("worker-%d", i)
		r, err := sim.New(sim.Config{Node: name, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 97, byte(i), 0}), 24), Network: network})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		node := client.InProcess(server, &user.DefaultInfo{Name: "system:node:" + name})
		k, err := kubelet.New(kubelet.Config{NodeName: name, Client: node, Runtime: r})
		if err != nil {
			b.Fatal(err)
		}
		group.Go(func() { k.Run(ctx) })
	}
	before := heap()
	began := time.Now()
	for i := range pods {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("pod-%d", i)},
			Spec:       corev1.PodSpec{NodeName: fmt.Sprintf("worker-%d", i%nodes), Containers: []corev1.Container{{Name: "app", Image: "example.com/app:v1"}}},
		}
		if _, err := client.Of[*corev1.Pod](admin).Create(ctx, pod); err != nil {
			b.Fatal(err)
		}
	}
	created := time.Since(began)
	for ready := 0; ready < pods; {
		time.Sleep(20 * time.Millisecond)
		list, err := client.Of[*corev1.Pod](admin).List(ctx, "default", metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		ready = 0
		for _, pod := range list {
			if n := len(pod.Status.Conditions); n > 2 && pod.Status.Conditions[2].Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	b.ReportMetric(created.Seconds(), "s-to-create")
	b.ReportMetric(time.Since(began).Seconds(), "s-to-ready")
	b.ReportMetric(float64(heap()-before)/float64(pods), "B/pod")
	b.ReportMetric(float64(heap())/(1<<20), "MiB-heap")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
