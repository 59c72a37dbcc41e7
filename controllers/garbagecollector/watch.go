package garbagecollector

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"kubette/controllers"
)

// follow keeps one watch for each kind that the API serves, and changes with that. It closes complete when the first
// kinds have all been listed.
func (c *Controller) follow(ctx context.Context, complete chan<- struct{}) {
	var group sync.WaitGroup
	defer group.Wait()
	watching := map[schema.GroupVersionResource]context.CancelFunc{}
	first := true
	for {
		resources, changed := c.discover()
		started := c.watchAll(ctx, resources, watching, &group)
		if first {
			for _, s := range started {
				select {
				case <-s.listed:
				case <-ctx.Done():
				}
			}
			close(complete)
			first = false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// watchAll starts the watches that are missing and stops those of kinds no longer served. It returns the new ones.
func (c *Controller) watchAll(ctx context.Context, resources []controllers.Resource, watching map[schema.GroupVersionResource]context.CancelFunc, group *sync.WaitGroup) []*sink {
	served := map[schema.GroupVersionResource]bool{}
	var started []*sink
	for _, resource := range resources {
		if !collectable(resource) {
			continue
		}
		served[resource.GroupVersionResource] = true
		if _, ok := watching[resource.GroupVersionResource]; ok {
			continue
		}
		watched, stop := context.WithCancel(ctx)
		watching[resource.GroupVersionResource] = stop
		s := &sink{c: c, resource: resource, names: map[string]types.UID{}, listed: make(chan struct{})}
		started = append(started, s)
		reflector := cache.NewReflectorWithOptions(c.listWatch(resource), nil, s, cache.ReflectorOptions{Name: Name + " " + resource.Resource})
		group.Go(func() { reflector.RunWithContext(watched) })
	}
	for resource, stop := range watching {
		if !served[resource] {
			stop()
			delete(watching, resource)
		}
	}
	return started
}

// collectable: events neither own nor are owned, and are the most frequent of all; what cannot be watched or deleted
// cannot be collected.
func collectable(resource controllers.Resource) bool {
	if resource.Resource == "events" && (resource.Group == "" || resource.Group == "events.k8s.io") {
		return false
	}
	for _, verb := range []string{"delete", "list", "watch"} {
		if resource.Verbs != nil && !slices.Contains(resource.Verbs, verb) {
			return false
		}
	}
	return true
}

func (c *Controller) listWatch(resource controllers.Resource) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			page, err := c.Client.List(ctx, resource.GroupVersionResource, "", options)
			if err != nil {
				return nil, err
			}
			return &internalversion.List{Items: page.Items,
				ListMeta: metav1.ListMeta{ResourceVersion: page.ResourceVersion, Continue: page.Continue}}, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Client.Watch(ctx, resource.GroupVersionResource, "", options)
		},
	}
}

// sink receives what a watch tells of one kind, and keeps the graph by it. It remembers only names and UIDs, to know what
// is gone after a gap in the watch.
type sink struct {
	c        *Controller
	resource controllers.Resource

	listed chan struct{} // closed after the first list
	once   sync.Once

	mu    sync.Mutex
	names map[string]types.UID
}

// Add implements cache.ReflectorStore.
func (s *sink) Add(object any) error { return s.take(object, "added") }

// Update implements cache.ReflectorStore.
func (s *sink) Update(object any) error { return s.take(object, "changed") }

func (s *sink) take(object any, what string) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	key := controllers.Key(accessor)
	if before, ok := s.names[key]; ok && before != accessor.GetUID() {
		s.remove(before, accessor)
	}
	s.names[key] = accessor.GetUID()
	s.mu.Unlock()
	if look := s.c.graph.put(s.resource, accessor); len(look) > 0 {
		s.c.look(look, controllers.Cause(s.resource.Resource, accessor, what))
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *sink) Delete(object any) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, controllers.Key(accessor))
	s.remove(accessor.GetUID(), accessor)
	return nil
}

func (s *sink) remove(uid types.UID, last metav1.Object) {
	if look := s.c.graph.remove(uid); len(look) > 0 {
		s.c.look(look, controllers.Cause(s.resource.Resource, last, "deleted"))
	}
}

// Replace implements cache.ReflectorStore.
func (s *sink) Replace(objects []any, _ string) error {
	defer s.once.Do(func() { close(s.listed) })
	present := make(map[string]bool, len(objects))
	for _, object := range objects {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		present[controllers.Key(accessor)] = true
		if err := s.Update(object); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, uid := range s.names {
		if !present[name] {
			delete(s.names, name)
			if look := s.c.graph.remove(uid); len(look) > 0 {
				s.c.look(look, s.resource.Resource+"/"+name+" deleted")
			}
		}
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *sink) Resync() error { return nil }
