// Package plugins holds the scheduler's plugins, one a file: what kube-scheduler's default profile consists of. Each has
// Kubernetes' name, asks Kubernetes' question and refuses in Kubernetes' words. Read any of them on its own.
//
// Which nodes can run the pod at all: nodeunschedulable.go, nodename.go, tainttoleration.go, nodeaffinity.go, nodeports.go,
// noderesourcesfit.go, volumebinding.go, podtopologyspread.go, interpodaffinity.go. Which of them is best: most of these,
// and balancedallocation.go, imagelocality.go. Before all: schedulinggates.go.
package plugins
