package ttl

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces and as its service account.
const Name = "ttl-controller"

// steps are how long nodes may keep what they have read, by the size of the cluster. They overlap, so that a cluster whose
// size goes up and down by one node does not rewrite all of them again and again.
var steps = []struct{ least, most, seconds int }{
	{0, 100, 0},
	{90, 500, 15},
	{450, 1000, 30},
	{900, 2000, 60},
	{1800, math.MaxInt, 300},
}

// Controller annotates nodes.
type Controller struct {
	controllers.Base
	nodes client.Informer[*corev1.Node]
	loop  *loop.Loop[string]

	mu    sync.Mutex
	count int // of nodes
	step  int // the index in steps
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{Base: base, nodes: client.InformerFor[*corev1.Node](base.Informers)}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: 5, Machine: base.Machine})
	ask := func(node *corev1.Node, what string) {
		if node.Annotations[corev1.ObjectTTLAnnotationKey] != c.wanted() {
			c.loop.Add(node.Name, controllers.Cause("nodes", node, what))
		}
	}
	c.nodes.Handle(client.Handler[*corev1.Node]{
		Add: func(node *corev1.Node) {
			c.resize(+1)
			ask(node, "added")
		},
		// When the size has changed, each node gets its new annotation the next time that it reports.
		Update: func(_, node *corev1.Node) { ask(node, "changed") },
		Delete: func(*corev1.Node) { c.resize(-1) },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// resize counts the nodes, and takes the next step up or down at its end.
func (c *Controller) resize(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count += by
	switch {
	case c.count > steps[c.step].most:
		c.step++
	case c.count < steps[c.step].least:
		c.step--
	}
}

func (c *Controller) wanted() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.Itoa(steps[c.step].seconds)
}

// Reconcile gives a node the annotation that the cluster's size asks for.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	node, ok := c.nodes.Get("", name)
	wanted := c.wanted()
	if !ok || node.Annotations[corev1.ObjectTTLAnnotationKey] == wanted {
		return 0, nil
	}
	loop.Say(ctx, "SetCacheTTL", "seconds", wanted)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{corev1.ObjectTTLAnnotationKey: wanted}}})
	if err != nil {
		return 0, fmt.Errorf("annotation of node %s: %w", name, err)
	}
	_, err = client.Of[*corev1.Node](c.Client).Patch(ctx, "", name, types.StrategicMergePatchType, patch)
	return 0, controllers.IgnoreNotFound(err)
}
