package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expectationsTimeout is how long a write may stay unseen before a controller looks again all the same, as in Kubernetes.
const expectationsTimeout = 5 * time.Minute

// Expectations keep a controller from acting twice on one gap. Its informer lags behind its writes: a ReplicaSet that
// has just created three pods may not see them yet, and would create three more. So it notes what it is about to do, the
// informer's handlers strike off what has been seen, and until all was, the key is left alone. The zero value is ready.
type Expectations struct {
	mu    sync.Mutex
	byKey map[string]*expectation
}

type expectation struct {
	creations int
	deletions map[types.UID]struct{}
	since     time.Time
}

// ExpectCreations notes, before the writes, how many objects will be created for a key.
func (e *Expectations) ExpectCreations(key string, count int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(key).creations += count
}

// ExpectDeletions notes, before the writes, which objects will be deleted for a key.
func (e *Expectations) ExpectDeletions(key string, uids ...types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected := e.of(key)
	for _, uid := range uids {
		expected.deletions[uid] = struct{}{}
	}
}

func (e *Expectations) of(key string) *expectation {
	if e.byKey == nil {
		e.byKey = map[string]*expectation{}
	}
	expected, ok := e.byKey[key]
	if !ok {
		expected = &expectation{deletions: map[types.UID]struct{}{}}
		e.byKey[key] = expected
	}
	expected.since = time.Now()
	return expected
}

// Created strikes off creations: they were seen, or failed. It says whether that was all that was waited for.
func (e *Expectations) Created(key string, count int) bool {
	return e.strike(key, func(expected *expectation) { expected.creations -= count })
}

// Deleted strikes off a deletion: it was seen (also as a deletionTimestamp), or failed. It returns as Created does.
func (e *Expectations) Deleted(key string, uid types.UID) bool {
	return e.strike(key, func(expected *expectation) { delete(expected.deletions, uid) })
}

func (e *Expectations) strike(key string, off func(*expectation)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[key]
	if !ok || expected.met() {
		return false
	}
	off(expected)
	return expected.met()
}

func (e *expectation) met() bool { return e.creations <= 0 && len(e.deletions) == 0 }

// Satisfied says whether all that was expected has been seen, or should have been long ago. When not, it also says how
// long until then, for a controller that wants to look again.
func (e *Expectations) Satisfied(key string) (bool, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[key]
	if !ok {
		return true, 0
	}
	left := expectationsTimeout - time.Since(expected.since)
	if expected.met() || left <= 0 {
		delete(e.byKey, key)
		return true, 0
	}
	return false, left
}

// Forget drops what was expected for a key that is gone.
func (e *Expectations) Forget(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byKey, key)
}
