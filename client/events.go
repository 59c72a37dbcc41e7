package client

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// eventQueue is how many events may wait to be written; further ones are dropped, as client-go does: events are help for
// people, and must never hold up a component.
const eventQueue = 1000

// Recorder writes a component's events: what `kubectl describe` shows at its end. Equal events are folded into one with
// a count, and floods are cut, as client-go does (tools/record). The scheduler's are written by a SeriesRecorder.
type Recorder struct {
	client     Interface
	source     corev1.EventSource
	correlator *correlator
	queue      chan *corev1.Event
	numbers    numbers
}

// NewRecorder makes a recorder for a component; host is the node that it runs on, or "".
func NewRecorder(c Interface, component, host string) *Recorder {
	return &Recorder{
		client:     c,
		source:     corev1.EventSource{Component: component, Host: host},
		correlator: newCorrelator(),
		queue:      make(chan *corev1.Event, eventQueue),
	}
}

// Event says something about an object: kind is Normal or Warning, reason a CamelCase word, then a sentence. It never
// blocks; Run writes. A nil Recorder says nothing.
func (r *Recorder) Event(object Object, kind, reason, format string, args ...any) {
	if r == nil {
		return
	}
	about, err := referenceTo(object)
	if err != nil {
		slog.Error("event about an unknown kind", "error", err)
		return
	}
	r.EventRef(about, kind, reason, format, args...)
}

func referenceTo(object Object) (corev1.ObjectReference, error) {
	gvk, err := KindOfObject(object)
	if err != nil {
		return corev1.ObjectReference{}, err
	}
	return corev1.ObjectReference{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName(),
		UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
	}, nil
}

// namespaceOf is where the events about an object are: those about objects of no namespace are in "default".
func namespaceOf(about corev1.ObjectReference) string {
	if about.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return about.Namespace
}

// EventRef is Event about a part of an object, for example a container of a pod (fieldPath).
func (r *Recorder) EventRef(about corev1.ObjectReference, kind, reason, format string, args ...any) {
	if r == nil {
		return
	}
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:      eventName(about.Name, r.numbers.next(now.Time)),
			Namespace: namespaceOf(about),
		},
		InvolvedObject:      about,
		Reason:              reason,
		Message:             fmt.Sprintf(format, args...),
		Type:                kind,
		Source:              r.source,
		FirstTimestamp:      now,
		LastTimestamp:       now,
		Count:               1,
		ReportingController: r.source.Component,
		ReportingInstance:   r.source.Host,
	}
	select {
	case r.queue <- event:
	default:
		slog.Debug("event dropped, too many wait", "component", r.source.Component, "reason", reason)
	}
}

// numbers are what the names of a recorder's events end with; it holds the latest. As in Kubernetes a number is the time in
// nanoseconds, so that events of one second, which is all that their timestamps tell, are listed in the order in which they
// happened. Two can have the same time here, on virtual time above all: so each comes a little after the recorder's last
// one, by chance a little more.
type numbers struct{ last atomic.Int64 }

func (n *numbers) next(now time.Time) int64 {
	for {
		last := n.last.Load()
		next := max(last, now.UnixNano()) + 1 + rand.Int64N(int64(50*time.Microsecond))
		if n.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Run writes events until the context ends.
func (r *Recorder) Run(ctx context.Context) {
	for {
		select {
		case event := <-r.queue:
			r.write(ctx, event)
		case <-ctx.Done():
			return
		}
	}
}

func (r *Recorder) write(ctx context.Context, event *corev1.Event) {
	event = r.correlator.correlate(event)
	if event == nil {
		return
	}
	events := Of[*corev1.Event](r.client)
	var err error
	if event.Count > 1 {
		var patch []byte
		if patch, err = countPatch(event); err == nil {
			_, err = events.Patch(ctx, event.Namespace, event.Name, types.StrategicMergePatchType, patch)
		}
	}
	// The folded event may have expired meanwhile: then it starts anew.
	if event.Count <= 1 || apierrors.IsNotFound(err) {
		_, err = events.Create(ctx, event)
	}
	if err != nil {
		// A namespace on its way out takes no more events; that is expected.
		slog.Debug("event not written", "component", r.source.Component, "reason", event.Reason, "error", err)
	}
}
