package client

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The times of client-go's recorder for this API.
const (
	seriesEnd     = 6 * time.Minute  // without a repetition: what comes then is a new event
	seriesRefresh = 30 * time.Minute // how often a long series is written, so that it does not expire
)

// SeriesRecorder writes events by the newer API for them, events.k8s.io, as the scheduler of Kubernetes does (KEP-383; the other
// components have never moved). Such an event also says which action it was about, and what else it concerns. One that
// is repeated becomes a series, which is written when it begins, when it ends, and seldom in between, however often
// something is tried.
type SeriesRecorder struct {
	client               Interface
	controller, instance string
	queue                chan *eventsv1.Event
	numbers              numbers
	seed                 maphash.Seed
	seen                 map[uint64]*series
}

// series is an event that may be repeated.
type series struct {
	number int64            // what its name ends with
	first  metav1.MicroTime // when it happened first
	event  *eventsv1.Event  // nil while it has happened once
}

// NewSeriesRecorder makes a recorder for a component on a host.
func NewSeriesRecorder(c Interface, component, host string) *SeriesRecorder {
	return &SeriesRecorder{
		client: c, controller: component, instance: component + "-" + host,
		queue: make(chan *eventsv1.Event, eventQueue), seed: maphash.MakeSeed(), seen: map[uint64]*series{},
	}
}

// Event says something about an object, and about a second one unless that is nil: kind is Normal or Warning; reason and action are
// words, why and what was done; then a sentence. It never blocks; Run writes. A nil SeriesRecorder says nothing.
func (r *SeriesRecorder) Event(object, second Object, kind, reason, action, format string, args ...any) {
	if r == nil {
		return
	}
	about, err := referenceTo(object)
	var related *corev1.ObjectReference
	if second != nil && err == nil {
		var also corev1.ObjectReference
		also, err = referenceTo(second)
		related = &also
	}
	if err != nil {
		slog.Error("event about an unknown kind", "error", err)
		return
	}
	now := metav1.NowMicro()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: eventName(about.Name, r.numbers.next(now.Time)), Namespace: namespaceOf(about)},
		EventTime:  now, ReportingController: r.controller, ReportingInstance: r.instance,
		Action: action, Reason: reason, Regarding: about, Related: related, Note: fmt.Sprintf(format, args...), Type: kind,
	}
	select {
	case r.queue <- event:
	default:
		slog.Debug("event dropped, too many wait", "component", r.controller, "reason", reason)
	}
}

// Run writes events until the context ends.
func (r *SeriesRecorder) Run(ctx context.Context) {
	end, refresh := time.NewTicker(seriesEnd), time.NewTicker(seriesRefresh)
	defer end.Stop()
	defer refresh.Stop()
	for {
		select {
		case event := <-r.queue:
			r.record(ctx, event)
		case <-end.C:
			r.endSeries(ctx)
		case <-refresh.C:
			for _, s := range r.seen {
				if s.event != nil {
					r.write(ctx, s.event)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// record writes what is new: an event, or that it has become a series. Further repetitions are counted only.
func (r *SeriesRecorder) record(ctx context.Context, event *eventsv1.Event) {
	key := r.key(event)
	s, again := r.seen[key]
	switch {
	case !again:
		r.seen[key] = &series{number: numberOf(event.Name), first: event.EventTime}
		r.write(ctx, event)
	case s.event == nil:
		event.Name = eventName(event.Regarding.Name, s.number)
		event.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: event.EventTime}
		event.EventTime = s.first
		s.event = event
		r.write(ctx, event)
	default:
		s.event.Series.Count++
		s.event.Series.LastObservedTime = event.EventTime
	}
}

// key is what the occurrences of one event have in common: all but the sentence, and the version of the object. Of a pod
// that is tried again and again, the version changes when its status does.
func (r *SeriesRecorder) key(event *eventsv1.Event) uint64 {
	return maphash.Comparable(r.seed, struct {
		kind, action, reason string
		about, related       corev1.ObjectReference
	}{event.Type, event.Action, event.Reason, event.Regarding, value(event.Related)})
}

func value(reference *corev1.ObjectReference) corev1.ObjectReference {
	if reference == nil {
		return corev1.ObjectReference{}
	}
	return *reference
}

// endSeries forgets what has not happened again for long, and writes how often it did.
func (r *SeriesRecorder) endSeries(ctx context.Context) {
	for key, s := range r.seen {
		last := s.first
		if s.event != nil {
			last = s.event.Series.LastObservedTime
		}
		if time.Since(last.Time) <= seriesEnd {
			continue
		}
		if s.event != nil {
			r.write(ctx, s.event)
		}
		delete(r.seen, key)
	}
}

// write creates an event, or brings the series of one up to date.
func (r *SeriesRecorder) write(ctx context.Context, event *eventsv1.Event) {
	events := Of[*eventsv1.Event](r.client)
	var err error
	if event.Series != nil {
		var patch []byte
		if patch, err = json.Marshal(map[string]any{"series": event.Series}); err == nil {
			_, err = events.Patch(ctx, event.Namespace, event.Name, types.StrategicMergePatchType, patch)
		}
	}
	// An event of a series may have expired meanwhile: then it starts anew.
	switch {
	case event.Series == nil:
		_, err = events.Create(ctx, event)
	case apierrors.IsNotFound(err):
		_, err = events.Create(ctx, event.DeepCopy())
	}
	if err != nil {
		// A namespace on its way out takes no more events; that is expected.
		slog.Debug("event not written", "component", r.controller, "reason", event.Reason, "error", err)
	}
}
