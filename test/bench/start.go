package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// starts is how often a cluster is started; the first time also reads the program from disk and makes its keys.
const starts = 7

// settled is after how long a quiet cluster's memory is read again: nodes have renewed their leases by then.
const settled = 15 * time.Second

func measureStart(ctx context.Context, p *program, t *table) error {
	var first, again samples
	var memories [2]string
	for i := range starts {
		c, err := p.up(ctx, "start", "--runtime", "sim")
		if err != nil {
			return err
		}
		if i == 0 {
			first = append(first, c.took)
		} else {
			again = append(again, c.took)
		}
		if err := nodesReady(ctx, c); err != nil {
			c.down()
			return err
		}
		if i == starts-1 {
			now, known := c.memory()
			memories[0] = now.text(known)
			sleep(ctx, settled)
			later, known := c.memory()
			memories[1] = later.text(known)
		}
		c.down()
	}
	t.add("up, first of this build", first.spread(), "", "")
	t.add(fmt.Sprintf("up, median of %d", len(again)), again.spread(), "< 0.5 s", "Kubernetes 4.4 s")
	t.add("resident memory then, one list later", memories[0], "< 60 MB", "Kubernetes 496 MB")
	t.add(fmt.Sprintf("resident memory %.0f s later", settled.Seconds()), memories[1], "", "")
	return nil
}

// nodesReady checks that what `up` said is true.
func nodesReady(ctx context.Context, c *process) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	nodes, err := api.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		ready := false
		for _, condition := range node.Status.Conditions {
			ready = ready || condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
		}
		if !ready {
			return fmt.Errorf("kubette said it was ready, but node %s is not", node.Name)
		}
	}
	return nil
}

// sleep waits, but not longer than the context.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
