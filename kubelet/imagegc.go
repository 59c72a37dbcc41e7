package kubelet

import (
	"context"
	"log/slog"
	"time"

	"kubette/kubelet/runtime"
)

// The kubelet removes images when the disk is fuller than the first of these percentages, until it is no fuller than the
// second. It takes only those that kubette brought, that no container uses, and that have been unused for a while. The
// numbers are Kubernetes' defaults.
const (
	imageGCHigh   = 85
	imageGCLow    = 80
	imageGCPeriod = 5 * time.Minute
	imageMinAge   = 2 * time.Minute
)

// collectImages makes room on the disk, and returns how much. Under pressure it does not wait for its time, and all go.
func (s *session) collectImages(ctx context.Context, disk runtime.Room, pressed bool) int64 {
	collector, ok := s.runtime.(imageCollector)
	full := disk.Capacity > 0 && (disk.Capacity-disk.Available)*100/disk.Capacity >= imageGCHigh
	if !ok || !pressed && (!full || time.Since(s.imagesCollected) < imageGCPeriod) {
		return 0
	}
	s.imagesCollected = time.Now()
	wanted := disk.Capacity*(100-imageGCLow)/100 - disk.Available
	if pressed {
		wanted = disk.Capacity
	}
	freed, err := collector.CollectImages(ctx, wanted, imageMinAge)
	if err != nil {
		slog.Warn("unused images could not be removed", "node", s.config.NodeName, "error", err)
	}
	if freed > 0 {
		s.node.imagesChanged()
	}
	return freed
}
