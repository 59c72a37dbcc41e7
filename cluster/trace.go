package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kubette/explain"
	"kubette/loop"
	"kubette/store"
)

// traceOptions are what a reader of the trace asks for.
type traceOptions struct {
	after     int64
	follow    bool
	namespace string
	all       bool // with heartbeats and events, which are most of what is written in a quiet cluster
	changes   bool
	steps     bool
}

func readTraceOptions(query url.Values) (traceOptions, error) {
	o := traceOptions{namespace: query.Get("namespace")}
	for name, value := range map[string]*bool{"follow": &o.follow, "all": &o.all, "changes": &o.changes, "steps": &o.steps} {
		if text := query.Get(name); text != "" {
			var err error
			if *value, err = strconv.ParseBool(text); err != nil {
				return o, fmt.Errorf("%s must be true or false, not %q", name, text)
			}
		}
	}
	if text := query.Get("after"); text != "" {
		var err error
		if o.after, err = strconv.ParseInt(text, 10, 64); err != nil || o.after < 0 {
			return o, fmt.Errorf("after must be a revision, not %q", text)
		}
	}
	return o, nil
}

// serveTrace answers with what happened, one JSON object per line.
func (c *Cluster) serveTrace(w http.ResponseWriter, r *http.Request) {
	options, err := readTraceOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if options.after == 0 {
		options.after = c.store.CompactedRevision()
	}
	watcher, err := c.store.Watch(registryPrefix, options.after)
	if err != nil {
		http.Error(w, err.Error(), http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := func() {}
	if flusher, ok := w.(http.Flusher); ok {
		flush = flusher.Flush
	}
	flush()
	out := bufio.NewWriterSize(w, 64<<10)
	t := &tracer{recorder: c.recorder(), options: options, watcher: watcher, until: c.store.Revision(),
		emit: func(item explain.Item) error { return json.NewEncoder(out).Encode(item) },
		flush: func() error {
			err := out.Flush()
			flush()
			return err
		},
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // a cluster that stops does not wait for its readers
		select {
		case <-c.stopAsked:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = t.run(ctx) // the answer has begun: its end is all that the reader gets
}

// tracer writes the trace for one reader.
type tracer struct {
	*recorder
	options traceOptions
	watcher store.Watcher
	until   int64 // without follow: the last revision
	emit    func(explain.Item) error
	flush   func() error
	shown   string    // the last step that was looked at
	begun   time.Time // steps from before are not asked for
}

// patience is how long a write waits for the record of the step that made it: a step is recorded when it ends.
const patience = 300 * time.Millisecond

// run writes items until the context ends, or until everything up to now has been written.
func (t *tracer) run(ctx context.Context) error {
	at := t.options.after
	for t.options.follow || at < t.until {
		events, err := t.watcher.Next(ctx)
		if err != nil {
			return err
		}
		for _, event := range events {
			at = event.Revision
			if err := t.one(ctx, event); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return errors.Join(t.stepsUntil(time.Now()), t.flush())
}

// one writes what belongs to one write.
func (t *tracer) one(ctx context.Context, event store.Event) error {
	write := t.write(event.Entry)
	if t.begun.IsZero() {
		t.begun = write.Time
	}
	if !t.options.all && (write.Object.Resource == "leases" || write.Object.Resource == "events") {
		return nil
	}
	if t.options.namespace != "" && write.Object.Namespace != t.options.namespace {
		return nil
	}
	if t.options.follow && event.Meta.Cause != "" && !strings.HasPrefix(event.Meta.Cause, store.CommandCause) {
		t.await(ctx, event.Meta)
	}
	t.journal(ctx).Explain(&write)
	if t.options.changes && event.Previous != nil {
		write.Changes, _ = t.changes(event.Previous, event.Entry)
	}
	if err := t.stepsUntil(write.Time); err != nil {
		return err
	}
	return t.emit(explain.Item{Time: write.Time, Write: &write})
}

// await waits until the step of a write is recorded, but not for long.
func (t *tracer) await(ctx context.Context, meta store.Meta) {
	timer := time.NewTimer(patience - time.Since(meta.Time))
	defer timer.Stop()
	for {
		_, more := t.cluster.machine.After(t.shown)
		if t.step(meta.Cause) != nil {
			return
		}
		if err := t.flush(); err != nil {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// stepsUntil writes the steps that began before a moment.
func (t *tracer) stepsUntil(moment time.Time) error {
	if !t.options.steps {
		return nil
	}
	records, _ := t.cluster.machine.After(t.shown)
	for _, record := range records {
		if record.Time.After(moment) {
			break
		}
		t.shown = record.ID
		if record.Time.Before(t.begun) || !t.options.all && quiet(record) {
			continue
		}
		if err := t.emit(explain.Item{Time: record.Time, Step: record}); err != nil {
			return err
		}
	}
	return nil
}

// quiet says of a step that nothing was noted in it and nothing went wrong.
func quiet(record *loop.Record) bool { return len(record.Notes) == 0 && record.Error == "" }

// TraceOptions choose what of the trace is read.
type TraceOptions struct {
	After     int64 // the revision after which to begin; 0 is the oldest that is kept
	Follow    bool
	Namespace string
	All       bool // with heartbeats and events
	Changes   bool // with the fields that each write changed
	Steps     bool // with the steps of components, not only the writes
}

// Trace reads the trace and hands each item on, until it ends, the context does, or the function returns an error.
func (c *Control) Trace(ctx context.Context, o TraceOptions, each func(explain.Item) error) error {
	query := url.Values{}
	query.Set("after", strconv.FormatInt(o.After, 10))
	query.Set("namespace", o.Namespace)
	for name, value := range map[string]bool{"follow": o.Follow, "all": o.All, "changes": o.Changes, "steps": o.Steps} {
		query.Set(name, strconv.FormatBool(value))
	}
	body, err := c.stream(ctx, "trace?"+query.Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	for {
		var item explain.Item
		if err := decoder.Decode(&item); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read the trace: %w", err)
		}
		if err := each(item); err != nil {
			return err
		}
	}
}
