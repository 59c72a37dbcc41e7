package plugins

import "kubette/scheduler/framework"

var portsTaken = framework.Refuse("node(s) didn't have free ports for the requested pod ports")

// NodePorts keeps two pods that want the same port of the node itself (hostPort) apart.
type NodePorts struct{}

// Name implements framework.Plugin.
func (NodePorts) Name() string { return "NodePorts" }

// PreFilter implements framework.Filter.
func (NodePorts) PreFilter(c *framework.Cycle) (framework.Check, *framework.Status) {
	if len(c.Pod.Ports) == 0 {
		return nil, nil
	}
	return portsCheck(c.Pod.Ports), nil
}

type portsCheck []framework.Port

func (wanted portsCheck) Check(node *framework.Node) *framework.Status {
	for _, port := range wanted {
		for taken := range node.Ports {
			if samePort(port, taken) {
				return portsTaken
			}
		}
	}
	return nil
}

// samePort says whether two ports get in each other's way: 0.0.0.0 stands for every address.
func samePort(a, b framework.Port) bool {
	return a.Number == b.Number && a.Protocol == b.Protocol && (a.IP == b.IP || a.IP == "0.0.0.0" || b.IP == "0.0.0.0")
}

// Helps implements framework.Waker.
func (NodePorts) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.NodeAdded:
		return true
	case framework.PodGone:
		for _, port := range pod.Ports {
			for _, freed := range event.Pod.Ports {
				if samePort(port, freed) {
					return true
				}
			}
		}
	}
	return false
}
