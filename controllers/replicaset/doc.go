// Package replicaset keeps as many pods alive as a ReplicaSet wants.
//
// It watches ReplicaSets and pods. For each ReplicaSet it counts the pods that are its own, creates what is missing from
// the template, deletes what is too much, and reports the counts in the status. Which pods are its own is said by their
// owner references; pods that match the selector and have no owner are adopted, and pods that no longer match are let go.
//
// The same logic serves ReplicationControllers, the older kind, as in Kubernetes: see package replicationcontroller.
//
// Read replicaset.go (the loop), pods.go (create and delete), status.go, watch.go (which event concerns which set).
package replicaset
