package network_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kubette/cluster"
)

const askers = `
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {role: friend}}
spec:
  containers:
  - {name: c, image: busybox, command: [sh, -c, "while true; do wget -q -O- -T 1 http://web:8099/ && echo reached || echo failed; sleep 0.2; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger}
spec:
  containers:
  - {name: c, image: busybox, command: [sh, -c, "while true; do wget -q -O- -T 1 http://web:8099/ && echo reached || echo failed; sleep 0.2; done"]}
`

const onlyFriends = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-friends}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}], ports: [{port: http}]}]
`

func TestNetworkPoliciesAreEnforcedBetweenSimulatedPods(t *testing.T) {
	c := start(t, runtimeSim)
	c.apply(whoami)
	rolledOut(c, "web")
	c.apply(askers)
	c.says("friend", "reached")
	c.says("stranger", "reached")
	c.apply(onlyFriends)
	c.says("stranger", "failed")
	c.says("friend", "reached")
	c.answers(c.ingress(), "web.example.org", "Hostname: web-") // the node reaches its pods
	if err := deleteObject[*networkingv1.NetworkPolicy](c, "only-friends"); err != nil {
		t.Fatal(err)
	}
	c.says("stranger", "reached")
}

func TestNetworkPoliciesAreToldToHaveNoEffectOnDocker(t *testing.T) {
	if testing.Short() {
		t.Skip("real containers take long")
	}
	c := start(t, cluster.Config{Runtime: cluster.RuntimeDocker})
	c.apply(onlyFriends)
	c.eventually(func() error {
		for _, event := range list[*corev1.Event](c) {
			if event.Reason == "NotEnforced" && event.InvolvedObject.Name == "only-friends" {
				return nil
			}
		}
		return fmt.Errorf("no event tells that the policy is not enforced")
	})
}

// says waits until the last line that a pod has written in the last second is the wanted one.
func (c *running) says(pod, want string) {
	c.t.Helper()
	c.eventually(func() error {
		log, err := c.log(pod, "tailLines=1&sinceSeconds=1")
		if err == nil && log != want {
			err = fmt.Errorf("pod %s says %q, want %q", pod, log, want)
		}
		return err
	})
}
