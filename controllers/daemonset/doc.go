// Package daemonset runs one pod of a DaemonSet on every node that it wants.
//
// It watches DaemonSets, pods and nodes. For each node it decides whether a pod of the set should be there (the node's
// name, node selector and affinity, and the taints that the pod does not tolerate), makes the missing ones and deletes
// those in the wrong place. The scheduler binds the pods: each carries an affinity to its one node. Pods of a DaemonSet
// tolerate the taints of sick nodes by themselves, for they are often what is needed to find out or to repair.
//
// A new template is rolled out node by node: first away, then new (maxUnavailable), or first new, then away (maxSurge).
// Its versions are kept as ControllerRevisions (package revisions).
//
// Read daemonset.go (the loop), nodes.go (should it run there), placement.go (what is missing, what is too much),
// update.go (rolling), history.go, status.go, watch.go.
package daemonset
