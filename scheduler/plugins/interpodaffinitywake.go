package plugins

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"kubette/scheduler/framework"
)

// Helps implements framework.Waker: a pod that it needs came, one that it does not get on with went, it was relabelled, or
// nodes changed places.
//
// kube-scheduler overlooks three things that can help, and leaves the pod until it has waited for five minutes: a node that is
// added or moves, for a pod that others stay away from; a pod that a term picks by its namespace's labels; and a namespace
// that is relabelled. Here they wake it.
func (InterPodAffinity) Helps(event *framework.Event, pod *framework.Pod) bool {
	switch event.Kind {
	case framework.PodAssigned:
		return matchesAllOf(pod.Affinity, event.Pod, event.Cluster)
	case framework.PodGone:
		return matchesAny(pod.AntiAffinity, event.Pod, event.Cluster) || matchesAny(event.Pod.AntiAffinity, pod, event.Cluster)
	case framework.PodUpdated:
		return event.Relabelled() &&
			(!matchesAllOf(pod.Affinity, event.OldPod, event.Cluster) && matchesAllOf(pod.Affinity, event.Pod, event.Cluster) ||
				matchesAny(pod.AntiAffinity, event.OldPod, event.Cluster) && !matchesAny(pod.AntiAffinity, event.Pod, event.Cluster))
	case framework.OwnUpdate:
		return event.Relabelled()
	case framework.NodeAdded, framework.NodeUpdated:
		return movedCloser(pod.Affinity, event) || movedAway(pod.AntiAffinity, event) || movedAway(othersTerms(pod, event.Cluster), event)
	case framework.NamespaceLabelled:
		return renamed(pod.Affinity, event.OldLabels, event.Labels) || renamed(pod.AntiAffinity, event.Labels, event.OldLabels) ||
			event.Namespace == pod.Namespace && renamed(othersAntiAffinity(event.Cluster), event.Labels, event.OldLabels)
	}
	return false
}

// movedCloser says that a node came to a place in which the pods of a term may be.
func movedCloser(terms []framework.Term, event *framework.Event) bool {
	return slices.ContainsFunc(terms, func(term framework.Term) bool {
		now, ok := event.Node.Labels[term.TopologyKey]
		return ok && (event.OldNode == nil || event.OldNode.Labels[term.TopologyKey] != now)
	})
}

// movedAway says that a node is new, or left the place in which the pods of a term may be.
func movedAway(terms []framework.Term, event *framework.Event) bool {
	return slices.ContainsFunc(terms, func(term framework.Term) bool {
		if event.OldNode == nil {
			return true
		}
		before, ok := event.OldNode.Labels[term.TopologyKey]
		now, still := event.Node.Labels[term.TopologyKey]
		return ok && (!still || now != before)
	})
}

// renamed says that a namespace's labels are such that some term matches with them and does not with others.
func renamed(terms []framework.Term, not, with labels.Set) bool {
	return slices.ContainsFunc(terms, func(term framework.Term) bool {
		return !term.NamespaceSelector.Matches(not) && term.NamespaceSelector.Matches(with)
	})
}

// othersAntiAffinity is the terms of pods that stay away from others.
func othersAntiAffinity(cluster *framework.Cluster) []framework.Term {
	var terms []framework.Term
	cluster.Terms(func(group *framework.TermGroup) {
		if group.Kind == framework.RequiredAntiAffinity {
			terms = append(terms, group.Term)
		}
	})
	return terms
}

// othersTerms is the terms of pods that stay away from this one.
func othersTerms(pod *framework.Pod, cluster *framework.Cluster) []framework.Term {
	return slices.DeleteFunc(othersAntiAffinity(cluster), func(term framework.Term) bool {
		return !matchesAny([]framework.Term{term}, pod, cluster)
	})
}

// matchesAllOf says that a pod is one that all terms are about, and that there are any.
func matchesAllOf(terms []framework.Term, pod *framework.Pod, cluster *framework.Cluster) bool {
	return matchesAll(terms, pod.Namespace, labels.Set(pod.Labels), cluster.NamespaceLabels(pod.Namespace))
}

func matchesAny(terms []framework.Term, pod *framework.Pod, cluster *framework.Cluster) bool {
	for i := range terms {
		if terms[i].Matches(pod.Namespace, labels.Set(pod.Labels), cluster.NamespaceLabels(pod.Namespace)) {
			return true
		}
	}
	return false
}
