package daemonset

import (
	"cmp"
	"context"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/controllers"
	"kubette/loop"
)

// budget resolves maxSurge and maxUnavailable against the number of nodes; both round up. When both come to nothing one
// pod may be missing.
func (p *placement) budget() (surge, unavailable int) {
	rolling := p.set.Spec.UpdateStrategy.RollingUpdate
	if p.set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || rolling == nil {
		return 0, 0
	}
	desired := 0
	for _, node := range p.nodes {
		if should, _ := belongs(p.set, node); should {
			desired++
		}
	}
	// Both were validated when they were stored.
	if rolling.MaxSurge != nil {
		surge, _ = intstr.GetScaledValueFromIntOrPercent(rolling.MaxSurge, desired, true)
	}
	if rolling.MaxUnavailable != nil {
		unavailable, _ = intstr.GetScaledValueFromIntOrPercent(rolling.MaxUnavailable, desired, true)
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

func (p *placement) surge() int {
	surge, _ := p.budget()
	return surge
}

// pair returns a node's pod of the current version and its older one. It returns false when there are more, which place
// puts right first.
func (p *placement) pair(node string) (fresh, old *corev1.Pod, ok bool) {
	for _, pod := range p.pods[node] {
		if pod.DeletionTimestamp != nil {
			continue
		}
		where := &old
		if p.isCurrent(pod) {
			where = &fresh
		}
		if *where != nil {
			return nil, nil, false
		}
		*where = pod
	}
	return fresh, old, true
}

func (p *placement) isCurrent(pod *corev1.Pod) bool {
	return p.hash != "" && pod.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == p.hash
}

func (p *placement) available(pod *corev1.Pod) bool {
	available, _ := controllers.IsAvailable(pod, p.set.Spec.MinReadySeconds)
	return available
}

// concerned are the nodes that an update concerns, and whether each should run a pod: those that should, and those whose
// pod only stays because their taint drives nobody away, or because nobody has taken it off a node that is gone.
func (p *placement) concerned() (names []string, should map[string]bool) {
	should = map[string]bool{}
	for _, node := range p.nodes {
		if runs, _ := belongs(p.set, node); runs {
			should[node.Name] = true
		}
	}
	names = slices.Collect(maps.Keys(should))
	for name := range p.pods {
		if !should[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, should
}

// roll takes a step of the rolling update.
func (p *placement) roll(ctx context.Context) error {
	surge, unavailable := p.budget()
	if surge > 0 {
		return p.rollBySurge(ctx, surge)
	}
	missing := 0
	var broken, healthy []*corev1.Pod
	names, _ := p.concerned()
	for _, name := range names {
		fresh, old, ok := p.pair(name)
		switch {
		case !ok, (fresh == nil) == (old == nil):
			missing++ // one will be made, or is being replaced
		case fresh != nil:
			if !p.available(fresh) {
				missing++
			}
		case !p.available(old):
			missing++
			broken = append(broken, old) // replacing it costs nothing
		default:
			healthy = append(healthy, old)
		}
	}
	chosen := append(broken, healthy[:max(min(unavailable-missing, len(healthy)), 0)]...)
	if len(chosen) > 0 {
		loop.Say(ctx, "Replace", "pods", len(chosen), "unavailable", missing, "atMost", unavailable)
	}
	return p.act(ctx, nil, chosen)
}

// rollBySurge makes new pods beside old ones; place takes the old ones away when the new ones are available. A node that
// should run none any more gets no new pod. Its old one goes when so many others are available that it is not missed.
func (p *placement) rollBySurge(ctx context.Context, surge int) error {
	surging, available := 0, 0
	var broken, healthy []string
	var lost, spare []*corev1.Pod
	names, should := p.concerned()
	for _, name := range names {
		fresh, old, ok := p.pair(name)
		if counts := cmp.Or(old, fresh); counts != nil && p.available(counts) {
			available++
		}
		switch {
		case !ok:
			surging++ // place puts it right
		case old == nil:
		case fresh != nil:
			surging++
		case !should[name] && p.available(old):
			spare = append(spare, old)
		case !should[name]:
			lost = append(lost, old)
		case !p.available(old):
			broken = append(broken, name) // its place is empty anyway
		default:
			healthy = append(healthy, name)
		}
	}
	surplus := append(lost, spare[:max(min(available-len(should), len(spare)), 0)]...)
	chosen := append(broken, healthy[:max(min(surge-surging, len(healthy)), 0)]...)
	if len(chosen)+len(surplus) > 0 {
		loop.Say(ctx, "Surge", "nodes", len(chosen), "surging", surging, "atMost", surge)
	}
	return p.act(ctx, chosen, surplus)
}
