package kinds

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// eventV1 shows the core's events in the newer API for them, which newer clients write to. The fields have other names;
// those that only old clients write are called deprecated.
func eventV1() *Kind {
	return Row[*eventsv1.Event]{
		Base: Kind{
			Group: "events.k8s.io", Version: "v1", Kind: "Event", Plural: "events", Singular: "event", ShortNames: []string{"ev"},
			Namespaced: true, AllowCreateOnUpdate: true, UnconditionalUpdate: true,
			FieldNames: []string{"reason", "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
				"regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reportingController", "type"},
			Storage:     &schema.GroupKind{Kind: "Event"},
			ToStorage:   func(object Object) (Object, error) { return coreEvent(object.(*eventsv1.Event)), nil },
			FromStorage: func(object Object) (Object, error) { return newEvent(object.(*corev1.Event)), nil },
		},
		New:            func() *eventsv1.Event { return &eventsv1.Event{} },
		NewList:        func() runtime.Object { return &eventsv1.EventList{} },
		Validate:       validateEventV1,
		ValidateUpdate: validateEventV1Update,
		Fields: func(e *eventsv1.Event) fields.Set {
			return fields.Set{
				"reason": e.Reason, "regarding.kind": e.Regarding.Kind, "regarding.namespace": e.Regarding.Namespace,
				"regarding.name": e.Regarding.Name, "regarding.uid": string(e.Regarding.UID), "regarding.apiVersion": e.Regarding.APIVersion,
				"regarding.resourceVersion": e.Regarding.ResourceVersion, "regarding.fieldPath": e.Regarding.FieldPath,
				"reportingController": e.ReportingController, "type": e.Type,
			}
		},
		Columns: eventColumns(),
		Cells:   func(e *eventsv1.Event) []any { return eventCells(coreEvent(e)) },
	}.Kind()
}

func coreEvent(e *eventsv1.Event) *corev1.Event {
	core := &corev1.Event{
		ObjectMeta: *e.ObjectMeta.DeepCopy(), InvolvedObject: e.Regarding, Reason: e.Reason, Message: e.Note, Source: e.DeprecatedSource,
		FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp, Count: e.DeprecatedCount, Type: e.Type,
		EventTime: e.EventTime, Action: e.Action, Related: e.Related, ReportingController: e.ReportingController,
		ReportingInstance: e.ReportingInstance,
	}
	if s := e.Series; s != nil {
		core.Series = &corev1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return core
}

func newEvent(e *corev1.Event) *eventsv1.Event {
	event := &eventsv1.Event{
		ObjectMeta: *e.ObjectMeta.DeepCopy(), Regarding: e.InvolvedObject, Reason: e.Reason, Note: e.Message, DeprecatedSource: e.Source,
		DeprecatedFirstTimestamp: e.FirstTimestamp, DeprecatedLastTimestamp: e.LastTimestamp, DeprecatedCount: e.Count, Type: e.Type,
		EventTime: e.EventTime, Action: e.Action, Related: e.Related, ReportingController: e.ReportingController,
		ReportingInstance: e.ReportingInstance,
	}
	if s := e.Series; s != nil {
		event.Series = &eventsv1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return event
}

// validateEventV1 is what this API asks for beyond the core's. The fields in its messages have the core's names.
func validateEventV1(e *eventsv1.Event) field.ErrorList {
	errs := validateEventSeries(e.Series)
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", e.Type)))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"firstTimestamp", !e.DeprecatedFirstTimestamp.IsZero()}, {"lastTimestamp", !e.DeprecatedLastTimestamp.IsZero()},
		{"count", e.DeprecatedCount != 0}, {"source", e.DeprecatedSource != corev1.EventSource{}},
	} {
		if f.set {
			errs = append(errs, field.Invalid(field.NewPath(f.name), "", "needs to be unset"))
		}
	}
	return errs
}

func validateEventSeries(s *eventsv1.EventSeries) (errs field.ErrorList) {
	if s == nil {
		return nil
	}
	if s.Count < 2 {
		errs = append(errs, field.Invalid(field.NewPath("series.count"), "", "should be at least 2"))
	}
	if s.LastObservedTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("series.lastObservedTime"), ""))
	}
	return errs
}

// validateEventV1Update: an event is a record, and only its series goes on.
func validateEventV1Update(e, old *eventsv1.Event) (errs field.ErrorList) {
	if s := e.Series; s != nil && (old.Series == nil || *s != *old.Series) {
		errs = validateEventSeries(s)
	}
	errs = append(errs, immutableInternal(e.Regarding, old.Regarding, field.NewPath("involvedObject"))...)
	for _, f := range []struct {
		name        string
		now, before any
	}{
		{"reason", e.Reason, old.Reason}, {"message", e.Note, old.Note},
		{"source", e.DeprecatedSource, old.DeprecatedSource}, {"firstTimestamp", e.DeprecatedFirstTimestamp, old.DeprecatedFirstTimestamp},
		{"lastTimestamp", e.DeprecatedLastTimestamp, old.DeprecatedLastTimestamp}, {"count", e.DeprecatedCount, old.DeprecatedCount},
		{"reason", e.Reason, old.Reason}, {"type", e.Type, old.Type}, {"eventTime", e.EventTime, old.EventTime},
		{"action", e.Action, old.Action},
	} {
		errs = append(errs, immutable(f.now, f.before, field.NewPath(f.name))...)
	}
	errs = append(errs, immutableInternal(e.Related, old.Related, field.NewPath("related"))...)
	for _, f := range []struct{ name, now, before string }{
		{"reportingController", e.ReportingController, old.ReportingController},
		{"reportingInstance", e.ReportingInstance, old.ReportingInstance},
	} {
		errs = append(errs, immutable(f.now, f.before, field.NewPath(f.name))...)
	}
	return errs
}
