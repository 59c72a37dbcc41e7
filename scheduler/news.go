package scheduler

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/scheduler/framework"
)

// watch has the informers leave notes about everything that placing pods depends on.
func (s *Scheduler) watch(informers *client.Informers) {
	s.pods = client.InformerFor[*corev1.Pod](informers)
	s.nodes = client.InformerFor[*corev1.Node](informers)
	s.budgets = client.InformerFor[*policyv1.PodDisruptionBudget](informers)
	s.pods.Handle(client.Handler[*corev1.Pod]{
		Add:    func(pod *corev1.Pod) { s.inbox.post(func() { s.seePod(pod) }) },
		Update: func(_, pod *corev1.Pod) { s.inbox.post(func() { s.seePod(pod) }) },
		Delete: func(pod *corev1.Pod) { s.inbox.post(func() { s.losePod(pod) }) },
	})
	s.nodes.Handle(client.Handler[*corev1.Node]{
		Add:    func(node *corev1.Node) { s.inbox.post(func() { s.seeNode(node) }) },
		Update: func(_, node *corev1.Node) { s.inbox.post(func() { s.seeNode(node) }) },
		Delete: func(node *corev1.Node) { s.inbox.post(func() { s.loseNode(node) }) },
	})
	s.namespaces = client.InformerFor[*corev1.Namespace](informers)
	s.namespaces.Handle(client.Handler[*corev1.Namespace]{
		Add:    func(n *corev1.Namespace) { s.inbox.post(func() { s.seeNamespace(n) }) },
		Update: func(_, n *corev1.Namespace) { s.inbox.post(func() { s.seeNamespace(n) }) },
		Delete: func(n *corev1.Namespace) { s.inbox.post(func() { s.cluster.SetNamespace(n.Name, nil) }) },
	})
	tell := func(event *framework.Event) { s.inbox.post(func() { s.wake(event) }) }
	client.InformerFor[*corev1.PersistentVolumeClaim](informers).Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Add: func(c *corev1.PersistentVolumeClaim) { tell(&framework.Event{Kind: framework.ClaimAdded, Claim: c}) },
		Update: func(_, c *corev1.PersistentVolumeClaim) {
			tell(&framework.Event{Kind: framework.ClaimUpdated, Claim: c})
		},
	})
	client.InformerFor[*corev1.PersistentVolume](informers).Handle(client.Handler[*corev1.PersistentVolume]{
		Add: func(v *corev1.PersistentVolume) { tell(&framework.Event{Kind: framework.VolumeAdded, Volume: v}) },
		Update: func(old, v *corev1.PersistentVolume) {
			tell(&framework.Event{Kind: framework.VolumeUpdated, OldVolume: old, Volume: v})
		},
	})
	client.InformerFor[*storagev1.StorageClass](informers).Handle(client.Handler[*storagev1.StorageClass]{
		Add: func(c *storagev1.StorageClass) { tell(&framework.Event{Kind: framework.StorageClassAdded, Class: c}) },
		Update: func(old, c *storagev1.StorageClass) {
			tell(&framework.Event{Kind: framework.StorageClassUpdated, OldClass: old, Class: c})
		},
	})
}

// recall takes in what is there when the scheduler starts, all at once, so that the first pod is not placed on the first
// node only because the others have not been heard of yet. The informers' notes about the same come later and change nothing.
func (s *Scheduler) recall() {
	for _, namespace := range s.namespaces.List("", nil) {
		s.seeNamespace(namespace)
	}
	for _, node := range s.nodes.List("", nil) {
		s.seeNode(node)
	}
	for _, pod := range s.pods.List("", nil) {
		s.seePod(pod)
	}
}

func (s *Scheduler) wake(event *framework.Event) {
	event.Cluster = s.cluster
	s.queue.wake(event)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// seePod takes in a pod that is new or was changed.
func (s *Scheduler) seePod(pod *corev1.Pod) {
	switch {
	case finished(pod):
		s.losePod(pod) // it takes up nothing any more
	case pod.Spec.NodeName != "":
		s.seePlaced(pod)
	case pod.Spec.SchedulerName != s.name:
	case s.placed[pod.UID] != nil:
		// Its binding is under way: what the API says is older. But if it is on its way out it will not be bound.
		if p := s.placed[pod.UID]; pod.DeletionTimestamp != nil && p.assumed != nil {
			s.unplace(pod.UID, p)
		}
	default:
		s.seeWaiting(pod)
	}
}

// seeWaiting takes in a pod that has no node. One that is on its way out, because of a finalizer, stays: kube-scheduler says
// so when it is its turn, and then forgets it.
func (s *Scheduler) seeWaiting(object *corev1.Pod) {
	q, known := s.queue.all[object.UID]
	if !known {
		pod := framework.NewSibling(object, s.sibling)
		s.sibling = pod
		s.queue.add(pod, "pod added")
		s.nominate(pod, object.Status.NominatedNodeName)
		return
	}
	old := q.pod
	before := old.Status.NominatedNodeName
	if old.SameForScheduling(object) {
		q.pod.Pod = object // only its status was changed
	} else {
		s.queue.change(q, framework.NewPod(object))
	}
	if now := object.Status.NominatedNodeName; now != before {
		s.nominate(q.pod, now)
		if before != "" {
			s.nominationGone(old)
		}
	}
}

// nominationGone wakes the pods for which no room was left because it was kept for another.
func (s *Scheduler) nominationGone(pod *framework.Pod) {
	event := &framework.Event{Kind: framework.PodGone, Pod: pod, Cluster: s.cluster}
	s.queue.wakeUpTo(pod.Priority, event)
}

// seePlaced takes in a pod that has a node.
func (s *Scheduler) seePlaced(object *corev1.Pod) {
	p, known := s.placed[object.UID]
	if known && p.pod.SameForScheduling(object) {
		p.pod.Pod = object
		if p.assumed != nil { // the binding has arrived
			p.assumed = nil
			s.wake(&framework.Event{Kind: framework.PodAssigned, Pod: p.pod})
		}
		return
	}
	pod := framework.NewPod(object)
	event := &framework.Event{Kind: framework.PodAssigned, Pod: pod}
	if known {
		if p.assumed == nil {
			event.Kind, event.OldPod = framework.PodUpdated, p.pod
		}
		s.cluster.RemovePod(object.UID, p.node)
		p.pod, p.node, p.assumed = pod, object.Spec.NodeName, nil
	} else {
		s.placed[object.UID] = &placement{pod: pod, node: object.Spec.NodeName}
		s.queue.remove(object.UID)
		s.nominate(pod, "")
	}
	s.cluster.AddPod(pod, object.Spec.NodeName)
	s.wake(event)
}

// losePod takes in that a pod is gone or has finished.
func (s *Scheduler) losePod(pod *corev1.Pod) {
	s.queue.remove(pod.UID)
	expected, nominated := s.nominated[pod.UID]
	s.nominate(&framework.Pod{Pod: pod}, "")
	if p, known := s.placed[pod.UID]; known {
		s.unplace(pod.UID, p)
	} else if nominated {
		s.nominationGone(expected.pod)
	}
}

func (s *Scheduler) unplace(uid types.UID, p *placement) {
	if p.cancel != nil {
		p.cancel()
	}
	s.cluster.RemovePod(uid, p.node)
	delete(s.placed, uid)
	s.wake(&framework.Event{Kind: framework.PodGone, Pod: p.pod})
}

// seeNode takes in a node that is new or was changed.
func (s *Scheduler) seeNode(node *corev1.Node) {
	known, ok := s.cluster.Node(node.Name)
	if !ok {
		s.cluster.SetNode(node)
		s.wake(&framework.Event{Kind: framework.NodeAdded, Node: node})
		return
	}
	old := known.Node
	if old.ResourceVersion == node.ResourceVersion && old.UID == node.UID {
		return
	}
	s.cluster.SetNode(node)
	if !sameForScheduling(old, node) {
		s.wake(&framework.Event{Kind: framework.NodeUpdated, OldNode: old, Node: node})
	}
}

// sameForScheduling says that nothing was changed that keeps pods off a node: most updates are heartbeats.
func sameForScheduling(a, b *corev1.Node) bool {
	return a.Spec.Unschedulable == b.Spec.Unschedulable && maps.Equal(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.Spec.Taints, b.Spec.Taints) &&
		equality.Semantic.DeepEqual(a.Status.Allocatable, b.Status.Allocatable)
}

func (s *Scheduler) loseNode(node *corev1.Node) {
	if _, ok := s.cluster.Node(node.Name); !ok {
		return
	}
	s.cluster.RemoveNode(node.Name)
	s.wake(&framework.Event{Kind: framework.NodeDeleted, Node: node})
}

func (s *Scheduler) seeNamespace(namespace *corev1.Namespace) {
	old, now := s.cluster.NamespaceLabels(namespace.Name), labels.Set(namespace.Labels)
	if maps.Equal(old, now) {
		return
	}
	if now == nil {
		now = labels.Set{}
	}
	s.cluster.SetNamespace(namespace.Name, now)
	s.wake(&framework.Event{Kind: framework.NamespaceLabelled, Namespace: namespace.Name, OldLabels: old, Labels: now})
}
