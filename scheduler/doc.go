// Package scheduler finds a node for each pod that has none. In Kubernetes it is the program kube-scheduler.
//
// That is all it does: it writes a node's name into the pod, by the API's pods/binding, and the kubelet of that node does
// the rest. The choice goes in two rounds, each made of plugins. Filters say which nodes can run the pod at all: enough
// cpu and memory left, no taint that it does not tolerate, its volumes within reach. Scores say which of those is best:
// the emptier the better, siblings apart, images there already. Weights, formulas and words are those of kube-scheduler's
// default profile, so the same cluster gets the same verdicts.
//
// A pod that fits nowhere waits. It is tried again when something happens that can help it (a plugin that refused it says
// what that is), not before and not otherwise; one that keeps failing backs off from 1 to 10 seconds, unless there is
// nothing else to do. If it is more important than pods that are running, the scheduler may evict some of those
// (preemption), and then waits for them to go.
//
// A pod counts as being on its node from the moment of the choice (it is "assumed"), so the next one can be placed while
// the API still writes down the first. Everything the scheduler knows belongs to one goroutine: informers and bindings
// leave it notes, which it reads between two pods. So nothing is locked, nothing is copied before each pod, and one pod
// costs a few microseconds per node.
//
// Every choice is kept as a Decision: which filter kept the pod off which node and why, what each plugin scored, who won.
//
// Left out: several profiles, extenders, permit plugins, dynamic resource allocation, limits on attached volumes and
// the other storage details (the capacity that drivers tell of), gangs of pods. As in kube-scheduler, a pod that has waited
// for five minutes is tried again in case an event was overlooked.
//
// Read scheduler.go (the loop), queue.go (who is next), cycle.go and score.go (one pod, one choice), bind.go, preempt.go,
// evict.go, then news.go (what the informers tell), siblings.go, report.go and decision.go, and the packages framework and plugins.
package scheduler
