package cluster

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/auth"
	"kubette/client"
)

// Status describes the running cluster.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	api := c.as(auth.Server())
	nodes, err := client.Of[*corev1.Node](api).List(ctx, "", metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := client.Of[*corev1.Pod](api).List(ctx, "", metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			count[pod.Spec.NodeName]++
		}
	}
	running := c.state.Running
	if running == nil {
		running = &Running{}
	}
	status := &Status{
		Name: c.config.Name, Version: c.config.Version, PID: running.PID, Runtime: c.machines.describe(),
		DataDir: c.config.DataDir, Ephemeral: c.config.Ephemeral, Etcd: c.config.Etcd.Endpoints,
		APIURL: running.APIURL, HTTPURL: running.HTTPURL, HTTPSURL: running.HTTPSURL, PACURL: running.PACURL(), Hosts: c.hosts(), Revision: c.store.Revision(),
	}
	for _, n := range nodes {
		role := "worker"
		if _, ok := n.Labels[controlPlaneRole]; ok {
			role = "control-plane"
		}
		entry := NodeStatus{Name: n.Name, Role: role, Ready: nodeReady(n), Pods: count[n.Name]}
		if k, err := c.nodeNamed(n.Name); err == nil {
			entry.Power = PowerOff
			if k.Powered() {
				entry.Power = PowerOn
			}
		}
		for _, address := range n.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				entry.Address = address.Address
			}
		}
		status.Nodes = append(status.Nodes, entry)
	}
	depths := c.machine.Depths()
	for _, name := range slices.Sorted(maps.Keys(depths)) {
		status.Components = append(status.Components, ComponentStatus{Name: name, Queue: depths[name], Paused: c.machine.Gate(name).Paused()})
	}
	return status, nil
}

// hosts are the hosts that ingresses name.
func (c *Cluster) hosts() []IngressHost {
	hosts := []IngressHost{}
	secure := c.ingress.SecureHosts()
	for _, name := range c.ingress.Hosts() {
		hosts = append(hosts, IngressHost{Name: name, TLS: slices.Contains(secure, name)})
	}
	return hosts
}
