package plugins

import (
	"fmt"

	"kubette/scheduler/framework"
)

// SchedulingGates keeps a pod out of the queue as long as its spec.schedulingGates is not empty: something else, such as
// a quota controller, has to remove its gate first.
type SchedulingGates struct{}

// Name implements framework.Plugin.
func (SchedulingGates) Name() string { return "SchedulingGates" }

// PreEnqueue implements framework.Gate.
func (SchedulingGates) PreEnqueue(pod *framework.Pod) *framework.Status {
	gates := pod.Spec.SchedulingGates
	if len(gates) == 0 {
		return nil
	}
	names := make([]string, 0, len(gates))
	for _, gate := range gates {
		names = append(names, gate.Name)
	}
	return framework.RefuseForGood(fmt.Sprintf("waiting for scheduling gates: %v", names))
}
