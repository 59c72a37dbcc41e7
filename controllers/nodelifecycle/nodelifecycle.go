package nodelifecycle

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "node-lifecycle-controller"
	// EventSource is the controller's name in events.
	EventSource = "node-controller"

	workers = 8
)

// Options of the controller; zero values mean Kubernetes' defaults.
type Options struct {
	GracePeriod        time.Duration // 50 s: how long a node may be silent
	StartupGracePeriod time.Duration // 60 s: the same for one that never posted a status
}

// Controller watches over all nodes.
type Controller struct {
	controllers.Base
	options Options
	nodes   client.Informer[*corev1.Node]
	leases  client.Informer[*coordinationv1.Lease]
	pods    client.Informer[*corev1.Pod]
	health  health
	zones   zones
	loop    *loop.Loop[string]

	mu   sync.Mutex
	lost map[string]bool // nodes that have fallen silent, until their pods are marked
}

// New makes the controller.
func New(base controllers.Base, options Options) *Controller {
	if options.GracePeriod == 0 {
		options.GracePeriod = 50 * time.Second
	}
	if options.StartupGracePeriod == 0 {
		options.StartupGracePeriod = time.Minute
	}
	c := &Controller{
		Base: base, options: options,
		nodes:  client.InformerFor[*corev1.Node](base.Informers),
		leases: client.InformerFor[*coordinationv1.Lease](base.Informers),
		pods:   client.InformerFor[*corev1.Pod](base.Informers),
		lost:   map[string]bool{},
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	controllers.IndexByNode(c.pods)
	c.nodes.Handle(client.Handler[*corev1.Node]{Add: c.nodeAdded, Update: c.nodeChanged, Delete: c.nodeDeleted})
	c.leases.Handle(client.Handler[*coordinationv1.Lease]{
		Add:    func(lease *coordinationv1.Lease) { c.health.renewed(lease) },
		Update: func(_, lease *coordinationv1.Lease) { c.health.renewed(lease) },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) nodeAdded(node *corev1.Node) {
	c.health.posted(node)
	c.say(node, corev1.EventTypeNormal, "RegisteredNode", "Node %s event: Registered Node %s in Controller", node.Name, node.Name)
	c.loop.Add(node.Name, controllers.Cause("nodes", node, "added"))
}

func (c *Controller) nodeChanged(old, node *corev1.Node) {
	c.health.posted(node)
	// A heartbeat alone asks for nothing: the node's own deadline will look at it.
	if old.Generation != node.Generation || !sameConditions(old, node) || !sameTaints(old.Spec.Taints, node.Spec.Taints) ||
		old.Spec.Unschedulable != node.Spec.Unschedulable || !sameLabels(old, node) {
		c.loop.Add(node.Name, controllers.Cause("nodes", node, "changed"))
	}
}

func (c *Controller) nodeDeleted(node *corev1.Node) {
	c.say(node, corev1.EventTypeNormal, "RemovingNode", "Node %s event: Removing Node %s from Controller", node.Name, node.Name)
	c.loop.Add(node.Name, controllers.Cause("nodes", node, "deleted"))
}

// say writes an event about a node.
func (c *Controller) say(node *corev1.Node, kind, reason, format string, args ...any) {
	c.Events.EventRef(corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}, kind, reason, format, args...)
}

// Reconcile judges one node by its last signs of life, and marks it and its pods accordingly.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	node, ok := c.nodes.Get("", name)
	if !ok {
		loop.Say(ctx, "Gone")
		c.health.forget(name)
		c.setLost(name, false)
		return 0, c.regard(ctx)
	}
	node, again, err := c.judge(ctx, node)
	if err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	if err := c.regard(ctx); err != nil {
		return 0, err
	}
	if err := c.label(ctx, node); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	node, wait, err := c.taint(ctx, node)
	if err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	if err := c.markPods(ctx, node); err != nil {
		return 0, err
	}
	return controllers.Sooner(again, wait), nil
}

// regard looks at the state of all zones; when it changes, every node has to be looked at again.
func (c *Controller) regard(ctx context.Context) error {
	if !c.zones.regard(c.nodes.List("", nil)) {
		return nil
	}
	loop.Say(ctx, "ZonesChanged", "states", c.zones.String())
	if c.zones.recovered() {
		c.health.restart() // whatever made all nodes silent may have delayed their signs of life
	}
	for _, node := range c.nodes.List("", nil) {
		c.loop.Add(node.Name, "the state of the zones changed")
	}
	return nil
}

// label keeps the old names of the labels for operating system and architecture.
func (c *Controller) label(ctx context.Context, node *corev1.Node) error {
	var changed *corev1.Node
	for old, label := range map[string]string{"beta.kubernetes.io/os": corev1.LabelOSStable, "beta.kubernetes.io/arch": corev1.LabelArchStable} {
		if value, ok := node.Labels[label]; ok && node.Labels[old] != value {
			if changed == nil {
				changed = node.DeepCopy()
			}
			changed.Labels[old] = value
		}
	}
	if changed == nil {
		return nil
	}
	_, err := client.Of[*corev1.Node](c.Client).Update(ctx, changed)
	return err
}
