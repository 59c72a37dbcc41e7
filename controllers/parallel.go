package controllers

import (
	"sync"
	"time"

	"kubette/loop"
)

// parallelCalls bounds how many writes one reconciliation has under way at once.
const parallelCalls = 16

// inParallel calls a function for the count indexes from start on. It returns how many calls succeeded and an error of
// those that did not.
func inParallel(start, count int, call func(index int) error) (int, error) {
	if count == 1 {
		if err := call(start); err != nil {
			return 0, err
		}
		return 1, nil
	}
	var (
		group     sync.WaitGroup
		mu        sync.Mutex
		next      int
		succeeded int
		failure   error
	)
	for range min(count, parallelCalls) {
		group.Go(func() {
			loop.MakeRoom()
			for {
				mu.Lock()
				index := start + next
				next++
				mu.Unlock()
				if index >= start+count {
					return
				}
				err := call(index)
				mu.Lock()
				if err == nil {
					succeeded++
				} else if failure == nil {
					failure = err
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return succeeded, failure
}

// Parallel calls a function for each index below count, several at once, and returns an error of those that failed.
func Parallel(count int, call func(index int) error) error {
	_, err := inParallel(0, count, call)
	return err
}

// BatchDelay is how long to gather changes before a key is reconciled whose work grows with its number of objects: not
// at all for the few pods of a lesson, up to half a second for thousands. Kubernetes has fixed settings for it, such as
// --concurrent-…-syncs and --endpoint-updates-batch-period.
func BatchDelay(objects int) time.Duration {
	if objects < 50 {
		return 0
	}
	return min(time.Duration(objects)*100*time.Microsecond, 500*time.Millisecond)
}

// Sooner returns the shorter of two delays, where 0 means none.
func Sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}
