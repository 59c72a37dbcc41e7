package client

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The limits of client-go's event correlator.
const (
	similarAtMost = 10                // events that differ in their message only, before they are folded into one
	similarWithin = 10 * time.Minute  // since the last of them
	burst         = 25.0              // events at once about one object
	refill        = float32(1. / 300) // a second: one more in five minutes
	// remembered is how many kinds of events are known again at least.
	remembered = 2048
)

// correlator decides what becomes of an event: nothing, when too many are about its object; a higher count of an earlier
// one, when it is the same; or an event of its own. It decides as the one of client-go does, which remembers the same in
// six times the memory: with thousands of pods, that was a tenth of all.
type correlator struct {
	seed    maphash.Seed
	buckets recent[bucket]
	groups  recent[group]
	seen    recent[occurrence]
}

// bucket holds what one object may still have written about it.
type bucket struct {
	tokens float64
	at     int64 // in nanoseconds, as all times here: there are many
}

// group are the events that differ in their message only.
type group struct {
	last     int64
	messages []uint64
}

// occurrence is an event that was written: the end of its name, which begins as its object's, and what it said.
type occurrence struct {
	number int64
	first  int64
	count  int32
}

func newCorrelator() *correlator { return &correlator{seed: maphash.MakeSeed()} }

// correlate returns the event to write: a patch of an earlier one when its count is above 1. It returns nil for an event
// that is one too many.
func (c *correlator) correlate(event *corev1.Event) *corev1.Event {
	now := time.Now()
	event, key := c.fold(event, now)
	before, again := c.seen.get(key)
	if again {
		repeated := *event
		repeated.Name = eventName(event.InvolvedObject.Name, before.number)
		repeated.FirstTimestamp, repeated.Count = metav1.NewTime(time.Unix(0, before.first)), before.count+1
		event = &repeated
	}
	c.seen.put(key, occurrence{number: numberOf(event.Name), first: event.FirstTimestamp.UnixNano(), count: event.Count})
	if !c.allowed(event, now) {
		return nil
	}
	return event
}

// fold replaces an event that is one of many similar ones by one for all of them. The key tells which events are the same.
func (c *correlator) fold(event *corev1.Event, now time.Time) (*corev1.Event, uint64) {
	about := &event.InvolvedObject
	similar := c.hash(about, event.Type, event.Reason, event.ReportingController, event.ReportingInstance)
	same := c.hash(about, event.Type, event.Reason, event.Message, about.FieldPath)
	g, _ := c.groups.get(similar)
	if now.UnixNano()-g.last > int64(similarWithin) {
		g.messages = nil
	}
	if message := c.hash(nil, event.Message); !slices.Contains(g.messages, message) {
		g.messages = append(g.messages[:len(g.messages):len(g.messages)], message)
	}
	g.last = now.UnixNano()
	defer func() { c.groups.put(similar, g) }()
	if len(g.messages) < similarAtMost {
		return event, same
	}
	g.messages = g.messages[1:]
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: eventName(about.Name, now.UnixNano()), Namespace: event.Namespace},
		InvolvedObject: *about, Type: event.Type, Reason: event.Reason, Source: event.Source,
		Message: "(combined from similar events): " + event.Message, Count: 1,
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now),
	}, similar
}

// allowed takes a token out of the object's bucket.
func (c *correlator) allowed(event *corev1.Event, now time.Time) bool {
	key := c.hash(&event.InvolvedObject, event.Type)
	b, known := c.buckets.get(key)
	if !known {
		b = bucket{tokens: burst, at: now.UnixNano()}
	}
	tokens := min(burst, b.tokens+time.Duration(now.UnixNano()-b.at).Seconds()*float64(refill))
	if tokens < 1 {
		return false
	}
	c.buckets.put(key, bucket{tokens: tokens - 1, at: now.UnixNano()})
	return true
}

// eventName is that of an event about an object: they differ by a number, which is a time.
func eventName(about string, number int64) string { return fmt.Sprintf("%s.%x", about, number) }

// numberOf is what the name of an event ends with.
func numberOf(name string) int64 {
	number, _ := strconv.ParseInt(name[strings.LastIndexByte(name, '.')+1:], 16, 64) // of a name that eventName made
	return number
}

// hash is what an object and some texts are known by.
func (c *correlator) hash(about *corev1.ObjectReference, texts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	if about != nil {
		texts = append(texts, about.Kind, about.Namespace, about.Name, string(about.UID), about.APIVersion)
	}
	for _, text := range texts {
		_, _ = h.WriteString(text)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// countPatch raises the count of an event that was written before.
func countPatch(event *corev1.Event) ([]byte, error) {
	return json.Marshal(map[string]any{"count": event.Count, "lastTimestamp": event.LastTimestamp, "message": event.Message})
}

// recent maps keys to values, and forgets those that were not set for long. The zero value works.
type recent[V any] struct{ young, old map[uint64]V }

func (r *recent[V]) get(key uint64) (V, bool) {
	v, ok := r.young[key]
	if !ok {
		v, ok = r.old[key]
	}
	return v, ok
}

func (r *recent[V]) put(key uint64, v V) {
	if r.young == nil || len(r.young) >= remembered {
		r.old, r.young = r.young, map[uint64]V{}
	}
	r.young[key] = v
}
