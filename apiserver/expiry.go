package apiserver

import (
	"context"
	"errors"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/store"
)

// serverUser is who does the server's own upkeep.
var serverUser = &user.DefaultInfo{Name: "system:apiserver", Groups: []string{user.SystemPrivilegedGroup}}

// expireEvents removes the events that nobody has written for the time that they live. Kubernetes gives them a lease in
// etcd for that.
func (s *Server) expireEvents(ctx context.Context) error {
	res := s.storedResource("", "events")
	if res == nil {
		res = s.storedResource("events.k8s.io", "events")
	}
	if res == nil {
		return nil
	}
	// Read from the store, whose entries have the time of the write: the cache would decode and keep all of them.
	page, err := s.config.Store.List(ctx, res.prefix, store.ListOptions{})
	if err != nil {
		return err
	}
	op := &operation{resource: res, verb: "expire", Request: Request{User: serverUser}}
	limit := time.Now().Add(-s.config.EventTTL)
	for _, entry := range page.Entries {
		if entry.Meta.Time.After(limit) {
			continue
		}
		object, err := s.cache.objectOf(res.prefix, entry)
		if err != nil {
			return err
		}
		// A conflict means that it has just happened again, and lives on.
		if _, err := s.remove(ctx, op, entry.Key, &item{key: entry.Key, object: object, revision: entry.Revision}); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}
