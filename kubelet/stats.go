package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/kubelet/runtime"
)

// PodStats is what the containers of one pod use.
type PodStats struct {
	Namespace, Name string
	UID             types.UID
	Labels          map[string]string // shared; do not change
	Containers      []ContainerStats
}

// ContainerStats is what one running container uses.
type ContainerStats struct {
	Name string
	ID   string
	runtime.Stats
}

// Stats returns what the running containers of this node use now, by pod name: what the metrics API is made from. CPU
// use is a total; two calls make a rate.
func (k *Kubelet) Stats(ctx context.Context) ([]PodStats, error) {
	s, err := k.current()
	if err != nil {
		return nil, err
	}
	containers, err := k.runtime.ListContainers(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	pods := map[types.UID]*corev1.Pod{}
	for _, pod := range s.pods.List("", nil) {
		pods[pod.UID] = pod
	}
	byPod := map[types.UID]*PodStats{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(statsAtATime)
	for _, c := range containers {
		pod := pods[types.UID(c.PodUID)]
		if pod == nil || c.State != runtime.Running {
			continue
		}
		group.Go(func() error {
			use, err := k.use(ctx, pod, c.ID)
			if err != nil {
				return nil // it ended between the list and now
			}
			mu.Lock()
			defer mu.Unlock()
			if byPod[pod.UID] == nil {
				byPod[pod.UID] = &PodStats{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels}
			}
			byPod[pod.UID].Containers = append(byPod[pod.UID].Containers, ContainerStats{Name: c.Name, ID: c.ID, Stats: use})
			return nil
		})
	}
	_ = group.Wait()
	stats := make([]PodStats, 0, len(byPod))
	for _, each := range byPod {
		sort.Slice(each.Containers, func(i, j int) bool { return each.Containers[i].Name < each.Containers[j].Name })
		stats = append(stats, *each)
	}
	sort.Slice(stats, func(i, j int) bool {
		if stats[i].Namespace != stats[j].Namespace {
			return stats[i].Namespace < stats[j].Namespace
		}
		return stats[i].Name < stats[j].Name
	})
	return stats, nil
}

// statsAtATime is how many containers a runtime is asked about at a time.
const statsAtATime = 8

func (k *Kubelet) use(ctx context.Context, pod *corev1.Pod, container string) (runtime.Stats, error) {
	if s, ok := k.runtime.(statsSimulator); ok {
		return s.SimulatedStats(container, pod.Annotations)
	}
	return k.runtime.Stats(ctx, container)
}

// ignoreClosed drops the errors of a connection that was closed on purpose.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
