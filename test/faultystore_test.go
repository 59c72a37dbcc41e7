package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"kubette/store"
)

// faultyStore is a store whose writes fail now and then, as etcd's do when its disk is slow: half of these have been done
// all the same, and only the answer was lost. It outlives the cluster that uses it.
type faultyStore struct {
	store.Store
	mu      sync.Mutex
	random  *rand.Rand
	percent int // of the writes
}

var errLost = errors.New("etcdserver: request timed out")

func newFaultyStore(random *rand.Rand) *faultyStore {
	return &faultyStore{Store: store.NewMemory(), random: random}
}

func (s *faultyStore) fail(percent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.percent = percent
}

// Write implements store.Store. The user's own writes do not fail: nobody would repeat them.
func (s *faultyStore) Write(ctx context.Context, write store.Write) (*store.Entry, error) {
	s.mu.Lock()
	fails, done := s.random.IntN(100) < s.percent, s.random.IntN(2) == 0
	s.mu.Unlock()
	if !fails || write.Meta.Actor == "kubernetes-admin" {
		return s.Store.Write(ctx, write)
	}
	if done {
		if _, err := s.Store.Write(ctx, write); err != nil {
			return nil, err
		}
	}
	return nil, errLost
}
