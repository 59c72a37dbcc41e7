package docker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/filters"

	"kubette/kubelet/runtime"
)

// Everything that kubette makes in an engine is labelled, and all that it must know again after a restart is in the
// labels: there is no other state. Removing what has the first label removes a cluster.
const (
	labelCluster     = "kubette"
	labelRole        = "kubette.role"  // sandbox, container, keeper, network, volume, image
	labelOwner       = "kubette.owner" // on the network
	labelNode        = "kubette.node"
	labelNamespace   = "kubette.pod.namespace"
	labelPod         = "kubette.pod.name"
	labelUID         = "kubette.pod.uid"
	labelAttempt     = "kubette.attempt"
	labelAddress     = "kubette.address"
	labelSandbox     = "kubette.sandbox"
	labelContainer   = "kubette.container"
	labelImage       = "kubette.image" // the reference in the pod
	labelTermination = "kubette.termination-log"
	labelShared      = "kubette.share-processes"
	labelHash        = "kubette.hash" // what a built-in image was made of
)

const (
	roleSandbox   = "sandbox"
	roleContainer = "container"
	roleKeeper    = "keeper"
	roleHelper    = "helper"
	roleNetwork   = "network"
	roleVolume    = "volume"
	roleImage     = "image"
)

// scope filters by labels, NAME=value.
func scope(labels ...string) filters.Args {
	args := filters.NewArgs()
	for _, label := range labels {
		args.Add("label", label)
	}
	return args
}

// sandboxLabels describe a pod's sandbox.
func (n *Node) sandboxLabels(config *runtime.SandboxConfig) map[string]string {
	return map[string]string{
		labelCluster: n.engine.config.Name, labelRole: roleSandbox, labelNode: n.config.Name,
		labelNamespace: config.Namespace, labelPod: config.Name, labelUID: config.UID,
		labelAttempt: strconv.FormatUint(uint64(config.Attempt), 10), labelShared: strconv.FormatBool(config.ShareProcesses),
	}
}

// containerLabels describe a container of a pod.
func (n *Node) containerLabels(sandbox string, config *runtime.ContainerConfig) map[string]string {
	return map[string]string{
		labelCluster: n.engine.config.Name, labelRole: roleContainer, labelNode: n.config.Name,
		labelNamespace: config.PodNamespace, labelPod: config.PodName, labelUID: config.PodUID,
		labelContainer: config.Name, labelAttempt: strconv.FormatUint(uint64(config.Attempt), 10),
		labelSandbox: sandbox, labelImage: config.Image, labelTermination: config.TerminationLog,
	}
}

func attemptOf(labels map[string]string) uint32 {
	attempt, _ := strconv.ParseUint(labels[labelAttempt], 10, 32) // 0 if someone else wrote it
	return uint32(attempt)
}

// containerName is what a user sees in docker ps. It is unique in the engine, so that two starts of one container cannot
// both succeed.
func containerName(cluster, namespace, pod, name, uid string, attempt uint32) string {
	uid = strings.ReplaceAll(uid, "-", "")
	return fmt.Sprintf("kubette_%s_%s_%s_%s_%.12s_%d", cluster, namespace, pod, name, uid, attempt)
}

// short is an identifier as people read it.
func short(id string) string { return fmt.Sprintf("%.12s", id) }
