package scheduler

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/loop"
	"kubette/scheduler/framework"
)

// nomination is a pod for which others were evicted from a node: it is expected there.
type nomination struct {
	pod  *framework.Pod
	node string
}

// nominate keeps in mind on which node a pod is expected; "" for none any more.
func (s *Scheduler) nominate(pod *framework.Pod, node string) {
	if old, ok := s.nominated[pod.UID]; ok {
		delete(s.nominated, pod.UID)
		if s.expected[old.node]--; s.expected[old.node] == 0 {
			delete(s.expected, old.node)
		}
	}
	if node != "" {
		s.nominated[pod.UID] = nomination{pod: pod, node: node}
		s.expected[node]++
	}
}

// comingTo returns the pods that are expected on a node and are as important as another, the other not included.
func (s *Scheduler) comingTo(node string, than *framework.Pod) []*framework.Pod {
	if s.expected[node] == 0 {
		return nil
	}
	var coming []*framework.Pod
	for uid, n := range s.nominated {
		if n.node == node && uid != than.UID && n.pod.Priority >= than.Priority {
			coming = append(coming, n.pod)
		}
	}
	return coming
}

// candidate is a node on which a pod would fit if others were evicted.
type candidate struct {
	node       *framework.Node
	victims    []*framework.Pod // most important first
	violations int              // how many of them a disruption budget would rather keep
}

// preempt looks for less important pods to evict, so that a pod fits on some node; in Kubernetes this is the plugin
// DefaultPreemption. If it finds any it evicts them, and returns the node for which the pod is now nominated; "" takes an
// older nomination away, nil leaves it.
func (s *Scheduler) preempt(ctx context.Context, t *trial) (*Preemption, *string) {
	pod := t.cycle.Pod
	if why := s.mayNotPreempt(t); why != "" {
		return &Preemption{Message: why}, nil
	}
	candidates, statuses := s.candidates(t)
	if len(candidates) == 0 {
		all := len(s.cluster.Nodes())
		reasons := map[string]int{}
		for _, status := range statuses {
			for _, reason := range status.Reasons {
				reasons[reason]++
			}
		}
		if others := all - len(statuses); others > 0 {
			reasons["Preemption is not helpful for scheduling"] += others
		}
		return &Preemption{Message: histogram(all, reasons)}, new(string)
	}
	best := pick(candidates)
	result := &Preemption{Node: best.node.Name, BudgetViolations: best.violations}
	for _, victim := range best.victims {
		result.Victims = append(result.Victims, victim.Key())
	}
	loop.Say(ctx, "Preempting", "node", best.node.Name, "victims", result.Victims, "candidates", len(candidates))
	s.evict(ctx, t.queued, pod, best)
	return result, &result.Node
}

// words say in a refusal what came of the search for pods to evict.
func (p *Preemption) words() string {
	if p.Node == "" {
		return "preemption: " + p.Message
	}
	return fmt.Sprintf("preemption: found a potential placement for pod on node %s, preempting %d victims", p.Node, len(p.Victims))
}

// mayNotPreempt says why a pod evicts nobody.
func (s *Scheduler) mayNotPreempt(t *trial) string {
	pod := t.cycle.Pod
	if policy := pod.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	expected := s.nominated[pod.UID].node
	node, ok := s.cluster.Node(expected)
	if !ok {
		return ""
	}
	for _, v := range t.verdicts {
		if v.node == node && v.status != nil && v.status.Code == framework.Unresolvable {
			return "" // it will not get there any more
		}
	}
	for _, other := range node.Pods {
		if other.Priority < pod.Priority && goingForPreemption(other.Pod) {
			return "not eligible due to a terminating pod on the nominated node."
		}
	}
	return ""
}

func goingForPreemption(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
	})
}

// candidates tries, node by node, what would be without less important pods. Of many nodes it looks at some only,
// beginning anywhere. It also returns why other nodes are none.
func (s *Scheduler) candidates(t *trial) ([]candidate, []*framework.Status) {
	var nodes []*framework.Node
	for _, v := range t.verdicts {
		if v.status != nil && v.status.Code == framework.Unschedulable {
			nodes = append(nodes, v.node)
		}
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	budgets := s.budgets.List("", nil)
	enough := min(max(len(nodes)/10, 100), len(nodes))
	offset := s.random.IntN(len(nodes))
	var gentle, rough []candidate
	var statuses []*framework.Status
	for i := 0; i < len(nodes) && (len(gentle) == 0 || len(gentle)+len(rough) < enough); i++ {
		found, status := s.victims(t, nodes[(offset+i)%len(nodes)], budgets)
		switch {
		case status != nil:
			statuses = append(statuses, status)
		case found.violations == 0:
			gentle = append(gentle, found)
		default:
			rough = append(rough, found)
		}
	}
	return append(gentle, rough...), statuses
}

// victims finds the fewest and least important pods without which a pod would fit on a node: take away all that are less
// important, and give back as many as possible, those first that a disruption budget protects, then the most important.
func (s *Scheduler) victims(t *trial, node *framework.Node, budgets []*policyv1.PodDisruptionBudget) (candidate, *framework.Status) {
	pod := t.cycle.Pod
	imagined := &trial{queued: t.queued, cycle: t.cycle, checks: cloneChecks(t.checks)}
	without := node.Clone()
	var lesser []*framework.Pod
	for _, other := range node.Pods {
		if other.Priority < pod.Priority {
			lesser = append(lesser, other)
			imagineGone(other, without, imagined.checks)
		}
	}
	if len(lesser) == 0 {
		return candidate{}, framework.RefuseForGood("No preemption victims found for incoming pod")
	}
	if _, status := s.check(imagined, without); status != nil {
		return candidate{}, status
	}
	slices.SortStableFunc(lesser, byImportance)
	protected, others := splitByBudget(lesser, budgets)
	found := candidate{node: node}
	giveBack := func(other *framework.Pod) bool {
		imagine(other, without, imagined.checks)
		if _, status := s.check(imagined, without); status == nil {
			return true
		}
		imagineGone(other, without, imagined.checks)
		found.victims = append(found.victims, other)
		return false
	}
	for _, other := range protected {
		if !giveBack(other) {
			found.violations++
		}
	}
	for _, other := range others {
		giveBack(other)
	}
	slices.SortStableFunc(found.victims, byImportance)
	return found, nil
}

// byImportance puts the more important pod first; of equals, the one that runs longer.
func byImportance(a, b *framework.Pod) int {
	if a.Priority != b.Priority {
		return int(math.Copysign(1, float64(b.Priority)-float64(a.Priority)))
	}
	return started(a).Compare(started(b))
}

// started is when a pod began to run; one that has not yet, began now.
func started(pod *framework.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return time.Now()
}

// splitByBudget tells the pods whose eviction a disruption budget does not allow from the others, if they were evicted in
// this order.
func splitByBudget(pods []*framework.Pod, budgets []*policyv1.PodDisruptionBudget) (protected, others []*framework.Pod) {
	allowed := make([]int32, len(budgets))
	for i, budget := range budgets {
		allowed[i] = budget.Status.DisruptionsAllowed
	}
	for _, pod := range pods {
		violates := false
		for i, budget := range budgets {
			if budget.Namespace != pod.Namespace || len(pod.Labels) == 0 {
				continue
			}
			selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
			if err != nil || selector.Empty() || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			if _, counted := budget.Status.DisruptedPods[pod.Name]; counted {
				continue
			}
			if allowed[i]--; allowed[i] < 0 {
				violates = true // and takes nothing from the budgets that follow, as in Kubernetes
				break
			}
		}
		if violates {
			protected = append(protected, pod)
		} else {
			others = append(others, pod)
		}
	}
	return protected, others
}

// pick chooses the node where the eviction does the least harm. Each question only decides between those that the earlier
// ones left equal.
func pick(candidates []candidate) candidate {
	questions := []func(c candidate) int64{
		func(c candidate) int64 { return int64(c.violations) },
		func(c candidate) int64 { return int64(c.victims[0].Priority) },
		func(c candidate) (sum int64) { // priorities may be negative; more pods must still count for more
			for _, victim := range c.victims {
				sum += int64(victim.Priority) + math.MaxInt32 + 1
			}
			return sum
		},
		func(c candidate) int64 { return int64(len(c.victims)) },
		func(c candidate) int64 { // the younger, of the oldest of the most important ones
			oldest := started(c.victims[0])
			for _, victim := range c.victims {
				if victim.Priority == c.victims[0].Priority && started(victim).Before(oldest) {
					oldest = started(victim)
				}
			}
			return -oldest.UnixNano()
		},
	}
	for _, question := range questions {
		least := int64(math.MaxInt64)
		var left []candidate
		for _, c := range candidates {
			switch answer := question(c); {
			case answer < least:
				least, left = answer, []candidate{c}
			case answer == least:
				left = append(left, c)
			}
		}
		candidates = left
	}
	return candidates[0]
}
