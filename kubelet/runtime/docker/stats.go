package docker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// Stats implements runtime.Runtime. The working set is what the container uses without the cached files that the kernel
// could drop at once, as Kubernetes counts it.
func (n *Node) Stats(ctx context.Context, id string) (runtime.Stats, error) {
	return within(ctx, callTimeout, func(ctx context.Context) (runtime.Stats, error) {
		answer, err := n.engine.api.ContainerStatsOneShot(ctx, id)
		if err != nil {
			return runtime.Stats{}, fmt.Errorf("ask what the container %s uses: %w", short(id), explain(ctx, err))
		}
		defer answer.Body.Close()
		var stats container.StatsResponse
		if err := json.NewDecoder(answer.Body).Decode(&stats); err != nil {
			return runtime.Stats{}, fmt.Errorf("ask what the container %s uses: %w", short(id), err)
		}
		if stats.Read.IsZero() || stats.Read.Year() <= 1 {
			return runtime.Stats{}, fmt.Errorf("the container %s does not run: %w", short(id), runtime.ErrNotFound)
		}
		inactive, ok := stats.MemoryStats.Stats["total_inactive_file"] // control groups version 1
		if !ok {
			inactive = stats.MemoryStats.Stats["inactive_file"]
		}
		used := stats.MemoryStats.Usage
		return runtime.Stats{Time: stats.Read, CPUNanos: stats.CPUStats.CPUUsage.TotalUsage, MemoryBytes: used - min(used, inactive),
			PIDs: int64(stats.PidsStats.Current)}, nil
	})
}
