package horizontalpodautoscaler

import (
	"math"
	"slices"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// downscaleStabilization is --horizontal-pod-autoscaler-downscale-stabilization.
const downscaleStabilization = 5 * time.Minute

// keep is the longest time that a rule can look back.
const keep = time.Hour

// history remembers, for each autoscaler, what was recommended and what was done. Kubernetes forgets it too when the
// controller restarts.
type history struct {
	mu    sync.Mutex
	byKey map[string]*past
}

type past struct {
	recommended []moment // numbers of replicas
	changes     []moment // differences, below zero for down
}

type moment struct {
	at    time.Time
	value int32
}

func (h *history) of(key string) *past {
	if h.byKey == nil {
		h.byKey = map[string]*past{}
	}
	p, ok := h.byKey[key]
	if !ok {
		p = &past{}
		h.byKey[key] = p
	}
	return p
}

// begin takes the size that an autoscaler finds for its first recommendation.
func (h *history) begin(key string, replicas int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.of(key); len(p.recommended) == 0 {
		p.recommended = append(p.recommended, moment{time.Now(), replicas})
	}
}

func (h *history) recommend(key string, replicas int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(key)
	p.recommended = append(recent(p.recommended, keep), moment{time.Now(), replicas})
}

func (h *history) scaled(key string, difference int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(key)
	p.changes = append(recent(p.changes, keep), moment{time.Now(), difference})
}

func (h *history) forget(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byKey, key)
}

func recent(moments []moment, window time.Duration) []moment {
	return slices.DeleteFunc(slices.Clone(moments), func(m moment) bool { return time.Since(m.at) >= window })
}

// extremes returns the lowest recommendation within one window and the highest within another.
func (h *history) extremes(key string, proposal int32, up, down time.Duration) (lowest, highest int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lowest, highest = proposal, proposal
	for _, m := range recent(h.of(key).recommended, up) {
		lowest = min(lowest, m.value)
	}
	for _, m := range recent(h.of(key).recommended, down) {
		highest = max(highest, m.value)
	}
	return lowest, highest
}

// changed sums what was added and removed within a window.
func (h *history) changed(key string, window time.Duration) (added, removed int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range recent(h.of(key).changes, window) {
		if m.value > 0 {
			added += m.value
		} else {
			removed -= m.value
		}
	}
	return added, removed
}

// limit turns a proposal into the number of replicas that may be set now.
func (r *run) limit(proposal int32) int32 {
	return r.bound(r.stabilize(proposal))
}

// stabilize looks back over the stabilisation windows: upwards it takes the lowest recommendation, downwards the highest.
func (r *run) stabilize(proposal int32) int32 {
	up, down := time.Duration(0), downscaleStabilization
	if b := r.hpa.Spec.Behavior; b != nil {
		if b.ScaleUp != nil {
			up = time.Duration(ptr.Deref(b.ScaleUp.StabilizationWindowSeconds, 0)) * time.Second
		}
		if b.ScaleDown != nil && b.ScaleDown.StabilizationWindowSeconds != nil {
			down = time.Duration(*b.ScaleDown.StabilizationWindowSeconds) * time.Second
		}
	}
	lowest, highest := r.history.extremes(r.key, proposal, up, down)
	r.history.recommend(r.key, proposal)
	stabilized := r.target.replicas
	if r.hpa.Spec.Behavior == nil {
		stabilized = highest // without rules it is the highest, wherever the target is
	}
	if stabilized < lowest {
		stabilized = lowest
	}
	if stabilized > highest {
		stabilized = highest
	}
	switch {
	case stabilized == proposal:
		r.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ReadyForNewScale", "recommended size matches current size")
	case proposal > stabilized:
		r.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
	default:
		r.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	}
	return stabilized
}

// bound keeps a number within minReplicas and maxReplicas, and within what the policies allow in one period.
func (r *run) bound(desired int32) int32 {
	current, least, most := r.target.replicas, ptr.Deref(r.hpa.Spec.MinReplicas, 1), r.hpa.Spec.MaxReplicas
	fastest := most
	slowest := least
	switch {
	case desired > current:
		fastest = min(most, max(r.upTo(), current))
	case desired < current:
		slowest = max(least, min(r.downTo(), current))
	}
	limited := func(reason, message string) {
		r.condition(autoscalingv2.ScalingLimited, corev1.ConditionTrue, reason, "%s", message)
	}
	switch {
	case desired > fastest && fastest == most:
		limited("TooManyReplicas", "the desired replica count is more than the maximum replica count")
		return most
	case desired > fastest:
		limited("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
		return fastest
	case desired < slowest && slowest == least:
		limited("TooFewReplicas", "the desired replica count is less than the minimum replica count")
		return least
	case desired < slowest:
		limited("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
		return slowest
	}
	r.condition(autoscalingv2.ScalingLimited, corev1.ConditionFalse, "DesiredWithinRange", "the desired count is within the acceptable range")
	return desired
}

// upTo is how many replicas the policies allow. Without rules it is twice as many, or 4.
func (r *run) upTo() int32 {
	current := r.target.replicas
	if r.hpa.Spec.Behavior == nil || r.hpa.Spec.Behavior.ScaleUp == nil {
		return max(2*current, 4)
	}
	rules := r.hpa.Spec.Behavior.ScaleUp
	return apply(rules, current, func(policy autoscalingv2.HPAScalingPolicy) int32 {
		added, removed := r.history.changed(r.key, time.Duration(policy.PeriodSeconds)*time.Second)
		start := current - added + removed
		if policy.Type == autoscalingv2.PodsScalingPolicy {
			return start + policy.Value
		}
		return int32(math.Ceil(float64(start) * (1 + float64(policy.Value)/100)))
	}, larger, smaller)
}

// downTo is how few replicas the policies allow.
func (r *run) downTo() int32 {
	current := r.target.replicas
	if r.hpa.Spec.Behavior == nil || r.hpa.Spec.Behavior.ScaleDown == nil {
		return 0
	}
	rules := r.hpa.Spec.Behavior.ScaleDown
	return apply(rules, current, func(policy autoscalingv2.HPAScalingPolicy) int32 {
		added, removed := r.history.changed(r.key, time.Duration(policy.PeriodSeconds)*time.Second)
		start := current + removed - added
		if policy.Type == autoscalingv2.PodsScalingPolicy {
			return start - policy.Value
		}
		return int32(float64(start) * (1 - float64(policy.Value)/100))
	}, smaller, larger)
}

// apply combines policies: by default the one that allows the largest change counts.
func apply(rules *autoscalingv2.HPAScalingRules, current int32, allows func(autoscalingv2.HPAScalingPolicy) int32, most, least func(a, b int32) int32) int32 {
	choose := ptr.Deref(rules.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if choose == autoscalingv2.DisabledPolicySelect || len(rules.Policies) == 0 {
		return current
	}
	combine := most
	if choose == autoscalingv2.MinChangePolicySelect {
		combine = least
	}
	result := allows(rules.Policies[0])
	for _, policy := range rules.Policies[1:] {
		result = combine(result, allows(policy))
	}
	return result
}

func larger(a, b int32) int32 { return max(a, b) }

func smaller(a, b int32) int32 { return min(a, b) }
