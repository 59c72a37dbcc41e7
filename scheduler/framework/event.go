package framework

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// EventKind says what happened in the cluster.
type EventKind string

// The kinds of events that pods wait for. kube-scheduler tells an update apart further, by what was changed; here the event
// has the object before and after, and plugins look.
const (
	NodeAdded           EventKind = "NodeAdded"
	NodeUpdated         EventKind = "NodeUpdated"
	NodeDeleted         EventKind = "NodeDeleted"
	PodAssigned         EventKind = "AssignedPodAdded"   // a pod appeared on a node
	PodUpdated          EventKind = "AssignedPodUpdated" // a pod on a node changed its labels, requests, or is going away
	PodGone             EventKind = "AssignedPodDeleted" // a pod left its node, or the one that was kept for it
	OwnUpdate           EventKind = "TargetPodUpdated"   // the waiting pod itself was changed
	ClaimAdded          EventKind = "PersistentVolumeClaimAdded"
	ClaimUpdated        EventKind = "PersistentVolumeClaimUpdated"
	VolumeAdded         EventKind = "PersistentVolumeAdded"
	VolumeUpdated       EventKind = "PersistentVolumeUpdated"
	StorageClassAdded   EventKind = "StorageClassAdded"
	StorageClassUpdated EventKind = "StorageClassUpdated"
	NamespaceLabelled   EventKind = "NamespaceLabelled" // a namespace appeared or changed its labels
)

// Event is something that may help pods that had to wait. Only the fields of its kind are set.
type Event struct {
	Kind              EventKind
	Cluster           *Cluster     // as it is after the event
	OldNode, Node     *corev1.Node // Node is the last one for NodeDeleted
	OldPod, Pod       *Pod         // Pod is the last one for PodGone
	Claim             *corev1.PersistentVolumeClaim
	OldVolume, Volume *corev1.PersistentVolume
	OldClass, Class   *storagev1.StorageClass
	Namespace         string // for NamespaceLabelled
	OldLabels, Labels labels.Set
}

// String names the event as a cause for the trace: the object, if there is one, and what happened to it.
func (e *Event) String() string {
	switch kind := " " + string(e.Kind); {
	case e.Node != nil:
		return "nodes/" + e.Node.Name + kind
	case e.Pod != nil:
		return "pods/" + e.Pod.Namespace + "/" + e.Pod.Name + kind
	case e.Claim != nil:
		return "persistentvolumeclaims/" + e.Claim.Namespace + "/" + e.Claim.Name + kind
	case e.Volume != nil:
		return "persistentvolumes/" + e.Volume.Name + kind
	case e.Class != nil:
		return "storageclasses/" + e.Class.Name + kind
	default:
		return "namespaces/" + e.Namespace + kind
	}
}

// Relabelled says that an update changed a pod's labels.
func (e *Event) Relabelled() bool { return !maps.Equal(e.OldPod.Labels, e.Pod.Labels) }

// ToleratesMore says that an update changed a pod's tolerations. They can only be added to.
func (e *Event) ToleratesMore() bool {
	return len(e.OldPod.Spec.Tolerations) != len(e.Pod.Spec.Tolerations)
}
