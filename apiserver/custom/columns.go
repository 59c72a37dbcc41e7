package custom

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/util/jsonpath"

	"kubette/apiserver/kinds"
)

// ageOnly is what a definition without columns prints beside the name.
var ageOnly = []apiextensionsv1.CustomResourceColumnDefinition{{
	Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
}}

// table returns what `kubectl get` prints: the name, and a cell for each JSON path that the definition names.
func (v *version) table() ([]metav1.TableColumnDefinition, func(kinds.Object) []any, error) {
	defined := v.columns
	if len(defined) == 0 {
		defined = ageOnly
	}
	columns := []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	}
	var paths []*jsonpath.JSONPath
	for _, c := range defined {
		path, err := parsePath(c.JSONPath)
		if err != nil {
			return nil, nil, fmt.Errorf("unrecognized column definition %q: %w", c.JSONPath, err)
		}
		description := c.Description
		if description == "" {
			description = "Custom resource definition column (in JSONPath format): " + c.JSONPath
		}
		paths = append(paths, path)
		columns = append(columns, metav1.TableColumnDefinition{
			Name: c.Name, Type: c.Type, Format: c.Format, Description: description, Priority: c.Priority,
		})
	}
	return columns, func(object kinds.Object) []any {
		cells := []any{object.GetName()}
		for i, path := range paths {
			cells = append(cells, cell(path, columns[i+1].Type, content(object)))
		}
		return cells
	}, nil
}

func parsePath(path string) (*jsonpath.JSONPath, error) {
	parsed := jsonpath.New("path")
	parsed.AllowMissingKeys(true)
	return parsed, parsed.Parse("{" + path + "}")
}

// find returns the first value that a path leads to.
func find(path *jsonpath.JSONPath, object map[string]any) (reflect.Value, bool) {
	results, err := path.FindResults(object)
	if err != nil || len(results) == 0 || len(results[0]) == 0 {
		return reflect.Value{}, false
	}
	return results[0][0], true
}

// cell reads a value for a column of a type; nil is an empty cell.
func cell(path *jsonpath.JSONPath, typ string, object map[string]any) any {
	found, ok := find(path, object)
	if !ok || !found.CanInterface() {
		return nil
	}
	value := found.Interface()
	if typ == "string" {
		var text bytes.Buffer
		if err := path.PrintResults(&text, []reflect.Value{reflect.ValueOf(value)}); err != nil {
			return nil
		}
		return text.String()
	}
	switch v := value.(type) {
	case int64:
		if typ == "number" {
			return float64(v)
		}
		if typ == "integer" {
			return v
		}
	case float64:
		if typ == "integer" {
			return int64(v)
		}
		if typ == "number" {
			return v
		}
	case bool:
		if typ == "boolean" {
			return v
		}
	case string:
		if typ == "date" {
			return dateCell(v)
		}
	}
	return nil
}

// dateCell writes how long ago something was, as kubectl does.
func dateCell(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return "<invalid>"
	case t.IsZero():
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}

// fields are the field selectors that the definition allows beyond name and namespace.
func (v *version) fields() (func(kinds.Object) fields.Set, []string, error) {
	paths := map[string]*jsonpath.JSONPath{}
	var names []string
	for _, f := range v.selectable {
		path, err := parsePath(f.JSONPath)
		if err != nil {
			return nil, nil, fmt.Errorf("selectable field %q: %w", f.JSONPath, err)
		}
		name := strings.TrimPrefix(f.JSONPath, ".")
		names, paths[name] = append(names, name), path
	}
	return func(object kinds.Object) fields.Set {
		set := fields.Set{}
		for name, path := range paths {
			set[name] = ""
			if value, ok := find(path, content(object)); ok && value.CanInterface() && value.Interface() != nil {
				set[name] = fmt.Sprint(value.Interface())
			}
		}
		return set
	}, names, nil
}
