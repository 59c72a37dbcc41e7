package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// sizes are the clusters that are compared.
var sizes = []struct{ nodes, pods int }{{2, 100}, {20, 1000}, {100, 5000}, {400, 20_000}, {1000, 20_000}}

// measureGrowth shows whether what a pod costs stays the same however many there are.
func measureGrowth(ctx context.Context, p *program, t *table) error {
	for _, size := range sizes {
		if err := measureSize(ctx, p, t, size.nodes, size.pods); err != nil {
			return err
		}
	}
	return nil
}

func measureSize(ctx context.Context, p *program, t *table, nodes, pods int) error {
	c, err := p.up(ctx, "growth", "--runtime", "sim", "--nodes", fmt.Sprint(nodes), "--ephemeral")
	if err != nil {
		return err
	}
	defer c.down()
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, _ := c.memory()
	spent, known := c.processor()
	begun := time.Now()
	if _, err := api.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, large(int32(pods)), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := allReady(ctx, api, int32(pods)); err != nil {
		return err
	}
	figure := short(time.Since(begun))
	if known {
		now, _ := c.processor()
		after, _ := c.memory()
		figure += fmt.Sprintf("; a pod: %.2f ms of a processor, %d kB", float64((now-spent).Microseconds())/1000/float64(pods), (after.anonymous-before.anonymous)/1000/int64(pods))
	}
	t.add(fmt.Sprintf("%d pods on %d nodes, all Ready", pods, nodes), figure, "", "")
	if nodes < 1000 {
		return nil
	}
	took, err := repeat(5, func() (time.Duration, error) {
		begun := time.Now()
		out, err := c.program.command(ctx, "--name", c.name, "kubectl", "get", "nodes").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("kubectl get nodes: %w: %s", err, out)
		}
		return time.Since(begun), nil
	})
	if err != nil {
		return err
	}
	t.add("kubectl get nodes then, median of 5", took.spread(), "0.3 s", "")
	if took, err = repeat(21, func() (time.Duration, error) { return untilSeen(ctx, api) }); err != nil {
		return err
	}
	t.add("an update of a pod, until a watcher has seen it, median of 21", took.spread(), "20 ms", "")
	return nil
}

// untilSeen changes a pod and returns how long it took from the request until somebody who watches all pods has seen it.
func untilSeen(ctx context.Context, api kubernetes.Interface) (time.Duration, error) {
	pods := api.CoreV1().Pods(metav1.NamespaceDefault)
	some, err := pods.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, err
	}
	events, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: some.ResourceVersion})
	if err != nil {
		return 0, err
	}
	defer events.Stop()
	begun := time.Now()
	mark := begun.Format(time.RFC3339Nano)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"mark":%q}}}`, mark)
	if _, err := pods.Patch(ctx, some.Items[0].Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return 0, err
	}
	for event := range events.ResultChan() {
		if pod, ok := event.Object.(*corev1.Pod); ok && pod.Annotations["mark"] == mark {
			return time.Since(begun), nil
		}
	}
	return 0, fmt.Errorf("the watch ended before the change was seen: %w", ctx.Err())
}

// repeat measures some times.
func repeat(times int, measure func() (time.Duration, error)) (samples, error) {
	var all samples
	for range times {
		took, err := measure()
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	return all, nil
}
