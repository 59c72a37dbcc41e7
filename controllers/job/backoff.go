package job

import (
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

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

// endOf is when a pod ended: its last container's end, or its deletion, or else when it stopped being ready.
func endOf(pod *corev1.Pod) time.Time {
	var last time.Time
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Terminated != nil && status.State.Terminated.FinishedAt.After(last) {
			last = status.State.Terminated.FinishedAt.Time
		}
	}
	if !last.IsZero() {
		return last
	}
	if ready := controllers.PodCondition(&pod.Status, corev1.PodReady); ready != nil && ready.Status != corev1.ConditionTrue && !ready.LastTransitionTime.IsZero() {
		return ready.LastTransitionTime.Time
	}
	if pod.DeletionTimestamp != nil {
		return pod.DeletionTimestamp.Time
	}
	return pod.CreationTimestamp.Time
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
	for _, pod := range fresh.succeeded {
		ends = append(ends, end{endOf(pod), string(pod.UID), true})
	}
	for _, pod := range fresh.failed {
		ends = append(ends, end{endOf(pod), string(pod.UID), false})
	}
	if len(ends) == 0 {
		return
	}
	slices.SortFunc(ends, func(a, b end) int { return a.at.Compare(b.at) })
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
