package framework

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Resources is an amount of each resource, in whole numbers: milli for cpu, bytes for memory and storage.
type Resources struct {
	MilliCPU, Memory, EphemeralStorage int64
	Pods                               int64                         // how many pods a node takes; nothing for a pod
	Others                             map[corev1.ResourceName]int64 // huge pages and extended resources; may be nil
}

// NewResources reads a list as the API has it.
func NewResources(list corev1.ResourceList) Resources {
	var r Resources
	for name, quantity := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = quantity.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = quantity.Value()
		case corev1.ResourceEphemeralStorage:
			r.EphemeralStorage = quantity.Value()
		case corev1.ResourcePods:
			r.Pods = quantity.Value()
		default:
			if value := quantity.Value(); value != 0 {
				if r.Others == nil {
					r.Others = map[corev1.ResourceName]int64{}
				}
				r.Others[name] = value
			}
		}
	}
	return r
}

// add adds an amount so many times; -1 takes it away.
func (r *Resources) add(amount *Resources, times int64) {
	r.MilliCPU += times * amount.MilliCPU
	r.Memory += times * amount.Memory
	r.EphemeralStorage += times * amount.EphemeralStorage
	for name, value := range amount.Others {
		if r.Others == nil {
			r.Others = map[corev1.ResourceName]int64{}
		}
		r.Others[name] += times * value
	}
}

func (r Resources) clone() Resources {
	r.Others = maps.Clone(r.Others)
	return r
}

// Of returns the amount of one resource.
func (r *Resources) Of(name corev1.ResourceName) int64 {
	switch name {
	case corev1.ResourceCPU:
		return r.MilliCPU
	case corev1.ResourceMemory:
		return r.Memory
	case corev1.ResourceEphemeralStorage:
		return r.EphemeralStorage
	}
	return r.Others[name]
}
