package plugins_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"kubette/scheduler/framework"
	"kubette/scheduler/plugins"
)

// A filter looks at the pod once, and then answers for each node.
func ExampleNodeResourcesFit() {
	cluster := framework.NewCluster()
	cluster.SetNode(node("worker-1", "cpu=1"))
	cluster.SetNode(node("worker-2", "cpu=4"))
	cluster.AddPod(framework.NewPod(pod("busy", "cpu=3")), "worker-2")

	check, _ := plugins.NodeResourcesFit{}.PreFilter(&framework.Cycle{Pod: framework.NewPod(pod("web", "cpu=2")), Cluster: cluster})
	for _, n := range cluster.Nodes() {
		refusal := check.Check(n)
		fmt.Println(n.Name, refusal.Message(), refusal.Code)
	}
	// Output:
	// worker-1 Insufficient cpu UnschedulableAndUnresolvable
	// worker-2 Insufficient cpu Unschedulable
}

// A scorer gives raw scores in units of its own, and then makes them comparable with those of others.
func ExampleTaintToleration() {
	cluster := framework.NewCluster()
	cluster.SetNode(node("worker-1", "", taint("slow-disk", corev1.TaintEffectPreferNoSchedule)))
	cluster.SetNode(node("worker-2", ""))

	score := plugins.TaintToleration{}.PreScore(&framework.Cycle{Pod: framework.NewPod(pod("web", "")), Cluster: cluster}, cluster.Nodes())
	var scores []int64
	for _, n := range cluster.Nodes() {
		scores = append(scores, score.Score(n))
	}
	fmt.Println(scores)
	score.Normalize(scores)
	fmt.Println(scores)
	// Output:
	// [1 0]
	// [0 100]
}
