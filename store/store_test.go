package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubette/store"
	"kubette/store/etcdtest"
)

// backend makes a store, and reopens it when it can be.
type backend struct {
	name   string
	make   func(t *testing.T) store.Store
	reopen func(t *testing.T, s store.Store) store.Store
	remote bool // it waits for another process, so that virtual time would stand still
}

func backends() []backend {
	path := func(t *testing.T) string { return filepath.Join(t.TempDir(), "store") }
	paths := map[store.Store]string{}
	open := func(t *testing.T, path string) store.Store {
		s, err := store.OpenBolt(path, store.BoltOptions{})
		if err != nil {
			t.Fatal(err)
		}
		paths[s] = path
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	return []backend{
		{name: "memory", make: func(*testing.T) store.Store { return store.NewMemory() }},
		{name: "bolt", make: func(t *testing.T) store.Store { return open(t, path(t)) }, reopen: func(t *testing.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, paths[s])
		}},
		etcdBackend(),
	}
}

// etcdBackend gives each test an etcd of its own. One in two reopenings is another server of the same etcd.
func etcdBackend() backend {
	urls := map[store.Store]string{}
	open := func(t *testing.T, url string) store.Store {
		s := mustOpenEtcd(t, url)
		urls[s] = url
		return s
	}
	return backend{name: "etcd", remote: true,
		make: func(t *testing.T) store.Store { return open(t, etcdtest.Start(t).URL) },
		reopen: func(t *testing.T, s store.Store) store.Store {
			if rand.Intn(2) == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			return open(t, urls[s])
		}}
}

func mustOpenEtcd(t *testing.T, url string) *store.Etcd {
	t.Helper()
	s, err := store.OpenEtcd(t.Context(), store.EtcdOptions{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func each(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

// reference is the simplest thing that a store could be: every write ever made, in order, and how far it is compacted. It
// begins at the revision of an empty store.
type reference struct {
	base      int64
	log       []*record
	compacted int64
}

func (r *reference) newest() int64 { return r.base + int64(len(r.log)) }

func (r *reference) at(key string, revision int64) *record {
	for i := revision - r.base - 1; i >= 0; i-- {
		if e := r.log[i]; e.Key == key {
			if e.Deleted {
				return nil
			}
			return e
		}
	}
	return nil
}

func (r *reference) list(prefix string, revision int64) []*record {
	newest := map[string]*record{}
	for _, e := range r.log[:revision-r.base] {
		newest[e.Key] = e
	}
	var found []*record
	for key, e := range newest {
		if strings.HasPrefix(key, prefix) && !e.Deleted {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// history is what compaction leaves of a key.
func (r *reference) history(key string) []*record {
	var kept []*record
	for _, e := range r.log {
		if e.Key != key {
			continue
		}
		if e.Revision <= r.compacted {
			kept = nil
			if e.Deleted {
				continue
			}
		}
		kept = append(kept, e)
	}
	return kept
}

// record is an entry as the reference has it.
type record struct {
	Key, Value                        string
	CreateRevision, Revision, Version int64
	Deleted                           bool
	Meta                              store.Meta
}

func recordOf(e *store.Entry) *record {
	if e == nil {
		return nil
	}
	return &record{
		Key: e.Key, Value: string(e.Value()), CreateRevision: e.CreateRevision, Revision: e.Revision, Version: e.Version, Deleted: e.Deleted, Meta: e.Meta,
	}
}

func recordsOf(entries []*store.Entry) []*record {
	var records []*record
	for _, e := range entries {
		records = append(records, recordOf(e))
	}
	return records
}

func TestAgainstAReference(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		seed := time.Now().UnixNano()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewSource(seed))
		s := b.make(t)
		r := &reference{base: s.Revision(), compacted: s.CompactedRevision()}
		keys := []string{"/a/1", "/a/2", "/a/3", "/b/1", "/b/2", "/c"}
		prefixes := []string{"", "/", "/a/", "/b/", "/a/2", "/d"}
		for step := range 1200 {
			key := keys[random.Intn(len(keys))]
			revision := r.base + int64(random.Intn(len(r.log)+1))
			switch n := random.Intn(100); {
			case n < 55:
				compareWrite(t, random, s, r, key, step)
			case n < 65:
				compareGet(t, s, r, key, revision)
			case n < 80:
				compareList(t, random, s, r, prefixes[random.Intn(len(prefixes))], revision)
			case n < 88:
				compareHistory(t, s, r, key)
			case n < 96:
				compareWatch(t, s, r, prefixes[random.Intn(len(prefixes))], revision)
			case n < 98:
				compareCompact(t, s, r, revision)
			case b.reopen != nil:
				s = b.reopen(t, s)
			}
			if s.Revision() != r.newest() || s.CompactedRevision() != r.compacted {
				t.Fatalf("step %d: revision %d and compacted %d, want %d and %d", step, s.Revision(), s.CompactedRevision(), r.newest(), r.compacted)
			}
		}
	})
}

func compareWrite(t *testing.T, random *rand.Rand, s store.Store, r *reference, key string, step int) {
	t.Helper()
	current := r.at(key, r.newest())
	write := store.Write{
		// Values that share long parts, or nothing.
		Key: key, Value: fmt.Appendf(nil, "value %d %s", step, strings.Repeat(key, random.Intn(20))), Object: step,
		Meta: store.Meta{Time: time.Unix(int64(step), 7).UTC(), Actor: "somebody", Verb: "update", Cause: fmt.Sprint(step)},
	}
	want := &record{Key: key, Value: string(write.Value), Revision: r.newest() + 1, CreateRevision: r.newest() + 1, Version: 1, Meta: write.Meta}
	if current != nil {
		write.Expected, want.CreateRevision, want.Version = current.Revision, current.CreateRevision, current.Version+1
	}
	if random.Intn(8) == 0 { // seldom enough that some keys see many writes
		write.Delete, want.Deleted, want.Value = true, true, ""
	}
	wantErr := error(nil)
	if random.Intn(5) == 0 {
		write.Expected, wantErr = write.Expected+int64(random.Intn(2))*2-1, store.ErrConflict
	} else if write.Delete && current == nil {
		wantErr = store.ErrNotFound
	}
	got, err := s.Write(t.Context(), write)
	if !errors.Is(err, wantErr) {
		t.Fatalf("write %+v: %v, want %v", write, err, wantErr)
	}
	if wantErr != nil {
		return
	}
	if diff := cmp.Diff(want, recordOf(got)); diff != "" {
		t.Fatalf("written (-want +got):\n%s", diff)
	}
	r.log = append(r.log, want)
}

func (r *reference) readable(revision int64) error {
	if revision != 0 && revision < r.compacted {
		return store.ErrCompacted
	}
	return nil
}

func compareGet(t *testing.T, s store.Store, r *reference, key string, revision int64) {
	t.Helper()
	got, err := s.Get(t.Context(), key, revision)
	wantErr := r.readable(revision)
	if revision == 0 {
		revision = r.newest()
	}
	want := r.at(key, revision)
	if wantErr == nil && want == nil {
		wantErr = store.ErrNotFound
	}
	if !errors.Is(err, wantErr) {
		t.Fatalf("get %s at %d: %v, want %v", key, revision, err, wantErr)
	}
	if wantErr == nil {
		if diff := cmp.Diff(want, recordOf(got)); diff != "" {
			t.Fatalf("get %s at %d (-want +got):\n%s", key, revision, diff)
		}
	}
}

func compareList(t *testing.T, random *rand.Rand, s store.Store, r *reference, prefix string, revision int64) {
	t.Helper()
	options := store.ListOptions{Revision: revision, Limit: random.Intn(4)}
	wantErr := r.readable(revision)
	if revision == 0 {
		revision = r.newest()
	}
	want := r.list(prefix, revision)
	var got []*store.Entry
	for {
		page, err := s.List(t.Context(), prefix, options)
		if !errors.Is(err, wantErr) {
			t.Fatalf("list %s at %d: %v, want %v", prefix, revision, err, wantErr)
		}
		if wantErr != nil {
			return
		}
		got = append(got, page.Entries...)
		if page.Revision != revision || page.More != (len(got) < len(want)) || page.Remaining != int64(len(want)-len(got)) {
			t.Fatalf("list %s at %d: page %+v after %d of %d", prefix, revision, page, len(got), len(want))
		}
		if !page.More {
			break
		}
		options.After = got[len(got)-1].Key
	}
	if diff := cmp.Diff(want, recordsOf(got)); diff != "" {
		t.Fatalf("list %s at %d (-want +got):\n%s", prefix, revision, diff)
	}
}

func compareHistory(t *testing.T, s store.Store, r *reference, key string) {
	t.Helper()
	got, err := s.History(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.history(key), recordsOf(got)); diff != "" {
		t.Fatalf("history of %s (-want +got):\n%s", key, diff)
	}
}

func compareWatch(t *testing.T, s store.Store, r *reference, prefix string, after int64) {
	t.Helper()
	watcher, err := s.Watch(prefix, after)
	if after < r.compacted {
		if !errors.Is(err, store.ErrCompacted) {
			t.Fatalf("watch after %d, compacted %d: %v", after, r.compacted, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	type event struct{ Now, Previous *record }
	var want, got []event
	for _, e := range r.log[after-r.base:] {
		if strings.HasPrefix(e.Key, prefix) {
			want = append(want, event{e, r.at(e.Key, e.Revision-1)})
		}
	}
	for len(got) < len(want) {
		events, err := watcher.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			got = append(got, event{recordOf(e.Entry), recordOf(e.Previous)})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("watch %s after %d (-want +got):\n%s", prefix, after, diff)
	}
}

func compareCompact(t *testing.T, s store.Store, r *reference, revision int64) {
	t.Helper()
	err := s.Compact(t.Context(), revision)
	if revision <= r.compacted {
		if !errors.Is(err, store.ErrCompacted) {
			t.Fatalf("compact at %d after %d: %v", revision, r.compacted, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.compacted = revision
}

// Many add one to a counter at once; each addition counts once.
func TestCompareAndSwap(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		s := b.make(t)
		const writers, additions = 16, 20
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range additions {
					for {
						var value int
						write := store.Write{Key: "/counter"}
						if entry, err := s.Get(t.Context(), "/counter", 0); err == nil {
							_, _ = fmt.Sscan(string(entry.Value()), &value)
							write.Expected = entry.Revision
						}
						write.Value = fmt.Append(nil, value+1)
						_, err := s.Write(t.Context(), write)
						if err == nil {
							break
						}
						if !errors.Is(err, store.ErrConflict) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		group.Wait()
		entry, err := s.Get(t.Context(), "/counter", 0)
		if err != nil || string(entry.Value()) != fmt.Sprint(writers*additions) || entry.Version != writers*additions {
			t.Fatalf("counter %+v, %v", entry, err)
		}
	})
}

// Watchers see every event under their prefix once and in order, while writers write and the log is compacted; one that
// is told that it is too late goes on from a list.
func TestWatchAcrossCompaction(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		s := b.make(t)
		const writers, writes = 4, 150
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var group, watchers sync.WaitGroup
		for w := range writers {
			prefix := fmt.Sprintf("/%d/", w)
			watchers.Go(func() { follow(t, ctx, s, prefix, writes) })
			group.Go(func() {
				for i := range writes {
					if _, err := s.Write(ctx, store.Write{Key: fmt.Sprintf("%s%04d", prefix, i)}); err != nil {
						t.Error(err)
					}
					if w == 0 && i%10 == 9 {
						_ = s.Compact(ctx, s.Revision())
					}
				}
			})
		}
		group.Wait()
		watchers.Wait()
	})
}

func follow(t *testing.T, ctx context.Context, s store.Store, prefix string, total int) {
	seen := 0
	var last int64
	for seen < total {
		page, err := s.List(ctx, prefix, store.ListOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		if len(page.Entries) < seen {
			t.Errorf("%s: a list of %d entries after %d events", prefix, len(page.Entries), seen)
		}
		seen = len(page.Entries)
		watcher, err := s.Watch(prefix, page.Revision)
		for err == nil && seen < total {
			var events []store.Event
			if events, err = watcher.Next(ctx); err != nil {
				break
			}
			for _, e := range events {
				if want := fmt.Sprintf("%s%04d", prefix, seen); e.Key != want || e.Revision <= last {
					t.Errorf("%s: event of %s at %d after %d, want %s", prefix, e.Key, e.Revision, last, want)
					return
				}
				last = e.Revision
				seen++
			}
		}
		if err != nil && !errors.Is(err, store.ErrCompacted) {
			t.Error(err)
			return
		}
	}
}

// A watcher of something that never changes is not behind, however much is written and compacted elsewhere.
func TestQuietWatcherSurvivesCompaction(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		if b.remote {
			t.Skip("its copy is the memory store")
		}
		synctest.Test(t, func(t *testing.T) {
			s := b.make(t)
			watcher, err := s.Watch("/quiet/", 0)
			if err != nil {
				t.Fatal(err)
			}
			// It waits, is told of nothing, and gives up when all is written.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error)
			go func() { _, err := watcher.Next(ctx); done <- err }()
			synctest.Wait()
			for i := range 20 {
				if _, err := s.Write(t.Context(), store.Write{Key: fmt.Sprintf("/loud/%d", i)}); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("the quiet watcher got %v", err)
			}
			at := s.Revision()
			if _, err := s.Write(t.Context(), store.Write{Key: "/quiet/1"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Compact(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			events, err := watcher.Next(t.Context())
			if err != nil || len(events) != 1 || events[0].Key != "/quiet/1" {
				t.Fatalf("events %v, %v", events, err)
			}
		})
	})
}

func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		s := b.make(t)
		watcher, err := s.Watch("", s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error)
		go func() { _, err := watcher.Next(t.Context()); told <- err }()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-told; !errors.Is(err, store.ErrClosed) {
			t.Errorf("the watcher got %v", err)
		}
		if _, err := s.Write(t.Context(), store.Write{Key: "/a"}); !errors.Is(err, store.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		if _, err := s.Get(t.Context(), "/a", 0); !errors.Is(err, store.ErrClosed) {
			t.Errorf("get: %v", err)
		}
	})
}

// A writer may put the revision into its object before anybody sees it.
func TestStamp(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		s := b.make(t)
		object := new(int64)
		entry, err := s.Write(t.Context(), store.Write{Key: "/a", Object: object, Stamp: func(revision int64) { *object = revision }})
		if err != nil || *object != entry.Revision {
			t.Errorf("stamped %d, written %+v, %v", *object, entry, err)
		}
	})
}
