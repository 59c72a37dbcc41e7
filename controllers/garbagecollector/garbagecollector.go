package garbagecollector

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "garbage-collector"
	// EventSource is the controller's name in events.
	EventSource = "garbage-collector-controller"

	workers = 20 // Kubernetes' default
)

// Controller deletes what has lost its owner, and serves the finalizers of deletion.
type Controller struct {
	controllers.Base
	discover controllers.Discovery
	graph    graph
	loop     *loop.Loop[types.UID]
}

// New makes the controller. discover tells the kinds to watch.
func New(base controllers.Base, discover controllers.Discovery) *Controller {
	c := &Controller{
		Base: base, discover: discover,
		graph: graph{nodes: map[types.UID]*node{}},
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	return c
}

// Run watches all kinds, and collects, until the context ends.
func (c *Controller) Run(ctx context.Context) {
	var group sync.WaitGroup
	complete := make(chan struct{})
	group.Go(func() { c.follow(ctx, complete) })
	// Nothing is judged before all kinds have been seen once: an owner may be among those still to come.
	select {
	case <-complete:
	case <-ctx.Done():
	}
	c.loop.Run(ctx)
	group.Wait()
}

// Reconcile looks at one object: whether it waits for its dependents, has to let them go, or has itself to be deleted.
func (c *Controller) Reconcile(ctx context.Context, uid types.UID) (time.Duration, error) {
	seen, settled, ok := c.graph.view(uid)
	if !ok || settled {
		return 0, nil
	}
	loop.Say(ctx, "Object", "resource", seen.resource.GroupResource().String(), "namespace", seen.namespace, "name", seen.name)
	if seen.orphaning {
		return 0, c.orphan(ctx, seen)
	}
	return 0, c.collect(ctx, seen)
}

func (c *Controller) look(uids []types.UID, cause string) {
	for _, uid := range uids {
		c.loop.Add(uid, cause)
	}
}
