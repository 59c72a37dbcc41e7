package framework

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
)

// Pod is a pod with what plugins ask of it again and again, worked out once. The object is shared: never change it.
type Pod struct {
	*corev1.Pod

	Priority int32
	// Requests is what the pod takes from a node.
	Requests Resources
	// Counted is what scores count it for: a container that asks for no cpu or memory counts for a little all the same,
	// so that such pods do not all end up on one node.
	Counted Resources
	// Scored is what NodeResourcesFit's score counts the pod for while it has no node. kube-scheduler leaves out what is
	// requested for the pod as a whole there, and only there.
	Scored Resources
	// Ports are those that it wants on the node itself.
	Ports []Port

	Affinity, AntiAffinity                   []Term
	PreferredAffinity, PreferredAntiAffinity []WeightedTerm

	group *Group // while on a node of a cluster
}

// Port is a port on the node.
type Port struct {
	IP       string
	Protocol corev1.Protocol
	Number   int32
}

// What a container counts for in scores when it asks for nothing.
var assumedRequests = corev1.ResourceList{
	corev1.ResourceCPU:    resource.MustParse("100m"),
	corev1.ResourceMemory: resource.MustParse("200Mi"),
}

// NewSibling is NewPod for what may be a pod of the same controller as another one, which may be nil: then the work is done.
func NewSibling(object *corev1.Pod, other *Pod) *Pod {
	if other == nil || !sharesSpec(other.Pod, object) {
		return NewPod(object)
	}
	p := *other
	p.Pod, p.Priority, p.group = object, schedulinghelpers.PodPriority(object), nil
	return &p
}

// NewPod works out what plugins ask of a pod.
func NewPod(object *corev1.Pod) *Pod {
	p := &Pod{Pod: object, Priority: schedulinghelpers.PodPriority(object)}
	options := resources.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}
	p.Requests = NewResources(resources.PodRequests(object, options))
	options.NonMissingContainerRequests = assumedFor(object, &p.Requests)
	p.Counted = NewResources(resources.PodRequests(object, options))
	p.Scored = NewResources(resources.PodRequests(object, resources.PodResourcesOptions{
		SkipPodLevelResources: true, NonMissingContainerRequests: assumedRequests,
	}))
	p.Ports = hostPorts(&object.Spec)
	if affinity := object.Spec.Affinity; affinity != nil {
		if a := affinity.PodAffinity; a != nil {
			p.Affinity = terms(object, a.RequiredDuringSchedulingIgnoredDuringExecution)
			p.PreferredAffinity = weighted(object, a.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a := affinity.PodAntiAffinity; a != nil {
			p.AntiAffinity = terms(object, a.RequiredDuringSchedulingIgnoredDuringExecution)
			p.PreferredAntiAffinity = weighted(object, a.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	return p
}

// sharesSpec says that two pods have in memory the same of all that NewPod looks at.
func sharesSpec(a, b *corev1.Pod) bool {
	return a.Namespace == b.Namespace && sameList(a.Spec.Containers, b.Spec.Containers) && sameList(a.Spec.InitContainers, b.Spec.InitContainers) &&
		a.Spec.Resources == b.Spec.Resources && a.Spec.Affinity == b.Spec.Affinity && len(a.Spec.Overhead)+len(b.Spec.Overhead) == 0 &&
		len(a.Status.ContainerStatuses)+len(b.Status.ContainerStatuses) == 0 // what it has been given counts, too
}

func sameList(a, b []corev1.Container) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// assumedFor is what containers of a pod are taken to ask for at the least. Of a pod that asks for something as a whole,
// only what it does not ask for is assumed.
func assumedFor(pod *corev1.Pod, asked *Resources) corev1.ResourceList {
	if !resources.IsPodLevelRequestsSet(pod) {
		return assumedRequests
	}
	assumed := corev1.ResourceList{}
	for name, quantity := range assumedRequests {
		if asked.Of(name) == 0 {
			assumed[name] = quantity
		}
	}
	return assumed
}

// Key is the pod's namespace and name.
func (p *Pod) Key() string { return p.Namespace + "/" + p.Name }

// Terminating says that the pod is on its way out.
func (p *Pod) Terminating() bool { return p.DeletionTimestamp != nil }

// SameForScheduling says that a newer version of a pod asks for the same, is labelled the same, and is no nearer its end:
// most updates only tell how its containers are doing.
func (p *Pod) SameForScheduling(newer *corev1.Pod) bool {
	return p.Generation == newer.Generation && p.Spec.NodeName == newer.Spec.NodeName &&
		(p.DeletionTimestamp == nil) == (newer.DeletionTimestamp == nil) &&
		sameLabels(p.Labels, newer.Labels) && !resizing(p.Pod) && !resizing(newer)
}

func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}

// resizing says that what a pod takes depends on its status.
func resizing(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress
	})
}

func hostPorts(spec *corev1.PodSpec) []Port {
	var ports []Port
	add := func(list []corev1.ContainerPort) {
		for _, p := range list {
			if p.HostPort <= 0 {
				continue
			}
			port := Port{IP: p.HostIP, Protocol: p.Protocol, Number: p.HostPort}
			if port.IP == "" {
				port.IP = "0.0.0.0"
			}
			if port.Protocol == "" {
				port.Protocol = corev1.ProtocolTCP
			}
			ports = append(ports, port)
		}
	}
	for i := range spec.InitContainers { // those that keep running beside the others
		if policy := spec.InitContainers[i].RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
			add(spec.InitContainers[i].Ports)
		}
	}
	for i := range spec.Containers {
		add(spec.Containers[i].Ports)
	}
	return ports
}

// groupKey is the same for pods that selectors cannot tell apart.
func (p *Pod) groupKey() string {
	keys := make([]string, 0, len(p.Labels))
	size := len(p.Namespace) + 2
	for key, value := range p.Labels {
		keys = append(keys, key)
		size += len(key) + len(value) + 2
	}
	slices.Sort(keys)
	var b strings.Builder
	b.Grow(size)
	b.WriteString(p.Namespace)
	if p.Terminating() {
		b.WriteString("\x01")
	}
	for _, key := range keys {
		b.WriteString("\x00")
		b.WriteString(key)
		b.WriteString("=")
		b.WriteString(p.Labels[key])
	}
	return b.String()
}
