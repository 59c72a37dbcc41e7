package job

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

// indexes is a set of completion indexes.
type indexes map[int]struct{}

func (s indexes) len() int { return len(s) }

func (s indexes) has(index int) bool {
	_, ok := s[index]
	return ok
}

func (s indexes) add(index int) { s[index] = struct{}{} }

// String is the set as the status has it: "0,3-5,7".
func (s indexes) String() string {
	sorted := make([]int, 0, len(s))
	for index := range s {
		sorted = append(sorted, index)
	}
	slices.Sort(sorted)
	var parts []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		switch {
		case j == i:
			parts = append(parts, strconv.Itoa(sorted[i]))
		case j == i+1:
			parts = append(parts, strconv.Itoa(sorted[i]), strconv.Itoa(sorted[j]))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// parseIndexes reads what String writes; indexes from limit on are dropped, for completions may have been lowered.
func parseIndexes(text string, limit int) indexes {
	set := indexes{}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil {
			continue
		}
		for index := from; index <= to && index < limit; index++ {
			set.add(index)
		}
	}
	return set
}

// indexOf is a pod's completion index, or -1.
func indexOf(pod *corev1.Pod) int {
	index, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || index < 0 {
		return -1
	}
	return index
}

func (r *run) completions() int { return int(ptr.Deref(r.job.Spec.Completions, 0)) }

// observeIndexes finds which indexes are done, and which have failed for good.
func (r *run) observeIndexes() {
	r.done = parseIndexes(r.job.Status.CompletedIndexes, r.completions())
	for _, pod := range r.fresh.succeeded {
		if index := indexOf(pod); index >= 0 && index < r.completions() {
			r.done.add(index)
		}
	}
	r.broken = indexes{}
	if r.perIndex() {
		r.broken = parseIndexes(ptr.Deref(r.job.Status.FailedIndexes, ""), r.completions())
		for _, pod := range r.fresh.failed {
			if index := indexOf(pod); index >= 0 && index < r.completions() && !r.done.has(index) && r.breaks(pod) {
				r.broken.add(index)
			}
		}
	}
}

// inRange says whether a pod has an index that is wanted, if indexes matter.
func (r *run) inRange(pod *corev1.Pod) bool {
	index := indexOf(pod)
	return !r.indexed() || index >= 0 && index < r.completions()
}

// pending returns, of the lowest indexes that need a pod, those that may have one now. One that waits after a failure keeps
// its place: no higher index goes before it.
func (r *run) pending(count int) []int {
	busy := indexes{}
	for _, pod := range r.pods {
		if controllers.IsActive(pod) || r.replaceOnlyFailed() && controllers.IsTerminating(pod) {
			busy.add(indexOf(pod))
		}
	}
	var found []int
	for index := 0; index < r.completions() && len(found) < count; index++ {
		if busy.has(index) || r.done.has(index) || r.broken.has(index) {
			continue
		}
		found = append(found, index)
	}
	return slices.DeleteFunc(found, r.waits)
}

// misplaced separates the active pods of an indexed Job whose index is out of range or taken by a better pod.
func (r *run) misplaced() (wrong, right []*corev1.Pod) {
	if !r.indexed() {
		return nil, slices.Clone(r.active)
	}
	byIndex := map[int][]*corev1.Pod{}
	for _, pod := range r.active {
		if !r.inRange(pod) {
			wrong = append(wrong, pod)
			continue
		}
		byIndex[indexOf(pod)] = append(byIndex[indexOf(pod)], pod)
	}
	for _, index := range slices.Sorted(maps.Keys(byIndex)) {
		pods := byIndex[index]
		controllers.RankActive(pods)
		last := len(pods) - 1
		wrong, right = append(wrong, pods[:last]...), append(right, pods[last])
	}
	return wrong, right
}
