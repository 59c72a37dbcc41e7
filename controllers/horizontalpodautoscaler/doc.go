// Package horizontalpodautoscaler sets the number of replicas by what the pods use.
//
// Every 15 s it reads, for each HorizontalPodAutoscaler, the use of the target's pods, and works out how many pods would
// bring the average to the target: replicas × use ÷ target, rounded up. A difference of less than 10 % changes nothing.
// Of several metrics the one that asks for most pods counts. Then the behaviour rules slow the change: a stabilisation
// window takes the highest (downwards, 5 minutes by default) or lowest (upwards) recommendation of a time, and policies
// limit pods or percent per period.
//
// Metrics of type Resource and ContainerResource are known; the others (Pods, Object, External) need a metrics adapter,
// which kubette has not, and are reported as failed in the conditions. Targets are Deployments, ReplicaSets, StatefulSets
// and ReplicationControllers.
//
// Read autoscaler.go (the loop), metrics.go (from use to replicas), goal.go (use against target), behavior.go (how fast),
// target.go, conditions.go.
package horizontalpodautoscaler
