package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// ResourceQuota refuses what would exceed a quota of its namespace.
//
// As in Kubernetes the use is counted in the quota's status: what is let in is added to it, by a write that fails when another
// server was faster, so that two requests at the same moment never both take the last place. What is freed the controller
// takes off a moment later (package resourcequota), by counting anew. A quota that nobody has counted for yet is counted here;
// Kubernetes refuses everything until its controller has.
type ResourceQuota struct {
	validates
	mu       sync.Mutex
	reserved map[types.UID]reservation
}

// reservation is an object that was let through and is not seen in the store yet.
type reservation struct {
	group, plural string
	object        kinds.Object
	until         time.Time
}

const (
	// reservationTime is how long a write may take after it was let through.
	reservationTime = 5 * time.Second
	// quotaTries is how often a quota is tried that others write to as well.
	quotaTries = 4
)

func (*ResourceQuota) Name() string { return "ResourceQuota" }

func (q *ResourceQuota) Validate(ctx context.Context, r *apiserver.AdmissionRequest) error {
	a := r.Attributes
	if a.Resource == "events" { // these are never counted (Kubernetes' DefaultIgnoredResources): they come by the thousand
		return nil
	}
	if a.Namespace == "" || a.Subresource != "" && !resizes(r) || r.Operation != create && r.Operation != update || a.Resource == "namespaces" {
		return nil
	}
	if len(r.Cluster.List("", "resourcequotas", a.Namespace)) == 0 {
		return nil
	}
	object, ok := r.Object.(kinds.Object)
	if !ok {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	charged, err := q.charge(ctx, r, object)
	if charged && r.Operation == create && object.GetUID() != "" {
		q.reserve(ctx, object, a)
	}
	return err
}

// charge adds what a write uses to the quotas that it concerns. It says whether there are any.
func (q *ResourceQuota) charge(ctx context.Context, r *apiserver.AdmissionRequest, object kinds.Object) (charged bool, err error) {
	settled := map[string]bool{}
	for range quotaTries {
		var open []*corev1.ResourceQuota
		for _, listed := range r.Cluster.List("", "resourcequotas", r.Attributes.Namespace) {
			quota, ok := listed.(*corev1.ResourceQuota)
			if !ok || settled[quota.Name] {
				continue
			}
			changed, err := q.check(r, quota, object)
			if err != nil {
				return charged, forbidden(r, err)
			}
			if changed != nil {
				open = append(open, changed)
			}
		}
		if r.DryRun {
			return false, nil
		}
		var failure error
		for _, quota := range open {
			if err := writeStatus(ctx, r.Cluster, quota); err != nil {
				failure = err
				continue
			}
			settled[quota.Name], charged = true, true
		}
		if failure == nil || !apierrors.IsConflict(failure) {
			return charged, failure
		}
		err = failure
	}
	return charged, err
}

func writeStatus(ctx context.Context, cluster kinds.Cluster, quota *corev1.ResourceQuota) error {
	writer, ok := cluster.(kinds.StatusWriter)
	if !ok {
		return nil
	}
	return writer.UpdateStatus(ctx, "", "resourcequotas", quota)
}

// reserve keeps an object in mind until it is stored or its request has ended, for who counts anew meanwhile.
func (q *ResourceQuota) reserve(ctx context.Context, object kinds.Object, a apiserver.Attributes) {
	if q.reserved == nil {
		q.reserved = map[types.UID]reservation{}
	}
	uid := object.GetUID()
	copied, ok := object.DeepCopyObject().(kinds.Object)
	if !ok {
		return
	}
	q.reserved[uid] = reservation{a.Group, a.Resource, copied, time.Now().Add(reservationTime)}
	context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.reserved, uid)
	})
}

// Usage counts what is used of a quota's limits by all objects that there are, and by those that are about to be stored.
func (q *ResourceQuota) Usage(cluster kinds.Cluster, quota *corev1.ResourceQuota) corev1.ResourceList {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count(cluster, quota)
}

func (q *ResourceQuota) count(cluster kinds.Cluster, quota *corev1.ResourceQuota) corev1.ResourceList {
	used := usage(cluster, quota)
	for uid, r := range q.reserved {
		stored, found := cluster.Get(r.group, r.plural, r.object.GetNamespace(), r.object.GetName())
		if found && stored.GetUID() == uid || time.Now().After(r.until) {
			delete(q.reserved, uid)
			continue
		}
		if r.object.GetNamespace() == quota.Namespace && inScopes(quota, r.object) {
			used = add(used, relevant(usageOf(r.group, r.plural, r.object), quota.Spec.Hard))
		}
	}
	return used
}

// check compares what a write adds with what a quota leaves. It returns the quota with the new use in its status, or nil when
// the write uses nothing of it.
func (q *ResourceQuota) check(r *apiserver.AdmissionRequest, quota *corev1.ResourceQuota, object kinds.Object) (*corev1.ResourceQuota, error) {
	a := r.Attributes
	if !inScopes(quota, object) {
		return nil, nil
	}
	hard := quota.Spec.Hard
	if pod, ok := object.(*corev1.Pod); ok && r.Operation == create {
		if missing := unspecified(hard, pod); missing != "" {
			return nil, fmt.Errorf("failed quota: %s: must specify %s", quota.Name, missing)
		}
	}
	added := usageOf(a.Group, a.Resource, object)
	if old, ok := r.Old.(kinds.Object); ok && old != nil && inScopes(quota, old) {
		added = subtract(added, usageOf(a.Group, a.Resource, old))
	}
	added = increases(relevant(added, hard))
	if len(added) == 0 {
		return nil, nil
	}
	used := quota.Status.Used
	if !equality.Semantic.DeepEqual(quota.Status.Hard, hard) { // it is new, or was changed a moment ago
		used = q.count(r.Cluster, quota)
	}
	if exceeded := exceeding(used, added, hard); len(exceeded) > 0 {
		return nil, fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s", quota.Name,
			show(added, exceeded), show(used, exceeded), show(hard, exceeded))
	}
	changed := quota.DeepCopy()
	changed.Status.Hard, changed.Status.Used = hard.DeepCopy(), add(used, added)
	return changed, nil
}

// exceeding lists of which limits more would be used than they allow.
func exceeding(used, added, hard corev1.ResourceList) (exceeded []corev1.ResourceName) {
	for _, name := range sortedNames(added) {
		total, most := used[name].DeepCopy(), hard[name]
		total.Add(added[name])
		if total.Cmp(most) > 0 {
			exceeded = append(exceeded, name)
		}
	}
	return exceeded
}

func show(list corev1.ResourceList, names []corev1.ResourceName) string {
	parts := make([]string, len(names))
	for i, name := range names {
		value := list[name]
		parts[i] = string(name) + "=" + value.String()
	}
	return strings.Join(parts, ",")
}

// unspecified lists what a quota on cpu or memory makes a pod's containers say and they do not.
func unspecified(hard corev1.ResourceList, pod *corev1.Pod) string {
	var lines []string
	for _, name := range sortedNames(hard) {
		limits := strings.HasPrefix(string(name), "limits.")
		resource := corev1.ResourceName(strings.TrimPrefix(strings.TrimPrefix(string(name), "limits."), "requests."))
		if resource != corev1.ResourceCPU && resource != corev1.ResourceMemory {
			continue
		}
		var missing []string
		eachContainer(&pod.Spec, func(c *corev1.Container) {
			list := c.Resources.Requests
			if limits {
				list = c.Resources.Limits
			}
			if _, said := list[resource]; !said {
				missing = append(missing, c.Name)
			}
		})
		if podSays(pod, resource, limits) || len(missing) == 0 {
			continue
		}
		slices.Sort(missing)
		lines = append(lines, fmt.Sprintf("%s for: %s", name, strings.Join(missing, ",")))
	}
	return strings.Join(lines, "; ")
}

func podSays(pod *corev1.Pod, resource corev1.ResourceName, limits bool) bool {
	if pod.Spec.Resources == nil {
		return false
	}
	list := pod.Spec.Resources.Requests
	if limits {
		list = pod.Spec.Resources.Limits
	}
	_, said := list[resource]
	return said
}

// inScopes says whether a quota's scopes take an object in. Scopes are about pods only.
func inScopes(quota *corev1.ResourceQuota, object kinds.Object) bool {
	requirements := scopeRequirements(quota)
	if len(requirements) == 0 {
		return true
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return false
	}
	return !slices.ContainsFunc(requirements, func(s corev1.ScopedResourceSelectorRequirement) bool { return !podInScope(pod, &s) })
}

func scopeRequirements(quota *corev1.ResourceQuota) []corev1.ScopedResourceSelectorRequirement {
	var all []corev1.ScopedResourceSelectorRequirement
	for _, scope := range quota.Spec.Scopes {
		all = append(all, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
	}
	if quota.Spec.ScopeSelector != nil {
		all = append(all, quota.Spec.ScopeSelector.MatchExpressions...)
	}
	return all
}

func podInScope(pod *corev1.Pod, s *corev1.ScopedResourceSelectorRequirement) bool {
	terminating := pod.Spec.ActiveDeadlineSeconds != nil && *pod.Spec.ActiveDeadlineSeconds >= 0
	bestEffort := pod.Status.QOSClass == corev1.PodQOSBestEffort
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return terminating
	case corev1.ResourceQuotaScopeNotTerminating:
		return !terminating
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort
	case corev1.ResourceQuotaScopePriorityClass:
		return matchesValue(pod.Spec.PriorityClassName, s)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return crossesNamespaces(pod.Spec.Affinity)
	}
	return false
}

func matchesValue(value string, s *corev1.ScopedResourceSelectorRequirement) bool {
	switch s.Operator {
	case corev1.ScopeSelectorOpExists:
		return value != ""
	case corev1.ScopeSelectorOpDoesNotExist:
		return value == ""
	case corev1.ScopeSelectorOpIn:
		return slices.Contains(s.Values, value)
	case corev1.ScopeSelectorOpNotIn:
		return !slices.Contains(s.Values, value)
	}
	return false
}

func crossesNamespaces(affinity *corev1.Affinity) bool {
	if affinity == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	collect := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		terms = append(terms, required...)
		for _, w := range preferred {
			terms = append(terms, w.PodAffinityTerm)
		}
	}
	if p := affinity.PodAffinity; p != nil {
		collect(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := affinity.PodAntiAffinity; p != nil {
		collect(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
}

// isGone says that an object is on its way out and no longer counts.
func isGone(object kinds.Object) bool {
	accessor, err := meta.Accessor(object)
	if err != nil || accessor.GetDeletionTimestamp() == nil || accessor.GetDeletionGracePeriodSeconds() == nil {
		return false
	}
	return time.Since(accessor.GetDeletionTimestamp().Time) > 0
}
