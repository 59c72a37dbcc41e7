package framework

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Term is a pod (anti-)affinity term, parsed.
type Term struct {
	Namespaces        map[string]bool
	NamespaceSelector labels.Selector
	Selector          labels.Selector
	TopologyKey       string
}

// WeightedTerm is a term that is preferred only.
type WeightedTerm struct {
	Term
	Weight int64
}

// TermKind says what a pod wants of the pods that a term matches.
type TermKind string

// The kinds of terms.
const (
	RequiredAffinity      TermKind = "requiredAffinity"
	RequiredAntiAffinity  TermKind = "requiredAntiAffinity"
	PreferredAffinity     TermKind = "preferredAffinity"
	PreferredAntiAffinity TermKind = "preferredAntiAffinity"
)

// TermGroup is the pods of a cluster that have the same term, as the pods of one ReplicaSet do.
type TermGroup struct {
	Kind   TermKind
	Term   Term
	Weight int64
	OnNode map[*Node]int // how many pods, by node
}

func terms(pod *corev1.Pod, from []corev1.PodAffinityTerm) []Term {
	parsed := make([]Term, 0, len(from))
	for i := range from {
		parsed = append(parsed, newTerm(pod, &from[i]))
	}
	return parsed
}

func weighted(pod *corev1.Pod, from []corev1.WeightedPodAffinityTerm) []WeightedTerm {
	parsed := make([]WeightedTerm, 0, len(from))
	for i := range from {
		parsed = append(parsed, WeightedTerm{Term: newTerm(pod, &from[i].PodAffinityTerm), Weight: int64(from[i].Weight)})
	}
	return parsed
}

// newTerm parses a term. The API server has checked it; a selector that cannot be parsed all the same matches nothing.
func newTerm(pod *corev1.Pod, from *corev1.PodAffinityTerm) Term {
	term := Term{Namespaces: map[string]bool{}, TopologyKey: from.TopologyKey}
	var err error
	if term.Selector, err = metav1.LabelSelectorAsSelector(from.LabelSelector); err != nil {
		term.Selector = labels.Nothing()
	}
	if term.NamespaceSelector, err = metav1.LabelSelectorAsSelector(from.NamespaceSelector); err != nil {
		term.NamespaceSelector = labels.Nothing()
	}
	for _, name := range from.Namespaces {
		term.Namespaces[name] = true
	}
	if len(from.Namespaces) == 0 && from.NamespaceSelector == nil {
		term.Namespaces[pod.Namespace] = true
	}
	return term
}

// Matches says whether the term is about pods with such labels in such a namespace.
func (t *Term) Matches(namespace string, podLabels, namespaceLabels labels.Set) bool {
	return (t.Namespaces[namespace] || t.NamespaceSelector.Matches(namespaceLabels)) && t.Selector.Matches(podLabels)
}

// eachTerm calls a function with every term of a pod and the key that equal terms share.
func (p *Pod) eachTerm(each func(kind TermKind, term Term, weight int64, key string)) {
	visit := func(kind TermKind, term Term, weight int64) {
		each(kind, term, weight, fmt.Sprintf("%s %d %q %q %q %s", kind, weight, slices.Sorted(maps.Keys(term.Namespaces)),
			term.NamespaceSelector, term.Selector, term.TopologyKey))
	}
	for _, term := range p.Affinity {
		visit(RequiredAffinity, term, 0)
	}
	for _, term := range p.AntiAffinity {
		visit(RequiredAntiAffinity, term, 0)
	}
	for _, term := range p.PreferredAffinity {
		visit(PreferredAffinity, term.Term, term.Weight)
	}
	for _, term := range p.PreferredAntiAffinity {
		visit(PreferredAntiAffinity, term.Term, term.Weight)
	}
}

func (c *Cluster) addTerms(pod *Pod, node *Node) {
	pod.eachTerm(func(kind TermKind, term Term, weight int64, key string) {
		group, ok := c.terms[key]
		if !ok {
			group = &TermGroup{Kind: kind, Term: term, Weight: weight, OnNode: map[*Node]int{}}
			c.terms[key] = group
		}
		group.OnNode[node]++
	})
}

func (c *Cluster) removeTerms(pod *Pod, node *Node) {
	pod.eachTerm(func(_ TermKind, _ Term, _ int64, key string) {
		group := c.terms[key]
		if group.OnNode[node]--; group.OnNode[node] == 0 {
			delete(group.OnNode, node)
		}
		if len(group.OnNode) == 0 {
			delete(c.terms, key)
		}
	})
}

// Terms calls a function for every group of pods that have a term in common.
func (c *Cluster) Terms(each func(group *TermGroup)) {
	for _, group := range c.terms {
		each(group)
	}
}
