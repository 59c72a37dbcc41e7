package framework

import corev1 "k8s.io/api/core/v1"

// EventKind says what happened in the cluster.
type EventKind string

// The kinds of events that pods wait for.
const (
	NodeAdded           EventKind = "NodeAdded"
	NodeUpdated         EventKind = "NodeUpdated"
	NodeDeleted         EventKind = "NodeDeleted"
	PodAssigned         EventKind = "AssignedPodAdded"   // a pod appeared on a node
	PodUpdated          EventKind = "AssignedPodUpdated" // a pod on a node changed its labels, requests, or is going away
	PodGone             EventKind = "AssignedPodDeleted" // a pod left its node
	ClaimChanged        EventKind = "PersistentVolumeClaimChanged"
	VolumeChanged       EventKind = "PersistentVolumeChanged"
	StorageClassChanged EventKind = "StorageClassChanged"
	NamespaceChanged    EventKind = "NamespaceChanged" // its labels
)

// Event is something that may help pods that had to wait. Only the fields of its kind are set.
type Event struct {
	Kind          EventKind
	Cluster       *Cluster     // as it is after the event
	OldNode, Node *corev1.Node // Node is the last one for NodeDeleted
	OldPod, Pod   *Pod         // Pod is the last one for PodGone
	Claim         *corev1.PersistentVolumeClaim
}

// String names the event as a cause for the trace.
func (e *Event) String() string {
	switch {
	case e.Node != nil:
		return string(e.Kind) + " " + e.Node.Name
	case e.Pod != nil:
		return string(e.Kind) + " " + e.Pod.Namespace + "/" + e.Pod.Name
	case e.Claim != nil:
		return string(e.Kind) + " " + e.Claim.Namespace + "/" + e.Claim.Name
	}
	return string(e.Kind)
}
