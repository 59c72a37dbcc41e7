package kubelet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"kubette/kubelet/runtime"
)

// eviction is why the kubelet ends a pod that does nothing wrong by itself: it becomes Failed, and whoever wanted it makes
// another one elsewhere.
type eviction struct{ message string }

// evict ends a pod. The pod's own reconcile does the work.
func (s *session) evict(pod *corev1.Pod, message string) {
	w := s.worker(keyOf(pod))
	w.mu.Lock()
	again := w.evicted != nil
	if !again {
		w.evicted = &eviction{message}
	}
	w.mu.Unlock()
	if again {
		return
	}
	s.event(pod, "", corev1.EventTypeWarning, "Evicted", "%s", message)
	s.loop.Add(w.key, "evicted")
}

// eviction is why a pod is being evicted, or nil.
func (w *worker) eviction() *eviction {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.evicted
}

// evictable are the pods that are not at their end already.
func (s *session) evictable() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(s.pods.List("", nil)), func(pod *corev1.Pod) bool {
		w := s.worker(keyOf(pod))
		w.mu.Lock()
		defer w.mu.Unlock()
		return podFinished(pod) || pod.DeletionTimestamp != nil || w.evicted != nil
	})
}

// evictOverLimits ends the pods whose files on the node's disk are larger than they may be. It says whether there were any.
func (s *session) evictOverLimits(ctx context.Context) bool {
	any := false
	for _, pod := range s.evictable() {
		if !limitsDisk(pod) {
			continue
		}
		volumes, containers := s.diskUse(ctx, pod)
		if message := overLimit(pod, volumes, containers); message != "" {
			s.evict(pod, message)
			any = true
		}
	}
	return any
}

// limitsDisk says whether there is a limit at all.
func limitsDisk(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if v := pod.Spec.Volumes[i].EmptyDir; v != nil && v.SizeLimit != nil && v.Medium != corev1.StorageMediumMemory {
			return true
		}
	}
	for i := range pod.Spec.Containers {
		if _, ok := pod.Spec.Containers[i].Resources.Limits[corev1.ResourceEphemeralStorage]; ok {
			return true
		}
	}
	return false
}

// overLimit says in Kubernetes' words what is too large: a volume, the whole pod, a container's own layer; or "".
func overLimit(pod *corev1.Pod, volumes, containers map[string]int64) string {
	total := int64(0)
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		total += volumes[v.Name]
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Sign() > 0 && volumes[v.Name] > v.EmptyDir.SizeLimit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, v.EmptyDir.SizeLimit.String())
		}
	}
	for _, bytes := range containers {
		total += bytes
	}
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	if limit, ok := limits[corev1.ResourceEphemeralStorage]; ok && total > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		if limit, ok := spec.Resources.Limits[corev1.ResourceEphemeralStorage]; ok && containers[spec.Name] > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", spec.Name, limit.String())
		}
	}
	return ""
}

// costly is a pod with what decides whether it goes first.
type costly struct {
	pod            *corev1.Pod
	used, request  int64
	beyond         bool // it uses more than it asked for
	priority, over int64
}

// evictOne ends the pod that goes first: those beyond their request before others, then the least priority, then who uses
// most beyond the request. Critical pods stay.
func (s *session) evictOne(ctx context.Context, short signal, room runtime.Room) {
	var all []costly
	for _, pod := range s.evictable() {
		if isCritical(pod) {
			continue
		}
		c := costly{pod: pod, used: s.usedBy(ctx, pod)[short.resource], priority: int64(valueOr(pod.Spec.Priority, 0))}
		requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
		if request, ok := requests[short.resource]; ok {
			c.request = request.Value()
		}
		c.over = c.used - c.request
		c.beyond = c.over > 0 && short.resource != pids // nobody asks for processes
		all = append(all, c)
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b costly) int {
		if a.beyond != b.beyond {
			if a.beyond {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.over, a.over))
	})
	first := all[0].pod
	message := fmt.Sprintf("The node was low on resource: %s. Threshold quantity: %s, available: %s. ", short.resource,
		quantityOf(short.resource, short.threshold(room.Capacity)), quantityOf(short.resource, room.Available))
	s.evict(first, message+s.largerUse(ctx, first, short.resource))
}

// largerUse names the containers that use more than they asked for.
func (s *session) largerUse(ctx context.Context, pod *corev1.Pod, name corev1.ResourceName) string {
	var b strings.Builder
	var layers map[string]int64
	if name == corev1.ResourceEphemeralStorage {
		_, layers = s.diskUse(ctx, pod)
	}
	containers, err := s.runtime.ListContainers(ctx, string(pod.UID))
	if err != nil || name == pids {
		return ""
	}
	slices.SortFunc(containers, func(a, b runtime.Container) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range containers {
		spec := containerOf(pod, c.Name)
		if c.State != runtime.Running || spec == nil {
			continue
		}
		used := layers[c.Name]
		if name == corev1.ResourceMemory {
			stats, err := s.use(ctx, pod, c.ID)
			if err != nil {
				continue
			}
			used = int64(stats.MemoryBytes)
		}
		request := spec.Resources.Requests[name]
		if used > request.Value() {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %s. ", c.Name, quantityOf(name, used), request.String(), name)
		}
	}
	return b.String()
}

// setEvicted makes a status that of an evicted pod.
func (e *eviction) setEvicted(pod *corev1.Pod, status *corev1.PodStatus) {
	status.Phase, status.Reason, status.Message = corev1.PodFailed, "Evicted", e.message
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.DisruptionTarget {
			return
		}
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet, Message: e.message,
		LastTransitionTime: stamp(time.Now()), ObservedGeneration: pod.Generation,
	})
}
