package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver/kinds"
	"kubette/store"
)

const (
	// watchBuffer is how many events a watch reads ahead of its client.
	watchBuffer = 64
	// bookmarkEvery is how often a watch tells its client how far it has got, when the client wants to know.
	bookmarkEvery = time.Minute
)

// Watch streams the changes of a resource. It starts after a revision; or with everything that is there, as ADDED events,
// and goes on from that. A client that reads slowly is not waited for by anybody: its watch reads the log at its own
// pace, and ends with the error 410 Gone when the log has been compacted under it.
//
// The watch ends with the context, with Stop, after timeoutSeconds, or when the server stops. Objects are shared.
func (s *Server) Watch(ctx context.Context, r Request, options metav1.ListOptions) (watch.Interface, error) {
	op, err := s.begin(ctx, r, "watch")
	if err != nil {
		return nil, err
	}
	options.Watch = true
	checked, of, err := op.listOptions(options)
	if err != nil {
		return nil, err
	}
	w := &watcher{server: s, op: op, of: of, bookmarks: checked.AllowWatchBookmarks, results: make(chan watch.Event, watchBuffer)}
	if err := w.start(checked); err != nil {
		return nil, err
	}
	if t := checked.TimeoutSeconds; t != nil && *t > 0 {
		ctx, w.cancel = context.WithTimeout(ctx, time.Duration(*t)*time.Second)
	} else {
		ctx, w.cancel = context.WithCancel(ctx)
	}
	s.watches.Add(1)
	go w.run(ctx)
	return w, nil
}

// watcher is one watch under way.
type watcher struct {
	server    *Server
	op        *operation
	of        selection
	bookmarks bool
	initial   []*item // to send first
	announce  bool    // say when these have been sent
	cursor    *cursor
	from      int64 // the revision asked for
	results   chan watch.Event
	cancel    context.CancelFunc
}

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// start finds out where to begin.
func (w *watcher) start(options *internalversion.ListOptions) error {
	cache := w.server.cache
	asked, err := parseRevision(options.ResourceVersion)
	if err != nil {
		return plainError(err)
	}
	begins := options.SendInitialEvents != nil && *options.SendInitialEvents
	var items []*item
	var now int64
	if begins || asked == 0 {
		if items, now, err = cache.listOf(&w.of, w.op.keysUnder(w.op.Namespace), "", 0); err != nil {
			return err
		}
	}
	shelf, err := cache.shelf(w.op.resource)
	if err != nil {
		return err
	}
	w.cursor = &cursor{cache: cache, shelf: shelf, after: now}
	switch {
	case begins:
		if asked > now {
			return errTooLarge(asked, now)
		}
		w.initial, w.announce = items, w.bookmarks
	case asked > 0:
		w.cursor.after = asked
	}
	w.from = w.cursor.after
	if lane, ok := w.of.lane(); ok {
		w.cursor.join(lane)
	}
	return nil
}

func (w *watcher) run(ctx context.Context) {
	defer w.server.watches.Done()
	defer w.cancel()
	defer w.cursor.leave()
	defer close(w.results)
	if !w.sendInitial(ctx) {
		return
	}
	var tick <-chan time.Time
	if w.bookmarks {
		ticker := time.NewTicker(bookmarkEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	due := false // a bookmark is
	for {
		events, change, err := w.cursor.next(ctx)
		if err != nil {
			w.fail(ctx, err)
			return
		}
		for i := range events {
			if !w.sendEvent(ctx, &events[i]) {
				return
			}
		}
		if len(events) > 0 {
			continue
		}
		if due && !w.sendBookmark(ctx, false) {
			return
		}
		due = false
		select {
		case <-change:
		case <-tick:
			due = true
		case <-ctx.Done():
			return
		case <-w.server.stopping:
			return
		}
	}
}

// sendInitial sends what is there.
func (w *watcher) sendInitial(ctx context.Context) bool {
	for _, i := range w.initial {
		object, err := w.op.show(i.object)
		if err != nil {
			w.fail(ctx, err)
			return false
		}
		if w.of.matches(object) && !w.send(ctx, watch.Added, object) {
			return false
		}
	}
	w.initial = nil
	return !w.announce || w.sendBookmark(ctx, true)
}

// sendEvent sends what a change means to this watch: an object that begins to be selected is ADDED, one that no longer
// is is DELETED, with its last state that was.
func (w *watcher) sendEvent(ctx context.Context, e *event) bool {
	if ns := w.op.Namespace; ns != "" && e.any().GetNamespace() != ns {
		return true
	}
	object, now, err := w.selected(e.object)
	var previous kinds.Object
	var before bool
	if err == nil {
		previous, before, err = w.selected(e.previous)
	}
	switch {
	case err != nil:
		w.fail(ctx, err)
		return false
	case now && before:
		return w.send(ctx, watch.Modified, object)
	case now:
		return w.send(ctx, watch.Added, object)
	case before && e.last != nil && w.op.FromStorage == nil:
		return w.send(ctx, watch.Deleted, e.last)
	case before:
		return w.send(ctx, watch.Deleted, atRevision(previous, e.revision))
	}
	return true
}

func (e *event) any() kinds.Object {
	if e.object != nil {
		return e.object
	}
	return e.previous
}

// selected returns a stored object in the resource's version, and whether the watch is about it.
func (w *watcher) selected(stored kinds.Object) (kinds.Object, bool, error) {
	if stored == nil {
		return nil, false, nil
	}
	object, err := w.op.show(stored)
	if err != nil {
		return nil, false, err
	}
	return object, w.of.matches(object), nil
}

// sendBookmark says up to which revision everything has been sent; the first one, that the initial objects have.
func (w *watcher) sendBookmark(ctx context.Context, initialDone bool) bool {
	mark := w.op.New()
	mark.SetResourceVersion(formatRevision(w.cursor.after))
	if initialDone {
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return w.send(ctx, watch.Bookmark, mark)
}

func (w *watcher) send(ctx context.Context, t watch.EventType, object kinds.Object) bool {
	select {
	case w.results <- watch.Event{Type: t, Object: object}:
		return true
	case <-ctx.Done():
	case <-w.server.stopping:
	}
	return false
}

// fail ends the watch with an error event.
func (w *watcher) fail(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil, errors.Is(err, store.ErrClosed):
		return
	case errors.Is(err, store.ErrCompacted):
		err = apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", w.from, w.server.config.Store.CompactedRevision()))
	}
	select {
	case w.results <- watch.Event{Type: watch.Error, Object: statusOf(err)}:
	case <-ctx.Done():
	case <-w.server.stopping:
	}
}
