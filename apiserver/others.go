package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/store"
)

// What a server must do beside others that write to the same store.

// followOthers brings the cache up to every write, so that watches here see what was written elsewhere.
func (s *Server) followOthers(ctx context.Context) {
	var log store.Watcher
	var err error
	for ctx.Err() == nil {
		if log == nil {
			if log, err = s.config.Store.Watch("", s.config.Store.Revision()); err != nil {
				return // it is closed
			}
		}
		_, err = log.Next(ctx)
		switch {
		case errors.Is(err, store.ErrCompacted):
			log = nil
		case err != nil:
			return
		}
		if err := s.cache.follow(); err != nil {
			slog.Error("what other servers wrote is not seen", "error", err)
			return
		}
	}
}

// Keys of the store under which taken addresses and ports are. In Kubernetes they are IPAddress objects and a bitmap.
const (
	addressClaims = "/allocated/addresses/"
	portClaims    = "/allocated/ports/"
)

// claims are numbers that were handed out, by whichever server: a key for each, made by who was first.
type claims struct {
	store  store.Store
	prefix string
}

func (c *claims) take(value string) (bool, error) {
	_, err := c.store.Write(context.Background(), store.Write{Key: c.prefix + value, Meta: store.Meta{Time: time.Now(), Actor: serverUser.Name, Verb: "allocate"}})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// release gives a number back. One that cannot be given back now is found later, by releaseForgotten.
func (c *claims) release(value string) {
	entry, err := c.store.Get(context.Background(), c.prefix+value, 0)
	if err != nil {
		return
	}
	_ = c.drop(context.Background(), entry)
}

func (c *claims) drop(ctx context.Context, entry *store.Entry) error {
	_, err := c.store.Write(ctx, store.Write{Key: entry.Key, Delete: true, Expected: entry.Revision,
		Meta: store.Meta{Time: time.Now(), Actor: serverUser.Name, Verb: "release"}})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil // another server did
	}
	return err
}

// claimTime is how long a service may take to be stored after its address was handed out.
const claimTime = 3 * time.Minute

// releaseForgotten gives back what no service has: a server may have ended between handing it out and storing the service.
func (s *Server) releaseForgotten(ctx context.Context) error {
	used := map[string]bool{}
	for _, object := range s.cluster().List("", "services", "") {
		service, ok := object.(*corev1.Service)
		if !ok {
			continue
		}
		for _, value := range numbersOf(service) {
			used[value] = true
		}
	}
	for _, c := range []*claims{s.addresses.claims, s.ports.claims} {
		page, err := s.config.Store.List(ctx, c.prefix, store.ListOptions{})
		if err != nil {
			return err
		}
		for _, entry := range page.Entries {
			if used[path.Base(entry.Key)] || time.Since(entry.Meta.Time) < claimTime {
				continue
			}
			if err := c.drop(ctx, entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// numbersOf are the addresses and ports that a service was given.
func numbersOf(service *corev1.Service) []string {
	numbers := append([]string(nil), service.Spec.ClusterIPs...)
	for _, port := range service.Spec.Ports {
		numbers = append(numbers, strconv.Itoa(int(port.NodePort)))
	}
	return append(numbers, strconv.Itoa(int(service.Spec.HealthCheckNodePort)))
}
