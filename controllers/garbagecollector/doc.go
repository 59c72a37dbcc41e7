// Package garbagecollector deletes what has lost its owner.
//
// Objects name their owners in metadata.ownerReferences: a pod its ReplicaSet, that its Deployment. The collector watches
// all kinds of objects and keeps a graph of who owns whom (only the references, not the objects). When an object goes,
// its dependents are looked at, and those left without any owner are deleted, and so on down.
//
// What happens to dependents is chosen with the deletion (kubectl delete --cascade):
//
//   - background: the object goes at once, the dependents after it;
//   - foreground: the object gets the finalizer foregroundDeletion and waits; its dependents go first, and when those that
//     block it (blockOwnerDeletion) are gone, the collector takes the finalizer off;
//   - orphan: the object gets the finalizer orphan; the collector first takes its references out of the dependents.
//
// The graph may lag behind, so that before anything is deleted both the object and its owners are read from the API.
//
// Read garbagecollector.go (the loop), graph.go (who owns whom), watch.go (following all kinds), collect.go (one object:
// delete or keep), finalizers.go (foreground and orphan).
package garbagecollector
