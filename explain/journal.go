package explain

import (
	"strings"
	"time"

	"kubette/loop"
)

// Write is one write of the store, with what led to it.
type Write struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor,omitempty"` // the authenticated user
	Who      string    `json:"who,omitempty"`   // its short name
	Verb     string    `json:"verb"`            // with the subresource: patch/status
	Object   Ref       `json:"object"`
	Deleted  bool      `json:"deleted,omitempty"`
	Created  bool      `json:"created,omitempty"`
	// Cause is the step in which it was written. A user's write has none, or the command that was followed (store.CommandCause).
	Cause string `json:"cause,omitempty"`
	// Because is what that step was for, in the component's words; Trigger is the revision of the write that it names, 0
	// when it names none.
	Because string      `json:"because,omitempty"`
	Trigger int64       `json:"trigger,omitempty"`
	Notes   []loop.Note `json:"notes,omitempty"` // what the step observed and decided
	Changes []Change    `json:"changes,omitempty"`
}

// Journal is what is recorded about writes and steps.
type Journal struct {
	// Writes returns the kept writes of an object, oldest first; without Because and Trigger, which the journal finds.
	Writes func(object Ref) []Write
	// Step returns a kept step of a component, by its identifier; nil when there is none.
	Step func(id string) *loop.Record
}

// Explain fills in what the step behind a write was for.
func (j Journal) Explain(w *Write) {
	step := j.Step(w.Cause)
	if step == nil {
		return
	}
	w.Because, w.Notes = step.Cause, step.Notes
	if trigger := j.trigger(step, w.Revision); trigger != nil {
		w.Trigger = trigger.Revision
	}
}

// triggerDepth bounds how many repetitions of a step are looked through for the first one's cause.
const triggerDepth = 50

// trigger is the write that led to a step: the newest one, before the step began, of the object that its cause names.
func (j Journal) trigger(step *loop.Record, before int64) *Write {
	begun := step.Time
	for range triggerDepth {
		for _, prefix := range []string{"retry of ", "timer of "} {
			if id, ok := strings.CutPrefix(step.Cause, prefix); ok {
				earlier := j.Step(id)
				if earlier == nil {
					return nil
				}
				step = earlier
			}
		}
		if !strings.HasPrefix(step.Cause, "retry of ") && !strings.HasPrefix(step.Cause, "timer of ") {
			break
		}
	}
	object, ok := objectOf(step)
	if !ok {
		return nil
	}
	writes := j.Writes(object)
	for i := len(writes) - 1; i >= 0; i-- {
		if w := writes[i]; w.Revision < before && !w.Time.After(begun) {
			return &w
		}
	}
	return nil
}

// objectOf is the object that a step's cause names. The scheduler's and the kubelets' causes may name only what happened
// ("pod added", "container started"); their steps are about one pod each.
func objectOf(step *loop.Record) (Ref, bool) {
	word, _, _ := strings.Cut(step.Cause, " ")
	parts := strings.Split(word, "/")
	switch {
	case len(parts) == 3:
		return Ref{Resource: parts[0], Namespace: parts[1], Name: parts[2]}, true
	case len(parts) == 2 && parts[0] == strings.ToLower(parts[0]) && strings.HasSuffix(parts[0], "s"):
		return Ref{Resource: parts[0], Name: parts[1]}, true
	}
	if step.Component == "default-scheduler" || strings.HasPrefix(step.Component, "kubelet-") {
		if namespace, name, ok := strings.Cut(step.Key, "/"); ok {
			return Ref{Resource: "pods", Namespace: namespace, Name: name}, true
		}
	}
	return Ref{}, false
}

// Item is one line of the trace: a write, or a step.
type Item struct {
	Time  time.Time    `json:"time"`
	Write *Write       `json:"write,omitempty"`
	Step  *loop.Record `json:"step,omitempty"`
}
