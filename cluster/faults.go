package cluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubette/apiserver/auth"
	"kubette/client"
	"kubette/loop"
)

// AdminClient is a client of the administrator, in this process.
func (c *Cluster) AdminClient() client.Interface { return c.as(auth.Admin()) }

// Machine is where the cluster's components can be paused, stepped and traced.
func (c *Cluster) Machine() *loop.Machine { return c.machine }

// KillContainer kills a pod's running container behind the kubelet's back, as a crash of its program does.
func (c *Cluster) KillContainer(ctx context.Context, namespace, pod, container string) error {
	object, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, namespace, pod)
	if err != nil {
		return err
	}
	for _, status := range object.Status.ContainerStatuses {
		if status.Name != container || status.State.Running == nil {
			continue
		}
		_, id, _ := strings.Cut(status.ContainerID, "://")
		return c.machines.kill(ctx, object.Spec.NodeName, id)
	}
	return fmt.Errorf("pod %s/%s has no running container %s", namespace, pod, container)
}
