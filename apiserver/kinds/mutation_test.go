package kinds

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	kjson "sigs.k8s.io/json"
)

// Whatever a user leaves out, empties or overdoes, a row must come to an answer. Each recorded object that was taken is tried
// with every one of its values replaced.
func TestRowsAnswerAnything(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	tried := map[string]bool{}
	for _, file := range files {
		for _, c := range readGolden[[]goldenCase](t, file) {
			if row := rowOf(c.Path); row != nil && c.Code != http.StatusUnprocessableEntity {
				for place, body := range mutations(c.Body) {
					if !tried[c.Path+place] { // the same place in another case is no news
						tried[c.Path+place] = true
						try(t, row, c.Body, body())
					}
				}
			}
		}
	}
	for _, row := range All() {
		try(t, row, map[string]any{}, "{}")
		try(t, row, map[string]any{}, `{"spec":{},"status":{}}`)
	}
}

// mutations yields what makes the JSON of an object with one value replaced, and a name for the place and the replacement.
func mutations(object map[string]any) iter.Seq2[string, func() string] {
	replacements := []any{nil, "", "x", "-1", 0.0, -1.0, 3e9, true, []any{}, []any{nil}, []any{map[string]any{}}, map[string]any{}}
	return func(yield func(string, func() string) bool) {
		data, _ := json.Marshal(object)
		for _, path := range pathsOf(object, nil) {
			for i, replacement := range replacements {
				mutate := func() string {
					var mutant map[string]any
					_ = json.Unmarshal(data, &mutant)
					put(mutant, path, replacement)
					text, _ := json.Marshal(mutant)
					return string(text)
				}
				if !yield(fmt.Sprint(path, i), mutate) {
					return
				}
			}
		}
	}
}

func pathsOf(value any, at []string) (paths [][]string) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			here := append(slices.Clone(at), key)
			paths = append(append(paths, here), pathsOf(v[key], here)...)
		}
	case []any:
		for i := range v {
			here := append(slices.Clone(at), fmt.Sprint(i))
			paths = append(append(paths, here), pathsOf(v[i], here)...)
		}
	}
	return paths
}

// try sends an object through all functions of a row; the original stands in for the stored one.
func try(t *testing.T, row *Kind, original map[string]any, body string) {
	t.Helper()
	defer func() {
		if problem := recover(); problem != nil {
			t.Errorf("%s: panic: %v\n%s\n%s", row.Kind, problem, body, debug.Stack())
		}
	}()
	read := func(data []byte) (Object, bool) {
		object := row.New()
		if _, err := kjson.UnmarshalStrict(data, object); err != nil {
			return nil, false
		}
		if row.Default != nil {
			row.Default(object)
		}
		return object, true
	}
	data, _ := json.Marshal(original)
	old, ok := read(data)
	if !ok {
		return
	}
	if row.PrepareForCreate != nil {
		row.PrepareForCreate(old)
	}
	for _, update := range []bool{false, true} {
		if object, ok := read([]byte(body)); ok {
			tryCreate(t, row, object, old, update)
		}
	}
	if object, ok := read([]byte(body)); ok && row.Status != nil {
		if row.Status.Prepare != nil {
			row.Status.Prepare(object, old)
		}
		if row.Status.Validate != nil {
			row.Status.Validate(object, old)
		}
	}
}

func tryCreate(t *testing.T, row *Kind, object, old Object, update bool) {
	t.Helper()
	before := old
	switch {
	case !update:
		before = nil
		if row.PrepareForCreate != nil {
			row.PrepareForCreate(object)
		}
		if row.Validate != nil {
			row.Validate(object)
		}
	default:
		if row.PrepareForUpdate != nil {
			row.PrepareForUpdate(object, old)
		}
		if row.ValidateUpdate != nil {
			row.ValidateUpdate(object, old)
		}
	}
	if row.Warnings != nil {
		row.Warnings(object, before)
	}
	if row.Allocate != nil {
		_, _ = row.Allocate(t.Context(), newFakeCluster(), object, before)
	}
	if row.Cells != nil {
		row.Cells(object)
	}
	if row.Fields != nil {
		row.Fields(object)
	}
	if row.ToStorage != nil {
		stored, err := row.ToStorage(object)
		if err == nil {
			_, _ = row.FromStorage(stored)
		}
	}
	if row.Scale != nil {
		row.Scale.Get(object)
		row.Scale.Set(object, 3)
	}
}
