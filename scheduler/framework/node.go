package framework

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Node is a node with the pods that run on it, or will in a moment: a pod counts from when its node was chosen.
type Node struct {
	*corev1.Node // nil while only pods of it are known

	Allocatable Resources
	Requested   Resources // what its pods take
	Counted     Resources // what its pods count for in scores, see Pod.Counted
	Pods        []*Pod
	Ports       map[Port]int
	Images      map[string]int64 // size in bytes, by every name
}

func newNode() *Node { return &Node{Ports: map[Port]int{}} }

// setObject takes over what the API says of the node.
func (n *Node) setObject(object *corev1.Node) {
	n.Node = object
	n.Allocatable = NewResources(object.Status.Allocatable)
	n.Images = make(map[string]int64, len(object.Status.Images))
	for _, image := range object.Status.Images {
		for _, name := range image.Names {
			n.Images[name] = image.SizeBytes
		}
	}
}

// Clone returns a copy that pods can be added to and removed from, to see what would be.
func (n *Node) Clone() *Node {
	copied := *n
	copied.Requested, copied.Counted = n.Requested.clone(), n.Counted.clone()
	copied.Pods = slices.Clone(n.Pods)
	copied.Ports = maps.Clone(n.Ports)
	return &copied
}

// Add puts a pod on the node.
func (n *Node) Add(pod *Pod) {
	n.Pods = append(n.Pods, pod)
	n.account(pod, 1)
}

// Remove takes a pod away, and says whether it was there.
func (n *Node) Remove(uid types.UID) (*Pod, bool) {
	i := slices.IndexFunc(n.Pods, func(p *Pod) bool { return p.UID == uid })
	if i < 0 {
		return nil, false
	}
	pod := n.Pods[i]
	last := len(n.Pods) - 1
	n.Pods[i] = n.Pods[last]
	n.Pods[last] = nil
	n.Pods = n.Pods[:last]
	n.account(pod, -1)
	return pod, true
}

func (n *Node) account(pod *Pod, times int) {
	n.Requested.add(&pod.Requests, int64(times))
	n.Counted.add(&pod.Counted, int64(times))
	for _, port := range pod.Ports {
		if n.Ports[port] += times; n.Ports[port] <= 0 {
			delete(n.Ports, port)
		}
	}
}
