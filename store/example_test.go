package store_test

import (
	"context"
	"errors"
	"fmt"

	"kubette/store"
)

// Two writers read the same value; the one who writes second is refused, and must read again.
func Example() {
	ctx := context.Background()
	s := store.NewMemory()
	first, _ := s.Write(ctx, store.Write{Key: "/replicas", Value: []byte("1")})

	_, err := s.Write(ctx, store.Write{Key: "/replicas", Value: []byte("2"), Expected: first.Revision})
	fmt.Println("first writer:", err)
	_, err = s.Write(ctx, store.Write{Key: "/replicas", Value: []byte("3"), Expected: first.Revision})
	fmt.Println("second writer:", errors.Is(err, store.ErrConflict))

	before, _ := s.Get(ctx, "/replicas", first.Revision)
	now, _ := s.Get(ctx, "/replicas", 0)
	fmt.Printf("then %s, now %s\n", before.Value(), now.Value())
	// Output:
	// first writer: <nil>
	// second writer: true
	// then 1, now 2
}

// A watcher gets what was written after the revision that it names, whether that was before it came or after.
func ExampleWatcher() {
	ctx := context.Background()
	s := store.NewMemory()
	created, _ := s.Write(ctx, store.Write{Key: "/pods/web", Meta: store.Meta{Actor: "alice", Verb: "create"}})
	_, _ = s.Write(ctx, store.Write{Key: "/nodes/one"})

	watcher, _ := s.Watch("/pods/", 0)
	_, _ = s.Write(ctx, store.Write{Key: "/pods/web", Delete: true, Expected: created.Revision})
	events, _ := watcher.Next(ctx)
	for _, event := range events {
		fmt.Println(event.Revision, event.Key, event.Deleted, event.Meta.Actor)
	}
	// Output:
	// 1 /pods/web false alice
	// 3 /pods/web true
}
