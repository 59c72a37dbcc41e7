package kinds

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func event() *Kind {
	return Row[*corev1.Event]{
		Base: Kind{
			Version: "v1", Kind: "Event", Plural: "events", Singular: "event", ShortNames: []string{"ev"}, Namespaced: true, MetadataLast: true,
			AllowCreateOnUpdate: true, UnconditionalUpdate: true, SeldomRead: true,
			// Anything that fits into a path: clients make the names up from those of the objects.
			ValidateName: path.ValidatePathSegmentName, FieldNames: eventFieldNames,
		},
		New:            func() *corev1.Event { return &corev1.Event{} },
		NewList:        func() runtime.Object { return &corev1.EventList{} },
		Validate:       validateEvent,
		ValidateUpdate: func(e, _ *corev1.Event) field.ErrorList { return validateEvent(e) },
		Fields:         eventFields,
		Columns:        eventColumns(),
		Cells:          eventCells,
	}.Kind()
}

var eventFieldNames = []string{"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
	"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent",
	"source", "type"}

func eventFields(e *corev1.Event) fields.Set {
	source := e.Source.Component
	if source == "" {
		source = e.ReportingController
	}
	return fields.Set{
		"involvedObject.kind": e.InvolvedObject.Kind, "involvedObject.namespace": e.InvolvedObject.Namespace,
		"involvedObject.name": e.InvolvedObject.Name, "involvedObject.uid": string(e.InvolvedObject.UID),
		"involvedObject.apiVersion": e.InvolvedObject.APIVersion, "involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath": e.InvolvedObject.FieldPath, "reason": e.Reason, "reportingComponent": e.ReportingController,
		"source": source, "type": e.Type,
	}
}

// validateEvent: an event with an eventTime comes from the newer events API, and must say more.
func validateEvent(e *corev1.Event) (errs field.ErrorList) {
	mismatch := field.Invalid(field.NewPath("involvedObject", "namespace"), e.InvolvedObject.Namespace, "does not match event.namespace")
	namespace := e.InvolvedObject.Namespace
	if e.EventTime.IsZero() {
		// Events about cluster-scoped objects are in the default namespace.
		if namespace == "" && e.Namespace != "" && e.Namespace != metav1.NamespaceDefault || namespace != "" && namespace != e.Namespace {
			errs = append(errs, mismatch)
		}
	} else {
		if namespace == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
			errs = append(errs, mismatch)
		}
		errs = append(errs, validateNewEvent(e)...)
	}
	return append(errs, dnsSubdomain(e.Namespace, field.NewPath("namespace"))...)
}

func validateNewEvent(e *corev1.Event) (errs field.ErrorList) {
	controller := field.NewPath("reportingController")
	errs = append(errs, required(e.ReportingController, controller, "")...)
	errs = append(errs, qualifiedName(e.ReportingController, controller)...)
	short := func(name, value string) {
		const most = 128
		errs = append(errs, required(value, field.NewPath(name), "")...)
		errs = append(errs, noLonger(name, value, most)...)
	}
	short("reportingInstance", e.ReportingInstance)
	short("action", e.Action)
	short("reason", e.Reason)
	return append(errs, noLonger("message", e.Message, 1024)...)
}

func noLonger(name, value string, most int) field.ErrorList {
	if len(value) <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath(name), "", fmt.Sprintf("can have at most %v characters", most))}
}

func eventColumns() []metav1.TableColumnDefinition {
	docs := corev1.Event{}.SwaggerDoc()
	name := nameColumn()
	name.Priority = 1
	return []metav1.TableColumnDefinition{
		column("Last Seen", "string", docs["lastTimestamp"]),
		column("Type", "string", docs["type"]),
		column("Reason", "string", docs["reason"]),
		column("Object", "string", docs["involvedObject"]),
		wideColumn("Subobject", "string", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"]),
		wideColumn("Source", "string", docs["source"]),
		column("Message", "string", docs["message"]),
		wideColumn("First Seen", "string", docs["firstTimestamp"]),
		wideColumn("Count", "string", docs["count"]),
		name,
	}
}

func eventCells(e *corev1.Event) []any {
	first := age(e.FirstTimestamp)
	if e.FirstTimestamp.IsZero() {
		first = microAge(e.EventTime)
	}
	last := first
	if !e.LastTimestamp.IsZero() {
		last = age(e.LastTimestamp)
	}
	count := max(e.Count, 1)
	if e.Series != nil {
		last, count = microAge(e.Series.LastObservedTime), e.Series.Count
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, eventSource(e), strings.TrimSpace(e.Message), first,
		int64(count), e.Name}
}

func microAge(t metav1.MicroTime) string {
	return age(metav1.Time{Time: t.Time.Truncate(time.Microsecond)})
}

// eventSource is who reported an event, and from where.
func eventSource(e *corev1.Event) string {
	component, instance := e.Source.Component, e.Source.Host
	if component == "" {
		component = e.ReportingController
	}
	if instance == "" {
		instance = e.ReportingInstance
	}
	if instance == "" {
		return component
	}
	return component + ", " + instance
}
