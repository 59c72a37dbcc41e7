package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"kubette/client"
	"kubette/controllers/horizontalpodautoscaler"
	"kubette/kubelet"
)

// The use of cpu is a rate, so it takes two looks. metrics-server looks every 15 s; the meter looks when somebody asks, so
// that a cluster in which nobody does has nothing to do.
const (
	// freshness is how long an answer is given again.
	freshness = 5 * time.Second
	// longestWindow is how old a look may be to be the first of two.
	longestWindow = time.Minute
	// shortestWindow lies between two looks when there is none to compare with.
	shortestWindow = time.Second
)

// meter measures what pods and nodes use, for the API group metrics.k8s.io. What a node uses is what its pods do: all
// nodes share one machine, so there is nothing else to measure for each.
type meter struct {
	cluster *Cluster
	busy    chan struct{} // holds a value while somebody measures
	last    *look
	known   []measured
}

func (c *Cluster) newMeter() *meter { return &meter{cluster: c, busy: make(chan struct{}, 1)} }

// look is what the containers of all nodes had used at one moment.
type look struct {
	at         time.Time
	nodes      map[string][]kubelet.PodStats
	containers map[string]kubelet.ContainerStats // by container identifier
}

// measured is what a node's pods use.
type measured struct {
	node string
	at   time.Time
	pods []*metricsv1beta1.PodMetrics
}

// measure returns what every node that runs uses, by name.
func (m *meter) measure(ctx context.Context) ([]measured, error) {
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.last != nil && time.Since(m.last.at) < freshness {
		return m.known, nil
	}
	first := m.last
	if first == nil || time.Since(first.at) > longestWindow {
		first = &look{}
	}
	second := m.look(ctx)
	if first.adopt(second) { // containers that are new: look again
		timer := time.NewTimer(shortestWindow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		second = m.look(ctx)
	}
	m.last, m.known = second, compare(first, second)
	return m.known, nil
}

// look asks all kubelets at once. A node that is off has nothing to say.
func (m *meter) look(ctx context.Context) *look {
	m.cluster.mu.Lock()
	kubelets := maps.Clone(m.cluster.kubelets)
	m.cluster.mu.Unlock()
	var group sync.WaitGroup
	var mu sync.Mutex
	l := &look{at: time.Now(), nodes: map[string][]kubelet.PodStats{}, containers: map[string]kubelet.ContainerStats{}}
	for name, k := range kubelets {
		group.Go(func() {
			pods, err := k.Stats(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			l.nodes[name] = pods
			for _, pod := range pods {
				for _, container := range pod.Containers {
					l.containers[container.ID] = container
				}
			}
		})
	}
	group.Wait()
	return l
}

// adopt takes over the containers of a later look that are new in it, and says whether there are any.
func (l *look) adopt(later *look) (some bool) {
	added := map[string]kubelet.ContainerStats{}
	for id, container := range later.containers {
		if _, ok := l.containers[id]; !ok {
			added[id] = container
		}
	}
	if len(added) > 0 {
		maps.Copy(added, l.containers)
		l.containers = added
	}
	return len(added) > 0
}

// compare makes rates of two looks.
func compare(first, second *look) []measured {
	var all []measured
	for _, name := range slices.Sorted(maps.Keys(second.nodes)) {
		node := measured{node: name, at: second.at}
		for _, pod := range second.nodes[name] {
			if metrics := podMetrics(first, &pod); metrics != nil {
				node.pods = append(node.pods, metrics)
			}
		}
		all = append(all, node)
	}
	return all
}

// podMetrics is nil for a pod with a container that ran at one of the looks only.
func podMetrics(first *look, pod *kubelet.PodStats) *metricsv1beta1.PodMetrics {
	metrics := &metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, Labels: maps.Clone(pod.Labels), CreationTimestamp: metav1.Now(),
	}}
	for _, now := range pod.Containers {
		before, ok := first.containers[now.ID]
		window := now.Time.Sub(before.Time)
		if !ok || window <= 0 || now.CPUNanos < before.CPUNanos {
			return nil
		}
		rate := float64(now.CPUNanos-before.CPUNanos) / window.Seconds()
		metrics.Timestamp, metrics.Window = metav1.NewTime(now.Time), metav1.Duration{Duration: window.Round(time.Millisecond)}
		metrics.Containers = append(metrics.Containers, metricsv1beta1.ContainerMetrics{Name: now.Name, Usage: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(rate), resource.Nano),
			corev1.ResourceMemory: *resource.NewQuantity(int64(now.MemoryBytes), resource.BinarySI),
		}})
	}
	return metrics
}

// PodMetrics implements kinds.MetricsSource.
func (m *meter) PodMetrics(ctx context.Context, namespace string) ([]*metricsv1beta1.PodMetrics, error) {
	nodes, err := m.measure(ctx)
	var all []*metricsv1beta1.PodMetrics
	for _, node := range nodes {
		for _, pod := range node.pods {
			if namespace == "" || pod.Namespace == namespace {
				all = append(all, pod.DeepCopy())
			}
		}
	}
	slices.SortFunc(all, func(a, b *metricsv1beta1.PodMetrics) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, err
}

// NodeMetrics implements kinds.MetricsSource.
func (m *meter) NodeMetrics(ctx context.Context) ([]*metricsv1beta1.NodeMetrics, error) {
	nodes, err := m.measure(ctx)
	var all []*metricsv1beta1.NodeMetrics
	for _, node := range nodes {
		object, ok := m.cluster.server.Cluster().Get("", "nodes", "", node.node)
		if !ok {
			continue
		}
		metrics := &metricsv1beta1.NodeMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: node.node, Labels: maps.Clone(object.GetLabels()), CreationTimestamp: metav1.Now()},
			Timestamp:  metav1.NewTime(node.at), Window: metav1.Duration{Duration: shortestWindow},
		}
		cpu, memory := resource.NewScaledQuantity(0, resource.Nano), resource.NewQuantity(0, resource.BinarySI)
		for _, pod := range node.pods {
			metrics.Window = pod.Window
			for _, container := range pod.Containers {
				cpu.Add(*container.Usage.Cpu())
				memory.Add(*container.Usage.Memory())
			}
		}
		metrics.Usage = corev1.ResourceList{corev1.ResourceCPU: *cpu, corev1.ResourceMemory: *memory}
		all = append(all, metrics)
	}
	return all, err
}

// podUse is how the autoscaler reads the metrics: from the API, in its own name.
func podUse(api client.Interface) horizontalpodautoscaler.Metrics {
	pods := metricsv1beta1.SchemeGroupVersion.WithResource("pods")
	return func(ctx context.Context, namespace string, selector labels.Selector) (map[string]horizontalpodautoscaler.PodMetrics, error) {
		list, err := api.List(ctx, pods, namespace, metav1.ListOptions{LabelSelector: selector.String()})
		if err != nil {
			return nil, err
		}
		use := map[string]horizontalpodautoscaler.PodMetrics{}
		for _, item := range list.Items {
			pod, ok := item.(*metricsv1beta1.PodMetrics)
			if !ok {
				continue
			}
			containers := map[string]corev1.ResourceList{}
			for _, container := range pod.Containers {
				containers[container.Name] = container.Usage
			}
			use[pod.Name] = horizontalpodautoscaler.PodMetrics{Timestamp: pod.Timestamp.Time, Window: pod.Window.Duration, Containers: containers}
		}
		return use, nil
	}
}
