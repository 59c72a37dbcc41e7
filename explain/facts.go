package explain

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler"
)

// Facts are what is recorded or can be asked beside the objects. Functions that are nil know nothing.
type Facts struct {
	// Decisions returns what the scheduler decided about a pod, oldest first.
	Decisions func(namespace, pod string) []scheduler.Decision
	// Log returns the last lines of a container's log; previous is that of the run before.
	Log func(ctx context.Context, pod *corev1.Pod, container string, previous bool, lines int64) []string
	// Listens says whether a program listens on a port of a pod, by connecting to it.
	Listens func(ctx context.Context, pod *corev1.Pod, port int32) Listening
	// Paused says of a component that a user holds it.
	Paused func(component string) bool
	// Broken names the fault that a user made on a node, "" for none.
	Broken func(node string) string
}

// Listening is what came of connecting to a port.
type Listening string

// What can come of connecting to a port.
const (
	ListenUnknown  Listening = ""          // it could not be found out
	ListenYes      Listening = "yes"       // a program took the connection
	ListenRefused  Listening = "refused"   // no program listens
	ListenLoopback Listening = "localhost" // one listens, but on the pod's loopback address only
)

func (f Facts) decisions(namespace, pod string) []scheduler.Decision {
	if f.Decisions == nil {
		return nil
	}
	return f.Decisions(namespace, pod)
}

func (f Facts) paused(component string) bool { return f.Paused != nil && f.Paused(component) }

func (f Facts) broken(node string) string {
	if f.Broken == nil {
		return ""
	}
	return f.Broken(node)
}

func (f Facts) listens(ctx context.Context, pod *corev1.Pod, port int32) Listening {
	if f.Listens == nil {
		return ListenUnknown
	}
	return f.Listens(ctx, pod, port)
}
