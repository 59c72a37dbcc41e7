// Package nodelifecycle notices nodes that have fallen silent, and marks all nodes so that pods keep off the sick ones.
//
// A kubelet renews its node's Lease every 10 seconds, and posts the node's status. When neither has come for the grace
// period (50 s), the controller sets the node's conditions to Unknown in its place, and makes the node's pods not ready,
// so that services leave them out. Then it taints the node: NoSchedule keeps new pods away, NoExecute lets package
// tainteviction take the running ones off, after the time that each tolerates (5 minutes by default).
//
// When many nodes of a zone fail at once the fault is more likely in the network than in the nodes: then the taints come
// slowly, or not at all.
//
// It watches nodes, leases and pods. In Kubernetes it looks at all nodes every 5 s; here each node has its own deadline.
//
// Read nodelifecycle.go (the loop), health.go (silent nodes), taints.go, zones.go (how fast).
package nodelifecycle
