package plugins

import (
	"math"

	"kubette/scheduler/framework"
)

// NodeResourcesBalancedAllocation likes nodes whose cpu and memory would be used up evenly: a node with all its cpu taken
// can make no use of the memory that it has left.
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

// Score is 100 less the standard deviation of the fractions taken of cpu and memory, in percent.
func (s *balanceScore) Score(node *framework.Node) int64 {
	if node.Allocatable.MilliCPU == 0 || node.Allocatable.Memory == 0 {
		return framework.MaxScore // only one of them is there, or none: nothing can be out of balance
	}
	cpu := min(1, float64(node.Requested.MilliCPU+s.pod.MilliCPU)/float64(node.Allocatable.MilliCPU))
	memory := min(1, float64(node.Requested.Memory+s.pod.Memory)/float64(node.Allocatable.Memory))
	deviation := math.Abs((cpu - memory) / 2)
	return int64((1 - deviation) * framework.MaxScore)
}

// Normalize has nothing to do: the scores are percentages already.
func (*balanceScore) Normalize([]int64) {}
