package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// restarts are how to end the processes of the control plane that are made anew when they end, by name.
type restarts struct {
	mu   sync.Mutex
	ends map[string]context.CancelFunc
}

// restartable runs parts, and makes them anew each time that they end before the context does: as a kubelet does with the
// static pods of a control plane.
func (c *Cluster) restartable(name string, parts func() []part) part {
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			life, end := context.WithCancel(ctx)
			c.restarts.mu.Lock()
			if c.restarts.ends == nil {
				c.restarts.ends = map[string]context.CancelFunc{}
			}
			c.restarts.ends[name] = end
			c.restarts.mu.Unlock()
			run(life, parts())
			end()
		}
	}
}

// Restart ends a process in the middle of what it does: kube-controller-manager, kube-scheduler, or a node's kubelet as
// kubelet-NODE. It begins again without its memory, and has to find out from the API what there is to do.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	if node, is := strings.CutPrefix(name, "kubelet-"); is {
		k, err := c.nodeNamed(node)
		if err != nil {
			return err
		}
		return k.Restart(ctx)
	}
	c.restarts.mu.Lock()
	defer c.restarts.mu.Unlock()
	end := c.restarts.ends[name]
	if end == nil {
		return fmt.Errorf("no %q runs here that can be restarted; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(c.restarts.ends)), ", "))
	}
	end()
	return nil
}
