package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kubette/kubelet/runtime"
)

// A node that runs short of memory, disk or process numbers says so in its conditions (the control plane turns them into
// taints), takes no more pods that would make it worse, and ends pods until there is room again (eviction.go).

const (
	// pressurePeriod is how often is looked; pressureStays is how long a condition outlasts its cause, so that it does not
	// flap; both are Kubernetes'.
	pressurePeriod = 10 * time.Second
	pressureStays  = 5 * time.Minute
	// simulatedPIDs is how many processes a simulated node may have, as Linux has by default.
	simulatedPIDs = 32768
)

// pids stands beside the API's resources for what has no name there, as in Kubernetes' kubelet.
const pids corev1.ResourceName = "pids"

// signal is something that may run short.
type signal struct {
	resource  corev1.ResourceName
	condition corev1.NodeConditionType
	threshold func(capacity int64) int64 // eviction begins below it
	short     told
	enough    told
}

// told is how a condition is put.
type told struct{ reason, message string }

// signals are in the order in which they are relieved. Memory and disk have Kubernetes' default thresholds, but for the
// disk at most 2 GiB must be free: a node has the disk of its user's machine, and ten per cent of that may be more than its
// user ever leaves free. Kubernetes has none for processes by default.
var signals = []signal{
	{corev1.ResourceMemory, corev1.NodeMemoryPressure, func(int64) int64 { return 100 << 20 },
		told{"KubeletHasInsufficientMemory", "kubelet has insufficient memory available"},
		told{"KubeletHasSufficientMemory", "kubelet has sufficient memory available"}},
	{corev1.ResourceEphemeralStorage, corev1.NodeDiskPressure, func(capacity int64) int64 { return min(capacity/10, 2<<30) },
		told{"KubeletHasDiskPressure", "kubelet has disk pressure"},
		told{"KubeletHasNoDiskPressure", "kubelet has no disk pressure"}},
	{pids, corev1.NodePIDPressure, func(capacity int64) int64 { return capacity / 20 },
		told{"KubeletHasInsufficientPID", "kubelet has insufficient PID available"},
		told{"KubeletHasSufficientPID", "kubelet has sufficient PID available"}},
}

// pressure is how the node stands. It is guarded by the kubelet's lock, and outlives a session: a fault's use does, too.
type pressure struct {
	wake   chan struct{}
	since  map[corev1.NodeConditionType]time.Time // when a signal was last below its threshold
	filled map[corev1.ResourceName]int64          // what a fault pretends to use
	toFill map[corev1.ResourceName]bool           // and what it is to use from the next look on
}

func newPressure() pressure {
	return pressure{wake: make(chan struct{}, 1), since: map[corev1.NodeConditionType]time.Time{},
		filled: map[corev1.ResourceName]int64{}, toFill: map[corev1.ResourceName]bool{}}
}

// Fill pretends that something on the node, which is no pod, uses so much memory, ephemeral-storage or pids that half of
// the eviction threshold is left. Unfill ends that.
func (k *Kubelet) Fill(what corev1.ResourceName) error {
	for _, s := range signals {
		if s.resource == what {
			k.mu.Lock()
			k.pressure.toFill[what] = true
			k.mu.Unlock()
			k.pokePressure()
			return nil
		}
	}
	return fmt.Errorf("a node can be filled with %s, %s or %s, not with %q", corev1.ResourceMemory, corev1.ResourceEphemeralStorage, pids, what)
}

// Unfill ends what Fill began.
func (k *Kubelet) Unfill(what corev1.ResourceName) {
	k.mu.Lock()
	delete(k.pressure.filled, what)
	delete(k.pressure.toFill, what)
	k.mu.Unlock()
	k.pokePressure()
}

func (k *Kubelet) pokePressure() {
	select {
	case k.pressure.wake <- struct{}{}:
	default:
	}
}

// underPressure are the conditions that are true now.
func (k *Kubelet) underPressure(now time.Time) map[corev1.NodeConditionType]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	conditions := map[corev1.NodeConditionType]bool{}
	for condition, last := range k.pressure.since {
		conditions[condition] = now.Sub(last) < pressureStays
	}
	return conditions
}

// watchPressure looks at what the node has left, until the context ends.
func (s *session) watchPressure(ctx context.Context) {
	ticker := time.NewTicker(pressurePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.pressure.wake:
		case <-ctx.Done():
			return
		}
		if err := s.relieve(ctx); err != nil && ctx.Err() == nil {
			slog.Debug("what the node has left is not known", "node", s.config.NodeName, "error", err)
		}
	}
}

// relieve looks once: pods that use more than they may are ended; then, if the node is short of something, the one pod that
// costs it most.
func (s *session) relieve(ctx context.Context) error {
	if s.evictOverLimits(ctx) {
		return nil
	}
	rooms, err := s.measure(ctx)
	if err != nil {
		return err
	}
	s.collectImages(ctx, rooms[corev1.ResourceEphemeralStorage], false)
	now := time.Now()
	before := s.pressed
	var met []signal
	s.Kubelet.mu.Lock()
	for _, each := range signals {
		room := rooms[each.resource]
		if room.Capacity > 0 && room.Available < each.threshold(room.Capacity) {
			s.pressure.since[each.condition] = now
			met = append(met, each)
		}
	}
	s.Kubelet.mu.Unlock()
	s.pressed = s.underPressure(now)
	for _, each := range signals {
		if before[each.condition] != s.pressed[each.condition] {
			s.node.poke()
		}
	}
	if len(met) == 0 {
		return nil
	}
	first, room := met[0], rooms[met[0].resource]
	if !before[first.condition] {
		s.node.warn("EvictionThresholdMet", "Attempting to reclaim "+string(first.resource))
	}
	if first.resource == corev1.ResourceEphemeralStorage && s.collectImages(ctx, room, true) > first.threshold(room.Capacity)-room.Available {
		return nil
	}
	s.evictOne(ctx, first, room)
	return nil
}

// measure finds what the node has left of each resource: of the machine under it where that can be asked, else of its
// capacity without what its pods use.
func (s *session) measure(ctx context.Context) (map[corev1.ResourceName]runtime.Room, error) {
	rooms := map[corev1.ResourceName]runtime.Room{}
	capacity := s.node.capacity()
	if machine, ok := s.runtime.(machineRooms); ok {
		left, err := machine.Rooms(ctx)
		if err != nil {
			return nil, err
		}
		rooms[corev1.ResourceMemory], rooms[corev1.ResourceEphemeralStorage], rooms[pids] = left.Memory, left.Disk, left.PIDs
	} else {
		used := s.usedByAll(ctx)
		for _, each := range signals {
			whole := int64(simulatedPIDs)
			if quantity, ok := capacity[each.resource]; ok {
				whole = quantity.Value()
			}
			rooms[each.resource] = runtime.Room{Capacity: whole, Available: whole - used[each.resource]}
		}
	}
	s.Kubelet.mu.Lock()
	defer s.Kubelet.mu.Unlock()
	for _, each := range signals {
		room := rooms[each.resource]
		if s.pressure.toFill[each.resource] {
			delete(s.pressure.toFill, each.resource)
			s.pressure.filled[each.resource] = room.Available - each.threshold(room.Capacity)/2
		}
		room.Available = max(0, room.Available-s.pressure.filled[each.resource])
		rooms[each.resource] = room
	}
	return rooms, nil
}

// usedByAll sums up what the node's pods use.
func (s *session) usedByAll(ctx context.Context) map[corev1.ResourceName]int64 {
	sum := map[corev1.ResourceName]int64{}
	for _, pod := range s.pods.List("", nil) {
		for name, value := range s.usedBy(ctx, pod) {
			sum[name] += value
		}
	}
	return sum
}

// usedBy is what a pod uses of what may run short; what cannot be found out counts as nothing.
func (s *session) usedBy(ctx context.Context, pod *corev1.Pod) map[corev1.ResourceName]int64 {
	used := map[corev1.ResourceName]int64{}
	if podFinished(pod) {
		return used
	}
	containers, err := s.runtime.ListContainers(ctx, string(pod.UID))
	if err != nil {
		return used
	}
	for _, c := range containers {
		if c.State != runtime.Running {
			continue
		}
		if stats, err := s.use(ctx, pod, c.ID); err == nil {
			used[corev1.ResourceMemory] += int64(stats.MemoryBytes)
			used[pids] += max(stats.PIDs, 1)
		}
	}
	volumes, layers := s.diskUse(ctx, pod)
	for _, bytes := range volumes {
		used[corev1.ResourceEphemeralStorage] += bytes
	}
	for _, bytes := range layers {
		used[corev1.ResourceEphemeralStorage] += bytes
	}
	return used
}

// diskUse is what a pod's own volumes on disk and its containers' layers hold, by their names.
func (s *session) diskUse(ctx context.Context, pod *corev1.Pod) (volumes, containers map[string]int64) {
	disk, ok := s.runtime.(diskUser)
	if !ok {
		return nil, nil
	}
	var own []string
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory {
			own = append(own, v.Name)
		}
	}
	volumes, containers, err := disk.DiskUse(ctx, string(pod.UID), own)
	if err != nil {
		slog.Debug("what a pod holds on disk is not known", "pod", keyOf(pod), "error", err)
	}
	return volumes, containers
}

// refusedUnderPressure says why a node that is short of something does not take a pod. Short of memory, it takes all that
// have asked for some.
func (s *session) refusedUnderPressure(pod *corev1.Pod) *refusal {
	if isCritical(pod) {
		return nil
	}
	conditions := s.underPressure(time.Now())
	var names []corev1.NodeConditionType
	for _, each := range signals {
		if conditions[each.condition] {
			names = append(names, each.condition)
		}
	}
	if len(names) == 1 && names[0] == corev1.NodeMemoryPressure && (pod.Status.QOSClass != corev1.PodQOSBestEffort || toleratesMemoryPressure(pod)) {
		names = nil
	}
	if len(names) == 0 {
		return nil
	}
	return &refusal{"Evicted", fmt.Sprintf("The node had condition: %v. ", names)}
}

func toleratesMemoryPressure(pod *corev1.Pod) bool {
	taint := corev1.Taint{Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}
	for i := range pod.Spec.Tolerations {
		if t := &pod.Spec.Tolerations[i]; (t.Key == "" || t.Key == taint.Key) && (t.Effect == "" || t.Effect == taint.Effect) {
			return true
		}
	}
	return false
}

// isCritical: the cluster cannot do without such a pod.
func isCritical(pod *corev1.Pod) bool {
	const systemCritical = 2_000_000_000 // the least priority of the classes system-…-critical
	return pod.Spec.Priority != nil && *pod.Spec.Priority >= systemCritical
}

// quantityOf writes an amount of a resource as Kubernetes does.
func quantityOf(name corev1.ResourceName, value int64) *resource.Quantity {
	format := resource.BinarySI
	if name == pids {
		format = resource.DecimalSI
	}
	return resource.NewQuantity(value, format)
}
