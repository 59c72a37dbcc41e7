package plugins

import "kubette/scheduler/framework"

var wrongName = framework.RefuseForGood("node(s) didn't match the requested node name")

// NodeName lets a pod that names its node run there only. Such a pod needs no scheduler, and does not come to one unless
// it is asked about hypothetically.
type NodeName struct{}

// Name implements framework.Plugin.
func (NodeName) Name() string { return "NodeName" }

// PreFilter implements framework.Filter.
func (NodeName) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	if c.Pod.Spec.NodeName == "" {
		return nil, nil
	}
	return nodeNameCheck(c.Pod.Spec.NodeName), nil
}

type nodeNameCheck string

func (name nodeNameCheck) Check(node *framework.Node) *framework.Status {
	if node.Name != string(name) {
		return wrongName
	}
	return nil
}

// Helps implements framework.Waker.
func (NodeName) Helps(event *framework.Event, _ *framework.Pod) bool {
	return event.Kind == framework.NodeAdded
}
