package scheduler

import (
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
)

// siblings tells which pods belong together with a pod: those that its services send traffic to and those that its
// controller counts. They are spread when nobody says how.
type siblings struct {
	services client.Informer[*corev1.Service]
	rcs      client.Informer[*corev1.ReplicationController]
	sets     client.Informer[*appsv1.ReplicaSet]
	stateful client.Informer[*appsv1.StatefulSet]

	mu        sync.Mutex
	selecting map[string]map[string]labels.Set // by namespace and service: what it selects
	parsed    map[string]labels.Selector       // by the controller's kind, namespace, name and version
}

func newSiblings(informers *client.Informers) *siblings {
	s := &siblings{
		services:  client.InformerFor[*corev1.Service](informers),
		rcs:       client.InformerFor[*corev1.ReplicationController](informers),
		sets:      client.InformerFor[*appsv1.ReplicaSet](informers),
		stateful:  client.InformerFor[*appsv1.StatefulSet](informers),
		selecting: map[string]map[string]labels.Set{},
		parsed:    map[string]labels.Selector{},
	}
	s.services.Handle(client.Handler[*corev1.Service]{
		Add:    s.see,
		Update: func(_, service *corev1.Service) { s.see(service) },
		Delete: s.lose,
	})
	return s
}

func (s *siblings) see(service *corev1.Service) {
	if len(service.Spec.Selector) == 0 {
		s.lose(service)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.selecting[service.Namespace] == nil {
		s.selecting[service.Namespace] = map[string]labels.Set{}
	}
	s.selecting[service.Namespace][service.Name] = service.Spec.Selector
}

func (s *siblings) lose(service *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.selecting[service.Namespace], service.Name)
	if len(s.selecting[service.Namespace]) == 0 {
		delete(s.selecting, service.Namespace)
	}
}

// of returns a selector for the pods that belong together with a pod; an empty one if nothing says which do.
func (s *siblings) of(pod *corev1.Pod) labels.Selector {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set labels.Set
	for _, selected := range s.selecting[pod.Namespace] {
		if selected.AsSelector().Matches(labels.Set(pod.Labels)) {
			set = labels.Merge(set, selected)
		}
	}
	selector := set.AsSelector()
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return selector
	}
	switch {
	case owner.APIVersion == "v1" && owner.Kind == "ReplicationController":
		if rc, ok := s.rcs.Get(pod.Namespace, owner.Name); ok {
			return labels.Merge(set, rc.Spec.Selector).AsSelector()
		}
	case owner.APIVersion == "apps/v1" && owner.Kind == "ReplicaSet":
		if rs, ok := s.sets.Get(pod.Namespace, owner.Name); ok {
			return s.both(selector, string(rs.UID), rs.Spec.Selector)
		}
	case owner.APIVersion == "apps/v1" && owner.Kind == "StatefulSet":
		if set, ok := s.stateful.Get(pod.Namespace, owner.Name); ok {
			return s.both(selector, string(set.UID), set.Spec.Selector)
		}
	}
	return selector
}

// both returns a selector that asks for what another does and a controller's, whose selector never changes.
func (s *siblings) both(selector labels.Selector, uid string, from *metav1.LabelSelector) labels.Selector {
	parsed, ok := s.parsed[uid]
	if !ok {
		var err error
		if parsed, err = metav1.LabelSelectorAsSelector(from); err != nil {
			return selector
		}
		if len(s.parsed) >= 1000 {
			clear(s.parsed)
		}
		s.parsed[uid] = parsed
	}
	requirements, selectable := parsed.Requirements()
	if !selectable {
		return selector
	}
	return selector.Add(requirements...)
}
