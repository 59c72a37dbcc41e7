package job

import (
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

const (
	firstDelay = 10 * time.Second
	maxDelay   = 10 * time.Minute
)

// delayAfter a number of failures in a row: 10 s, 20 s, 40 s, …
func delayAfter(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	delay := firstDelay
	for range failures - 1 {
		if delay *= 2; delay >= maxDelay {
			return maxDelay
		}
	}
	return delay
}

// endOf is when a pod ended: its last container's end, or when it stopped being ready, or when it was asked to go.
func endOf(pod *corev1.Pod) time.Time {
	sidecar := func(name string) bool {
		return slices.ContainsFunc(pod.Spec.InitContainers, func(container corev1.Container) bool {
			return container.Name == name && controllers.IsSidecar(&container)
		})
	}
	last := latestEnd(time.Time{}, pod.Status.ContainerStatuses, func(string) bool { return true })
	last = latestEnd(last, pod.Status.InitContainerStatuses, sidecar) // they end after the others
	if !last.IsZero() {
		return last
	}
	ready := controllers.PodCondition(&pod.Status, corev1.PodReady)
	if ready != nil && ready.Status == corev1.ConditionFalse && !ready.LastTransitionTime.IsZero() {
		return ready.LastTransitionTime.Time
	}
	if pod.DeletionTimestamp != nil { // this is when its grace is over
		return pod.DeletionTimestamp.Add(-time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second)
	}
	return pod.CreationTimestamp.Time
}

// latestEnd is the last end of containers, or a time that is later; zero while one of them runs.
func latestEnd(last time.Time, statuses []corev1.ContainerStatus, counts func(name string) bool) time.Time {
	for _, status := range statuses {
		if !counts(status.Name) {
			continue
		}
		if status.State.Terminated == nil || status.State.Terminated.FinishedAt.IsZero() {
			return time.Time{}
		}
		if end := status.State.Terminated.FinishedAt.Time; end.After(last) {
			last = end
		}
	}
	return last
}

// backoff remembers how often a Job's pods failed in a row. It forgets with the process, as Kubernetes' does.
type backoff struct {
	mu    sync.Mutex
	byKey map[string]*streak
}

type streak struct {
	failures int
	last     time.Time
	seen     map[string]struct{} // UIDs, so that nothing counts twice
}

// note adds pods that have ended.
func (b *backoff) note(key string, fresh outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	type end struct {
		at      time.Time
		uid     string
		success bool
	}
	var ends []end
	for _, pod := range fresh.failed {
		ends = append(ends, end{endOf(pod), string(pod.UID), false})
	}
	for _, pod := range fresh.succeeded { // of the same second, success counts
		ends = append(ends, end{endOf(pod), string(pod.UID), true})
	}
	if len(ends) == 0 {
		return
	}
	slices.SortStableFunc(ends, func(a, b end) int { return a.at.Compare(b.at) })
	if b.byKey == nil {
		b.byKey = map[string]*streak{}
	}
	s, ok := b.byKey[key]
	if !ok {
		s = &streak{seen: map[string]struct{}{}}
		b.byKey[key] = s
	}
	for _, e := range ends {
		if _, twice := s.seen[e.uid]; twice {
			continue
		}
		s.seen[e.uid] = struct{}{}
		if e.success {
			s.failures = 0
			continue
		}
		s.failures++
		if e.at.After(s.last) {
			s.last = e.at
		}
	}
}

// remaining is how long until the next pod may be made.
func (b *backoff) remaining(key string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.byKey[key]
	if !ok || s.failures == 0 {
		return 0
	}
	return time.Until(s.last.Add(delayAfter(s.failures)))
}

func (b *backoff) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byKey, key)
}
