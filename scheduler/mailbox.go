package scheduler

import "sync"

// mailbox hands things from many goroutines to one, in order. Posting never blocks.
type mailbox[T any] struct {
	*box[T]
	filled chan struct{} // holds a token when there may be something
}

type box[T any] struct {
	mu     sync.Mutex
	things []T
}

func newMailbox[T any]() mailbox[T] {
	return mailbox[T]{box: &box[T]{}, filled: make(chan struct{}, 1)}
}

func (m mailbox[T]) post(thing T) {
	m.mu.Lock()
	m.things = append(m.things, thing)
	m.mu.Unlock()
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

// take empties the box.
func (m mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	things := m.things
	m.things = nil
	return things
}
