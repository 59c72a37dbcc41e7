// Package namespace empties namespaces that are being deleted, and then lets them go.
//
// A deleted namespace only gets a deletion time and the phase Terminating; the finalizer "kubernetes" in its spec holds
// it. The controller deletes everything in it, of every kind that the API serves: pods first, so that they still find
// their service account and config maps while they stop. It comes back until nothing is left, and then takes the
// finalizer off. Conditions in the status say what is still there and why.
//
// It watches namespaces, and pods to know at once when the last has gone. Kubernetes waits for five seconds after every
// change of the namespace, so that each of several API servers has heard of the deletion before content is counted.
//
// Read namespace.go (the loop), contents.go (deleting), conditions.go.
package namespace
