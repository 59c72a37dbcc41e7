package controllers

import (
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RankForDeletion sorts pods so that the ones to delete first come first. crowd gives, for each pod, how many of its
// relatives share its node. The rules are the ReplicaSet controller's, in order; the first that tells two pods apart
// decides:
//
//  1. not yet on a node, before on one
//  2. pending, before unknown, before running
//  3. not ready, before ready
//  4. lower pod-deletion-cost first
//  5. on a node with more relatives, before on one with fewer
//  6. ready for a shorter time (in powers of two of it) first
//  7. more restarts first
//  8. younger (in powers of two of the age) first
//
// Powers keep a scale-down from always hitting the newest pods of a rollout; within one, the UID decides, which is
// as good as chance.
func RankForDeletion(pods []*corev1.Pod, crowd map[*corev1.Pod]int) { rank(pods, crowd, deletionRules) }

// RankActive sorts pods as the Job controller does: without cost and crowd, and by exact times, so that of two that differ
// in nothing else the one that was ready, or made, last comes first.
func RankActive(pods []*corev1.Pod) { rank(pods, nil, activeRules) }

func rank(pods []*corev1.Pod, crowd map[*corev1.Pod]int, rules []deletionRule) {
	now := time.Now()
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		for _, rule := range rules {
			if order := rule(a, b, crowd, now); order != 0 {
				return order
			}
		}
		return 0
	})
}

type deletionRule func(a, b *corev1.Pod, crowd map[*corev1.Pod]int, now time.Time) int

var deletionRules = []deletionRule{
	byNode, byPhase, byReadiness,
	func(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
		return compare(deletionCost(a), deletionCost(b))
	},
	func(a, b *corev1.Pod, crowd map[*corev1.Pod]int, _ time.Time) int { return crowd[b] - crowd[a] },
	func(a, b *corev1.Pod, _ map[*corev1.Pod]int, now time.Time) int {
		if !IsReady(a) || !IsReady(b) {
			return 0
		}
		return younger(a, b, readySince(a), readySince(b), now)
	},
	byRestarts,
	func(a, b *corev1.Pod, _ map[*corev1.Pod]int, now time.Time) int {
		return younger(a, b, a.CreationTimestamp, b.CreationTimestamp, now)
	},
}

var activeRules = []deletionRule{
	byNode, byPhase, byReadiness,
	func(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
		if !IsReady(a) || !IsReady(b) {
			return 0
		}
		return later(readySince(a), readySince(b))
	},
	byRestarts,
	func(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
		return later(a.CreationTimestamp, b.CreationTimestamp)
	},
}

func byNode(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
	return first(a.Spec.NodeName == "", b.Spec.NodeName == "")
}

func byPhase(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
	return phaseOrder[a.Status.Phase] - phaseOrder[b.Status.Phase]
}

func byReadiness(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
	return first(!IsReady(a), !IsReady(b))
}

func byRestarts(a, b *corev1.Pod, _ map[*corev1.Pod]int, _ time.Time) int {
	return restarts(b) - restarts(a)
}

var phaseOrder = map[corev1.PodPhase]int{corev1.PodPending: 0, corev1.PodUnknown: 1, corev1.PodRunning: 2}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func compare[T int | int32](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// deletionCost reads the annotation; a value that is no number, which validation refuses, counts as 0.
func deletionCost(pod *corev1.Pod) int32 {
	cost, err := strconv.ParseInt(pod.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int32(cost)
}

func readySince(pod *corev1.Pod) metav1.Time {
	if ready := PodCondition(&pod.Status, corev1.PodReady); ready != nil {
		return ready.LastTransitionTime
	}
	return metav1.Time{}
}

// younger orders by time since, in powers; unknown times come first.
func younger(a, b *corev1.Pod, since, other metav1.Time, now time.Time) int {
	if since.Equal(&other) {
		return 0
	}
	if since.IsZero() || other.IsZero() {
		return first(since.IsZero(), other.IsZero())
	}
	x, y := magnitude(now.Sub(since.Time)), magnitude(now.Sub(other.Time))
	if x != y {
		return compare(x, y)
	}
	return first(a.UID < b.UID, b.UID < a.UID)
}

// later orders by time, the latest first; unknown times come first.
func later(a, b metav1.Time) int {
	if a.IsZero() || b.IsZero() {
		return first(a.IsZero(), b.IsZero())
	}
	return b.Compare(a.Time)
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

// restarts is the highest restart count of a pod's containers.
func restarts(pod *corev1.Pod) int {
	most := int32(0)
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range statuses {
			most = max(most, status.RestartCount)
		}
	}
	return int(most)
}
