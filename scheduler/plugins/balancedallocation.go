package plugins

import (
	"math"

	"kubette/scheduler/framework"
)

// NodeResourcesBalancedAllocation likes nodes whose cpu and memory would be used up more evenly with the pod than
// without: a node with all its cpu taken can make no use of the memory that it has left.
type NodeResourcesBalancedAllocation struct{}

// Name implements framework.Plugin.
func (NodeResourcesBalancedAllocation) Name() string { return "NodeResourcesBalancedAllocation" }

// PreScore implements framework.Scorer. A pod that requests neither changes no balance.
func (NodeResourcesBalancedAllocation) PreScore(c *framework.Cycle, _ []*framework.Node) framework.Score {
	if c.Pod.Requests.MilliCPU == 0 && c.Pod.Requests.Memory == 0 {
		return nil
	}
	return &balanceScore{pod: &c.Pod.Requests}
}

type balanceScore struct{ pod *framework.Resources }

// Score is 75 if the pod changes nothing about a node's balance, more (up to 100) the better it makes it, and less (down
// to 50) the worse.
func (s *balanceScore) Score(node *framework.Node) int64 {
	with := balance(node, s.pod.MilliCPU, s.pod.Memory)
	without := balance(node, 0, 0)
	return framework.MaxScore/2 + (framework.MaxScore/2+with-without)/2
}

// balance is 100 less the standard deviation of the fractions taken of cpu and memory, in percent, with so much more.
func balance(node *framework.Node, cpu, memory int64) int64 {
	all, taken := &node.Allocatable, &node.Requested
	if all.MilliCPU == 0 || all.Memory == 0 {
		return framework.MaxScore // only one of them is there, or none: nothing can be out of balance
	}
	deviation := math.Abs((fraction(taken.MilliCPU+cpu, all.MilliCPU) - fraction(taken.Memory+memory, all.Memory)) / 2)
	return int64((1 - deviation) * framework.MaxScore)
}

func fraction(taken, all int64) float64 { return min(1, float64(taken)/float64(all)) }

// Normalize has nothing to do: the scores are percentages already.
func (*balanceScore) Normalize([]int64) {}
