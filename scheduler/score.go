package scheduler

import (
	"slices"

	"kubette/scheduler/framework"
)

// best rates nodes and returns the one with the most points; of equals, any.
func (s *Scheduler) best(t *trial, nodes []*framework.Node) *framework.Node {
	totals := make([]int64, len(nodes))
	for _, scorer := range s.profile.scorers {
		score := scorer.PreScore(t.cycle, nodes)
		if score == nil {
			continue
		}
		points := s.scratch.next(scorer.Name(), scorer.weight, len(nodes))
		for i, node := range nodes {
			points.raw[i] = score.Score(node)
		}
		copy(points.normal, points.raw)
		score.Normalize(points.normal)
		for i := range nodes {
			totals[i] += scorer.weight * points.normal[i]
		}
	}
	chosen, equals := 0, 1
	for i := 1; i < len(nodes); i++ {
		switch {
		case totals[i] > totals[chosen]:
			chosen, equals = i, 1
		case totals[i] == totals[chosen]:
			if equals++; s.random.IntN(equals) == 0 {
				chosen = i
			}
		}
	}
	t.record.rate(s.decisions.takeSpare(), nodes, totals, s.scratch.take(), chosen)
	return nodes[chosen]
}

// scratch holds what is found out of the nodes in one cycle; the next one uses the same memory.
type scratch struct {
	found    []*framework.Node
	verdicts []verdict

	all  []scores
	used int
}

// scores are one plugin's points for all nodes that are compared.
type scores struct {
	plugin      string
	weight      int64
	raw, normal []int64
}

func (s *scratch) next(plugin string, weight int64, nodes int) *scores {
	if s.used == len(s.all) {
		s.all = append(s.all, scores{})
	}
	points := &s.all[s.used]
	s.used++
	points.plugin, points.weight = plugin, weight
	points.raw = slices.Grow(points.raw[:0], nodes)[:nodes]
	points.normal = slices.Grow(points.normal[:0], nodes)[:nodes]
	return points
}

func (s *scratch) take() []scores {
	used := s.all[:s.used]
	s.used = 0
	return used
}
