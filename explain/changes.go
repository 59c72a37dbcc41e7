package explain

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"kubette/client"
)

// Change is one field that differs between two states of an object. A missing value is nil.
type Change struct {
	Path string `json:"path"` // spec.template.spec.containers[web].image
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// Changes compares two states of an object field by field; either may be nil. What the API server keeps for itself
// (resourceVersion, managedFields) is left out, and the values of secrets are not shown.
func Changes(before, after client.Object) ([]Change, error) {
	old, err := content(before)
	if err != nil {
		return nil, err
	}
	now, err := content(after)
	if err != nil {
		return nil, err
	}
	var changes []Change
	compare("", old, now, &changes)
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(rank(a.Path), rank(b.Path)) })
	return changes, nil
}

// rank puts what a user wants before what is reported of it.
func rank(path string) int {
	first, _, _ := strings.Cut(path, ".")
	switch first {
	case "metadata":
		return 2
	case "status":
		return 1
	}
	return 0
}

// content is an object as nested maps.
func content(object client.Object) (map[string]any, error) {
	if object == nil {
		return map[string]any{}, nil
	}
	var fields map[string]any
	if u, ok := object.(*unstructured.Unstructured); ok {
		fields = u.DeepCopy().Object
	} else {
		var err error
		if fields, err = runtime.DefaultUnstructuredConverter.ToUnstructured(object); err != nil {
			return nil, fmt.Errorf("compare %s: %w", object.GetName(), err)
		}
	}
	delete(fields, "kind")
	delete(fields, "apiVersion")
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
		delete(metadata, "resourceVersion")
	}
	if secret, ok := object.(*corev1.Secret); ok {
		fields["data"] = hidden(secret.Data)
		delete(fields, "stringData")
		if metadata, ok := fields["metadata"].(map[string]any); ok {
			if annotations, ok := metadata["annotations"].(map[string]any); ok { // kubectl keeps a copy of the values there
				delete(annotations, corev1.LastAppliedConfigAnnotation)
				if len(annotations) == 0 {
					delete(metadata, "annotations")
				}
			}
		}
	}
	return fields, nil
}

// hidden stands for a secret's values: that they differ can be seen, what they are cannot.
func hidden(data map[string][]byte) map[string]any {
	shown := map[string]any{}
	for key, value := range data {
		shown[key] = secretValue(value)
	}
	return shown
}

type secretValue string

// String tells no more than the length.
func (v secretValue) String() string { return fmt.Sprintf("(%d bytes)", len(v)) }

// MarshalJSON tells no more than the length.
func (v secretValue) MarshalJSON() ([]byte, error) { return []byte(`"` + v.String() + `"`), nil }

func compare(path string, old, now any, changes *[]Change) {
	if reflect.DeepEqual(old, now) {
		return
	}
	oldMap, oldIs := old.(map[string]any)
	nowMap, nowIs := now.(map[string]any)
	if (oldIs || old == nil) && (nowIs || now == nil) && (oldIs || nowIs) {
		compareMaps(path, oldMap, nowMap, changes)
		return
	}
	oldList, oldIs := old.([]any)
	nowList, nowIs := now.([]any)
	if (oldIs || old == nil) && (nowIs || now == nil) && (oldIs || nowIs) {
		if key := listKey(oldList, nowList); key != "" {
			compareLists(path, key, oldList, nowList, changes)
			return
		}
	}
	*changes = append(*changes, Change{Path: path, Old: old, New: now})
}

func compareMaps(path string, old, now map[string]any, changes *[]Change) {
	all := map[string]bool{}
	for key := range old {
		all[key] = true
	}
	for key := range now {
		all[key] = true
	}
	if len(all) == 0 { // an empty map came or went, as that of an emptyDir
		*changes = append(*changes, Change{Path: path, Old: whole(old), New: whole(now)})
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		step := key
		if strings.ContainsAny(key, "./") {
			step = "[" + key + "]"
		} else if path != "" {
			step = "." + key
		}
		compare(path+step, old[key], now[key], changes)
	}
}

func whole(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// listKeys are what the elements of Kubernetes' lists are told apart by.
var listKeys = []string{"name", "type", "ip", "uid", "key"}

// listKey is the field that names every element of both lists, once each; "" when there is none.
func listKey(lists ...[]any) string {
	for _, key := range listKeys {
		if slices.ContainsFunc(lists, func(list []any) bool { return !namedBy(key, list) }) {
			continue
		}
		return key
	}
	return ""
}

func namedBy(key string, list []any) bool {
	seen := map[string]bool{}
	for _, element := range list {
		fields, ok := element.(map[string]any)
		if !ok {
			return false
		}
		name, ok := fields[key].(string)
		if !ok || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

func compareLists(path, key string, old, now []any, changes *[]Change) {
	var names []string
	index := func(list []any) map[string]any {
		by := map[string]any{}
		for _, element := range list {
			name := element.(map[string]any)[key].(string)
			if by[name] = element; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return by
	}
	before, after := index(old), index(now)
	for _, name := range names {
		at := path + "[" + name + "]"
		if before[name] == nil || after[name] == nil { // it came or went as a whole
			*changes = append(*changes, Change{Path: at, Old: before[name], New: after[name]})
			continue
		}
		compare(at, before[name], after[name], changes)
	}
}
