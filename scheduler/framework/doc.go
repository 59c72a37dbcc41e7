// Package framework is what scheduler plugins are made of: the pod to place, the nodes as the scheduler sees them, and
// the points at which a plugin has its say. In Kubernetes this is k8s.io/kube-scheduler/framework.
//
// One pod is placed in one Cycle. First every filtering plugin looks at the pod once (PreFilter) and hands back a check,
// which then says yes or no to each node; a plugin that has nothing to say about the pod hands back nil and costs nothing
// more. Among the nodes that remain, every scoring plugin does the same with numbers from 0 to 100 (PreScore, Score). A
// check lives as long as its cycle, so whatever a plugin finds out about the pod is a field of the check, and plugins
// share no state.
//
// Kubernetes runs the checks for several nodes at once, keeps plugin data in a map that all plugins share, and copies
// the cluster before each cycle. Here one goroutine owns everything in this package: it is quick enough alone, because
// Cluster is kept up to date change by change, and nothing has to be locked or copied.
//
// Read plugin.go (the points), status.go (how a plugin refuses), pod.go, affinity.go and node.go (what plugins look
// at), cluster.go (all nodes, and quick answers about them), event.go (what may help a pod that had to wait).
package framework
