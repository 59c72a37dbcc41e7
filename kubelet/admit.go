package kubelet

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kubette/loop"
)

// refusal is why a pod is not run on this node at all; it becomes Failed with this reason.
type refusal struct{ reason, message string }

// admit checks once, before anything is done for a pod, whether this node takes it. What runs already stays.
func (s *session) admit(w *worker, pod *corev1.Pod) *refusal {
	w.mu.Lock()
	admitted, running := w.admitted, w.sandbox != nil
	w.mu.Unlock()
	if admitted {
		return nil
	}
	if !running {
		for _, check := range []func(*corev1.Pod) *refusal{s.allowed, s.rightNode, s.refusedUnderPressure} {
			if refused := check(pod); refused != nil {
				return refused
			}
		}
	}
	if running {
		s.holds(w, pod)
	} else if refused := s.fits(w, pod); refused != nil {
		return refused
	}
	w.mu.Lock()
	w.admitted = true
	w.mu.Unlock()
	return nil
}

// reject marks a pod as failed, as the kubelet does with one that its node does not admit. Nothing is said of its
// containers, so that the reason is what `kubectl get pods` shows.
func (s *session) reject(ctx context.Context, w *worker, pod *corev1.Pod, why *refusal) error {
	s.event(pod, "", corev1.EventTypeWarning, why.reason, "%s", why.message)
	old := &pod.Status
	status := &corev1.PodStatus{
		ObservedGeneration: pod.Generation, QOSClass: old.QOSClass, StartTime: old.StartTime,
		NominatedNodeName: old.NominatedNodeName, ResourceClaimStatuses: old.ResourceClaimStatuses,
		Phase: corev1.PodFailed, Reason: why.reason, Message: "Pod was rejected: " + why.message,
		Conditions: keepForeign(old.Conditions, scheduled(old.Conditions)),
	}
	if status.StartTime == nil {
		now := stamp(time.Now())
		status.StartTime = &now
	}
	loop.Say(ctx, "Reject", "reason", why.reason)
	_, err := s.report(ctx, w, pod, status)
	return err
}

// allowed refuses what reaches for the machine itself, unless the cluster was started with leave to.
func (s *session) allowed(pod *corev1.Pod) *refusal {
	refuse := func(flag, format string, args ...any) *refusal {
		return &refusal{"Forbidden", fmt.Sprintf(format, args...) +
			"; this cluster does not allow it, because its containers run on your own machine (`kubette up " + flag + "` does)"}
	}
	spec := &pod.Spec
	switch {
	case s.config.AllowHostNetwork:
	case spec.HostNetwork:
		return refuse("--allow-host-network", "the pod asks for the host's network (hostNetwork)")
	case spec.HostPID:
		return refuse("--allow-host-network", "the pod asks for the host's processes (hostPID)")
	case spec.HostIPC:
		return refuse("--allow-host-network", "the pod asks for the host's inter-process communication (hostIPC)")
	}
	if !s.config.AllowHostPath {
		for i := range spec.Volumes {
			if spec.Volumes[i].HostPath != nil {
				return refuse("--allow-host-path", "volume %q asks for a directory of the host (hostPath %s)", spec.Volumes[i].Name, spec.Volumes[i].HostPath.Path)
			}
		}
	}
	if !s.config.AllowPrivileged {
		for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				if security := list[i].SecurityContext; security != nil && security.Privileged != nil && *security.Privileged {
					return refuse("--allow-privileged", "container %q asks to be privileged", list[i].Name)
				}
			}
		}
	}
	return nil
}

// rightNode checks the node selector and the required node affinity, for a pod that was bound by hand.
func (s *session) rightNode(pod *corev1.Pod) *refusal {
	node := s.node.current()
	if node == nil {
		return nil
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err == nil && !ok {
		return &refusal{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
	}
	return nil
}

// fits checks that the node has room, in Kubernetes' words, and takes it for the pod.
func (s *session) fits(w *worker, pod *corev1.Pod) *refusal {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.shortFor(w, requests); refused != nil {
		return refused
	}
	w.requests = requests
	return nil
}

// holds takes the room of a pod that was running before this kubelet: what it was given, even if its spec asks for more now.
func (s *session) holds(w *worker, pod *corev1.Pod) {
	requests := resourcehelper.PodRequests(withAllocated(pod), resourcehelper.PodResourcesOptions{})
	s.mu.Lock()
	defer s.mu.Unlock()
	w.requests = requests
}

// shortFor says what the node lacks for a pod with these requests, beside what the other pods hold. The lock is held.
func (s *session) shortFor(w *worker, requests corev1.ResourceList) *refusal {
	allocatable := s.node.capacity()
	count := int64(0)
	used := corev1.ResourceList{}
	for _, other := range s.workers {
		if other == w || !other.taken() {
			continue
		}
		count++
		for name := range requests {
			sum := used[name]
			sum.Add(other.requests[name])
			used[name] = sum
		}
	}
	if pods := allocatable[corev1.ResourcePods]; count+1 > pods.Value() {
		return shortOf("pods", 1, count, pods.Value())
	}
	for name, wanted := range requests {
		have, known := allocatable[name]
		if !known || wanted.IsZero() {
			continue
		}
		already := used[name]
		total := already.DeepCopy()
		total.Add(wanted)
		if total.Cmp(have) > 0 {
			return shortOf(string(name), amount(name, wanted), amount(name, already), amount(name, have))
		}
	}
	return nil
}

// taken says whether a pod holds a part of its node.
func (w *worker) taken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return (w.admitted || w.sandbox != nil) && (w.latest == nil || !podFinished(w.latest))
}

// amount is a quantity in the unit of the kubelet's messages: thousandths of a cpu, else whole units.
func amount(name corev1.ResourceName, quantity resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}

func shortOf(name string, wanted, used, capacity int64) *refusal {
	return &refusal{"OutOf" + name, fmt.Sprintf(
		"Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, wanted, used, capacity)}
}

// within says whether a directory lies under the volume root.
func (s *session) within(dir string) bool {
	root := s.config.VolumeRoot
	if root == "" {
		return false
	}
	clean := path.Clean(strings.ReplaceAll(dir, `\`, "/"))
	root = path.Clean(strings.ReplaceAll(root, `\`, "/"))
	return clean == root || strings.HasPrefix(clean, root+"/")
}
