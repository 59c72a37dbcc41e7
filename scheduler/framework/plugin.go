package framework

import (
	"context"
)

// MaxScore is the best that a node can be scored by one plugin, before weights.
const MaxScore = 100

// Plugin is one concern of scheduling. It takes part at the points whose interfaces it has.
type Plugin interface {
	// Name is Kubernetes' name of the plugin, for example NodeResourcesFit.
	Name() string
}

// Cycle is one attempt to place one pod.
type Cycle struct {
	Pod     *Pod
	Cluster *Cluster
}

// Gate keeps pods out of the queue.
type Gate interface {
	Plugin
	// PreEnqueue says why a pod may not be scheduled yet, or nil.
	PreEnqueue(pod *Pod) *Status
}

// Filter tells which nodes can run a pod.
type Filter interface {
	Plugin
	// PreFilter looks at the pod once. It returns the check to make at each node; nil when there is nothing to check;
	// or a refusal that holds for every node.
	PreFilter(cycle *Cycle) (Check, *Status)
}

// Check says whether one pod may run on a node. It lives for one cycle.
type Check interface {
	Check(node *Node) *Status
}

// Simulator is a Check whose answer depends on pods on other nodes, too. Preemption asks it what would be if certain pods
// were not there.
type Simulator interface {
	Check
	// Clone returns a check that can be changed without changing this one.
	Clone() Check
	// Add and Remove tell of a pod that is imagined to be on the node, or not to be.
	Add(pod *Pod, node *Node)
	Remove(pod *Pod, node *Node)
}

// Narrower is a Check that knows from the start that only certain nodes come into question.
type Narrower interface {
	Check
	// OnlyNodes returns their names; false means that it does not know.
	OnlyNodes() ([]string, bool)
}

// Reserver is a Check with something to do once a node was chosen.
type Reserver interface {
	Check
	// Reserve sets aside what the pod needs beside the node itself; it is called by the scheduling goroutine.
	Reserve(node *Node) *Status
	// Unreserve gives it back, when the pod did not get there after all; it is called by the scheduling goroutine.
	Unreserve()
	// PreBindPreFlight says, after Reserve, whether PreBind has anything to do.
	PreBindPreFlight() bool
	// PreBind makes sure, before the pod is bound, that it is really there. It may take long and is called elsewhere.
	PreBind(ctx context.Context) error
}

// Scorer rates the nodes that can run a pod.
type Scorer interface {
	Plugin
	// PreScore looks at the pod and the nodes that remain. It returns nil when it has no preference.
	PreScore(cycle *Cycle, nodes []*Node) Score
}

// Score rates nodes for one pod. It lives for one cycle.
type Score interface {
	// Score returns a node's raw score, in units of the plugin's own.
	Score(node *Node) int64
	// Normalize turns the raw scores of all nodes into 0 to MaxScore, in place.
	Normalize(scores []int64)
}

// Waker tells which events can help a pod that the plugin refused. A plugin without it is helped by every event.
type Waker interface {
	Plugin
	Helps(event *Event, pod *Pod) bool
}

// NormalizeByHighest scales scores so that the highest becomes MaxScore; reverse makes few better than many.
func NormalizeByHighest(scores []int64, reverse bool) {
	var highest int64
	for _, score := range scores {
		highest = max(highest, score)
	}
	for i, score := range scores {
		if highest > 0 {
			score = MaxScore * score / highest
		}
		if reverse {
			score = MaxScore - score
		}
		scores[i] = score
	}
}
