package apiserver

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/apiserver/kinds"
)

// A Table is what `kubectl get` prints: the columns and cells that the kind's row gives, so that kubectl need not know
// the kind. With each row comes the object's metadata, the whole object, or nothing, as the client's includeObject says.

// defaultColumns are those of a kind whose row names none.
var defaultColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]},
}

// shaped brings an answer into the shape that the client accepts. A Status stays what it is.
func (h *handler) shaped(r *http.Request, object runtime.Object, want shape) (runtime.Object, error) {
	if _, ok := object.(*metav1.Status); ok || want == asItself {
		return named(object)
	}
	include, err := includeOf(r)
	if err != nil {
		return nil, err
	}
	switch want {
	case asTable:
		return h.table(object, include, true)
	default:
		return partial(object)
	}
}

// includeOf reads the includeObject parameter.
func includeOf(r *http.Request) (metav1.IncludeObjectPolicy, error) {
	switch include := metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject")); include {
	case "":
		return metav1.IncludeMetadata, nil
	case metav1.IncludeMetadata, metav1.IncludeNone, metav1.IncludeObject:
		return include, nil
	default:
		return "", apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: includeObject: "+
			"Invalid value: %q: must be 'Metadata', 'Object', 'None', or empty", include))
	}
}

// table makes the table of one object or of a list. The headers are left out of all but the first table of a watch.
func (h *handler) table(object runtime.Object, include metav1.IncludeObjectPolicy, headers bool) (*metav1.Table, error) {
	res := h.server.resourceOf(object)
	table := &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: metav1.SchemeGroupVersion.String()}, Rows: []metav1.TableRow{}}
	if headers {
		table.ColumnDefinitions = columnsOf(res)
	}
	if list, err := meta.ListAccessor(object); err == nil {
		table.ResourceVersion, table.Continue, table.RemainingItemCount = list.GetResourceVersion(), list.GetContinue(), list.GetRemainingItemCount()
	} else if single, err := meta.Accessor(object); err == nil {
		table.ResourceVersion = single.GetResourceVersion()
	}
	if !meta.IsListType(object) {
		row, err := rowOf(res, object, include)
		if err != nil {
			return nil, err
		}
		table.Rows = append(table.Rows, row)
		return table, nil
	}
	err := meta.EachListItem(object, func(item runtime.Object) error {
		row, err := rowOf(res, item, include)
		table.Rows = append(table.Rows, row)
		return err
	})
	return table, err
}

// resourceOf finds the row of an object or a list by its kind; nil when there is none, as for a Scale.
func (s *Server) resourceOf(object runtime.Object) *resource {
	object, err := named(object)
	if err != nil {
		return nil
	}
	kind := object.GetObjectKind().GroupVersionKind()
	known := s.registry.Load().byKind
	if res, ok := known[kind]; ok {
		return res
	}
	if n := len(kind.Kind) - len("List"); n > 0 && kind.Kind[n:] == "List" {
		return known[schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind[:n]}]
	}
	return nil
}

func columnsOf(res *resource) []metav1.TableColumnDefinition {
	if res == nil || len(res.Columns) == 0 {
		return defaultColumns
	}
	return res.Columns
}

func rowOf(res *resource, object runtime.Object, include metav1.IncludeObjectPolicy) (metav1.TableRow, error) {
	typed, ok := object.(kinds.Object)
	if !ok {
		return metav1.TableRow{}, fmt.Errorf("a table cannot show a %T", object)
	}
	row := metav1.TableRow{}
	if res != nil && res.Cells != nil {
		row.Cells = res.Cells(typed)
	} else {
		row.Cells = []any{typed.GetName(), typed.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	switch include {
	case metav1.IncludeObject:
		whole, err := named(object)
		if err != nil {
			return row, err
		}
		row.Object.Object = whole
	case metav1.IncludeMetadata:
		row.Object.Object = partialOf(typed)
	}
	return row, nil
}

// partialOf is an object's metadata alone.
func partialOf(object metav1.Object) *metav1.PartialObjectMetadata {
	partial := meta.AsPartialObjectMetadata(object)
	partial.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"))
	return partial
}

// partial reduces an object or a list to metadata.
func partial(object runtime.Object) (runtime.Object, error) {
	if !meta.IsListType(object) {
		single, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		return partialOf(single), nil
	}
	list := &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{}}
	list.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadataList"))
	if from, err := meta.ListAccessor(object); err == nil {
		list.ResourceVersion, list.Continue, list.RemainingItemCount = from.GetResourceVersion(), from.GetContinue(), from.GetRemainingItemCount()
	}
	err := meta.EachListItem(object, func(item runtime.Object) error {
		single, err := meta.Accessor(item)
		if err == nil {
			list.Items = append(list.Items, *partialOf(single))
		}
		return err
	})
	return list, err
}
