package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// profile is the plugins at work, in the order in which they are asked.
type profile struct {
	gates   []framework.Gate
	filters []framework.Filter
	scorers []weightedScorer
}

type weightedScorer struct {
	framework.Scorer
	weight int64
}

// defaultProfile is kube-scheduler's, with its weights.
func defaultProfile(siblings func(*corev1.Pod) labels.Selector, volumes *plugins.Volumes, strategy plugins.Strategy) profile {
	taints, affinity := plugins.TaintToleration{}, plugins.NodeAffinity{}
	fit := plugins.NodeResourcesFit{Strategy: strategy}
	binding := plugins.VolumeBinding{Volumes: volumes}
	spread, near := plugins.PodTopologySpread{Siblings: siblings}, plugins.InterPodAffinity{}
	return profile{
		gates: []framework.Gate{plugins.SchedulingGates{}},
		filters: []framework.Filter{
			plugins.NodeName{}, plugins.NodeUnschedulable{}, taints, affinity, plugins.NodePorts{}, fit,
			plugins.VolumeRestrictions{Volumes: volumes}, binding,
			plugins.VolumeZone{Volumes: volumes}, spread, near,
		},
		scorers: []weightedScorer{
			{taints, 3}, {affinity, 2}, {fit, 1}, {binding, 1}, {spread, 2}, {near, 2},
			{plugins.NodeResourcesBalancedAllocation{}, 1}, {plugins.ImageLocality{}, 1},
		},
	}
}

// wakers are the plugins by name, as far as they know what helps a pod that they refused.
func (p profile) wakers() map[string]framework.Waker {
	wakers := map[string]framework.Waker{}
	for _, filter := range p.filters {
		if waker, ok := filter.(framework.Waker); ok {
			wakers[filter.Name()] = waker
		}
	}
	return wakers
}
