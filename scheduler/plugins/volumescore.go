package plugins

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler/framework"
)

// PreScore implements framework.Scorer. It finds the volumes for each node once more: plugins share no state, and few pods
// have claims that wait.
func (p VolumeBinding) PreScore(c *framework.Cycle, nodes []*framework.Node) framework.Score {
	found, _ := p.PreFilter(c)
	check, ok := found.(*volumeCheck)
	if !ok || len(check.waiting) == 0 {
		return nil
	}
	for _, node := range nodes {
		check.Check(node) // each said yes already
	}
	return volumeScore(check.found)
}

// volumeScore is what to bind on each node, by its name.
type volumeScore map[string]*bindings

// Score is how much of the volumes that are there would be left over, in percent, on average of their classes. Kubernetes
// counts volumes that are to be made, too, where a storage driver tells how much room it has.
func (s volumeScore) Score(node *framework.Node) int64 {
	type room struct{ wanted, capacity int64 }
	byClass := map[string]room{}
	if wanted := s[node.Name]; wanted != nil {
		for _, b := range wanted.static {
			class := b.volume.Spec.StorageClassName
			asked, capacity := b.claim.Spec.Resources.Requests[corev1.ResourceStorage], b.volume.Spec.Capacity[corev1.ResourceStorage]
			byClass[class] = room{byClass[class].wanted + asked.Value(), byClass[class].capacity + capacity.Value()}
		}
	}
	if len(byClass) == 0 {
		return 0
	}
	var sum int64
	for _, r := range byClass {
		if r.capacity > 0 && r.wanted <= r.capacity {
			sum += framework.MaxScore - r.wanted*framework.MaxScore/r.capacity
		}
	}
	return int64(math.Round(float64(sum) / float64(len(byClass))))
}

// Normalize has nothing to do: the scores are percentages already.
func (volumeScore) Normalize([]int64) {}
