package explain

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/store"
)

// Link is one moment of the chain that led to an object's present state: a write, or what a component said in an event.
type Link struct {
	Time  time.Time `json:"time"`
	Write *Write    `json:"write,omitempty"`
	Event *Said     `json:"event,omitempty"`
	// Above says that the write is of another object, further up: one whose change led to this object's.
	Above bool `json:"above,omitempty"`
	// Repeated is how many more writes of the same kind directly before it are left out.
	Repeated int `json:"repeated,omitempty"`
	// Omitted is how many writes directly after it are left out, because there are so many newer ones.
	Omitted int `json:"omitted,omitempty"`
	// Unknown says that no record tells what led to the write, although a component made it: the record of the step is no
	// longer kept.
	Unknown bool `json:"unknown,omitempty"`
}

// Said is what a component said in an event.
type Said struct {
	Who     string `json:"who"`
	Type    string `json:"type"` // Normal or Warning
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Count   int32  `json:"count,omitempty"`
}

// ChainWrites is how many of an object's writes a chain shows, the newest; and the oldest, its creation most often. A quota
// may have thousands.
const ChainWrites = 200

// Chain tells how an object came to be as it is, newest first: its own writes and events, then, from its creation, what
// led to that, up to somebody's first word.
func Chain(j Journal, object Ref, events []*corev1.Event) []Link {
	writes := j.Writes(object)
	var links []Link
	for i, w := range writes {
		if i < len(writes)-ChainWrites && i > 0 {
			links[0].Omitted++
			continue
		}
		j.Explain(&w)
		links = append(links, linkOf(&w))
	}
	for _, event := range events {
		links = append(links, Link{Time: eventTime(event), Event: &Said{Who: sourceOf(event), Type: event.Type,
			Reason: event.Reason, Message: event.Message, Count: countOf(event)}})
	}
	slices.SortStableFunc(links, func(a, b Link) int { return b.Time.Compare(a.Time) })
	links = foldRepeats(links)
	return append(links, above(j, object, writes)...)
}

// chainDepth bounds how far up a chain is followed.
const chainDepth = 20

// above follows the triggers from the creation of an object upwards.
func above(j Journal, object Ref, writes []Write) []Link {
	start := slices.IndexFunc(writes, func(w Write) bool { return w.Created })
	if start < 0 {
		return nil
	}
	var links []Link
	at := writes[start]
	seen := map[int64]bool{at.Revision: true}
	for range chainDepth {
		step := j.Step(at.Cause)
		if step == nil {
			break
		}
		trigger := j.trigger(step, at.Revision)
		if trigger == nil || seen[trigger.Revision] {
			break
		}
		seen[trigger.Revision] = true
		j.Explain(trigger)
		if trigger.Object.Resource != object.Resource || trigger.Object.Name != object.Name {
			link := linkOf(trigger)
			link.Above = true
			links = append(links, link)
		}
		at = *trigger
	}
	return links
}

func linkOf(w *Write) Link {
	return Link{Time: w.Time, Write: w, Unknown: w.Cause != "" && !strings.HasPrefix(w.Cause, store.CommandCause) && w.Because == "" && w.Notes == nil}
}

// foldRepeats counts runs of writes that one component made for the same reason, such as a node's heartbeats, instead of
// showing each.
func foldRepeats(links []Link) []Link {
	var folded []Link
	for _, link := range links {
		if n := len(folded); n > 0 && alike(folded[n-1], link) {
			folded[n-1].Repeated++
			continue
		}
		folded = append(folded, link)
	}
	return folded
}

func alike(a, b Link) bool {
	if a.Write == nil || b.Write == nil {
		return false
	}
	return a.Write.Actor == b.Write.Actor && a.Write.Verb == b.Write.Verb && a.Write.Because == b.Write.Because &&
		samePaths(a.Write.Changes, b.Write.Changes)
}

func samePaths(a, b []Change) bool {
	return slices.EqualFunc(a, b, func(x, y Change) bool { return x.Path == y.Path })
}

func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// countOf is how often an event has happened, as far as was written.
func countOf(e *corev1.Event) int32 {
	if e.Series != nil {
		return e.Series.Count
	}
	return max(e.Count, 1)
}

// sourceOf is the component that an event is from.
func sourceOf(e *corev1.Event) string {
	who := e.Source.Component
	if who == "" {
		who = e.ReportingController
	}
	if e.Source.Host != "" && strings.HasPrefix(who, "kubelet") {
		return who + " " + e.Source.Host
	}
	return who
}
