package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// Server answers the API's verbs over a store. Make one with New; Run keeps its background work going.
//
// Objects that a Server hands out are shared with everybody: copy before you change one. Objects handed in are copied,
// unless the Request says that they are the server's own.
type Server struct {
	config   Config
	registry atomic.Pointer[registry]
	serving  sync.Mutex    // held while the registry is replaced
	replaced chan struct{} // closed and replaced with the registry
	cache    *cache
	// encodings are how objects look over HTTP.
	encodings encodings
	siblings  siblings

	addresses, ports *allocator
	allocated        sync.Once // the allocators know what stored services hold

	stopping chan struct{} // closed when Run ends: watches end
	stop     sync.Once
	watches  sync.WaitGroup
}

// New makes a server. It reads nothing of the store yet but its revision.
func New(config Config) (*Server, error) {
	if config.Store == nil {
		return nil, fmt.Errorf("an API server needs a store")
	}
	if config.Kinds == nil {
		config.Kinds = kinds.All()
	}
	if config.KeepRevisions == 0 {
		config.KeepRevisions = defaultKeepRevisions
	}
	if config.EventTTL == 0 {
		config.EventTTL = defaultEventTTL
	}
	first, err := newRegistry(config.Kinds)
	if err != nil {
		return nil, fmt.Errorf("kinds to serve: %w", err)
	}
	s := &Server{config: config, stopping: make(chan struct{}), replaced: make(chan struct{})}
	s.registry.Store(first)
	s.addresses, s.ports = newAddresses(config.ServiceCIDR), newPorts()
	if config.Shared {
		s.addresses.claims, s.ports.claims = &claims{config.Store, addressClaims}, &claims{config.Store, portClaims}
	}
	s.cache, err = newCache(config.Store, func(prefix string) *resource { return s.registry.Load().byPrefix[prefix] })
	return s, err
}

// Serve begins to serve a kind, or serves it differently: how custom resources come.
func (s *Server) Serve(row *kinds.Kind) error {
	return s.replace(row.Resource(), row)
}

// Withdraw ends serving a resource. Its watches end; its objects stay in the store.
func (s *Server) Withdraw(resource schema.GroupVersionResource) error {
	before := s.registry.Load().byResource[resource]
	if err := s.replace(resource, nil); err != nil || before == nil {
		return err
	}
	if s.registry.Load().byPrefix[before.prefix] == nil {
		s.cache.forget(before.prefix)
	}
	return nil
}

func (s *Server) replace(resource schema.GroupVersionResource, row *kinds.Kind) error {
	s.serving.Lock()
	defer s.serving.Unlock()
	next, err := s.registry.Load().with(resource, row)
	if err != nil {
		return fmt.Errorf("serve %s: %w", resource.GroupResource(), err)
	}
	s.registry.Store(next)
	close(s.replaced)
	s.replaced = make(chan struct{})
	return nil
}

// Kinds returns the rows that are served now, and a channel that is closed when that changes.
func (s *Server) Kinds() ([]*kinds.Kind, <-chan struct{}) {
	s.serving.Lock()
	defer s.serving.Unlock()
	var rows []*kinds.Kind
	for _, res := range s.registry.Load().ordered {
		rows = append(rows, res.Kind)
	}
	return rows, s.replaced
}

const (
	defaultKeepRevisions = 50_000
	defaultEventTTL      = time.Hour
	upkeepEvery          = time.Minute
)

// Run does the server's upkeep until the context ends: it removes old events, and forgets old revisions. Then it ends
// every watch, and returns when all have.
func (s *Server) Run(ctx context.Context) {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	if s.config.Shared {
		var group sync.WaitGroup
		group.Go(func() { s.followOthers(ctx) })
		defer group.Wait()
	}
	for {
		select {
		case <-ticker.C:
			s.upkeep(ctx)
			s.encodings.rest()
		case <-ctx.Done():
			s.stop.Do(func() { close(s.stopping) })
			s.watches.Wait()
			return
		}
	}
}

func (s *Server) upkeep(ctx context.Context) {
	if err := s.expireEvents(ctx); err != nil && ctx.Err() == nil {
		slog.Error("old events stay", "error", err)
	}
	if s.config.Shared {
		if err := s.releaseForgotten(ctx); err != nil && ctx.Err() == nil {
			slog.Error("addresses and ports that no service has stay taken", "error", err)
		}
	}
	if err := s.compact(ctx); err != nil && ctx.Err() == nil {
		slog.Error("the store keeps its whole history", "error", err)
	}
}

// compact forgets all but the newest revisions. It lets them grow by a tenth first, because each time costs something.
func (s *Server) compact(ctx context.Context) error {
	upTo := s.config.Store.Revision() - s.config.KeepRevisions
	if upTo-s.config.Store.CompactedRevision() < s.config.KeepRevisions/10 {
		return nil
	}
	return s.config.Store.Compact(ctx, upTo)
}
