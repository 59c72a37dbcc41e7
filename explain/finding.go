package explain

import (
	"fmt"
	"maps"
	"slices"
)

// How a finding weighs.
const (
	Problem = "problem" // it stays so until somebody changes something
	Waiting = "waiting" // somebody works on it, or waits for something
	Notice  = "note"    // nothing is wrong, but it is good to know
)

// Finding is one thing that a diagnosis found.
type Finding struct {
	Reason   string         `json:"reason"` // a key of the catalogue
	Severity string         `json:"severity"`
	About    Ref            `json:"about"`
	Also     []Ref          `json:"also,omitempty"` // other objects of which the same was found
	Args     map[string]any `json:"args,omitempty"`
	Text     string         `json:"text"` // the sentence, in the language asked for
	Try      []Advice       `json:"try,omitempty"`
	Tables   []Table        `json:"tables,omitempty"`
	Log      []string       `json:"log,omitempty"` // the last lines of a container's log
}

// Advice is something to try next.
type Advice struct {
	Key  string         `json:"key"`
	Args map[string]any `json:"args,omitempty"`
	Text string         `json:"text"`
}

// Table is facts side by side.
type Table struct {
	Key     string     `json:"key"`
	Title   string     `json:"title"`
	Columns []string   `json:"columns"` // keys of the catalogue; Heads are their words
	Heads   []string   `json:"heads"`
	Rows    [][]string `json:"rows"`
}

// arguments makes a map of keys and values by turns.
func arguments(pairs []any) map[string]any {
	args := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		args[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return args
}

// advise adds what a key of the catalogue says to try: key.try1, key.try2 and so on, and with a suffix for a case.
func (f *Finding) advise(key string, pairs ...any) {
	args := maps.Clone(f.Args)
	maps.Copy(args, arguments(pairs))
	for i := 1; ; i++ {
		each := fmt.Sprintf("%s.try%d", key, i)
		if _, known := Catalogue("en")[each]; !known {
			return
		}
		f.Try = append(f.Try, Advice{Key: each, Args: args})
	}
}

// table adds facts side by side.
func (f *Finding) table(key string, columns []string, rows [][]string) {
	if len(rows) > 0 {
		f.Tables = append(f.Tables, Table{Key: "table." + key, Columns: columns, Rows: rows})
	}
}

// Render puts findings into words. It changes them.
func Render(findings []Finding, language string) {
	for i := range findings {
		f := &findings[i]
		f.Text = Text(language, f.Reason, f.Args)
		for j := range f.Try {
			f.Try[j].Text = Text(language, f.Try[j].Key, f.Try[j].Args)
		}
		for j := range f.Tables {
			t := &f.Tables[j]
			t.Title = Text(language, t.Key, f.Args)
			t.Heads = make([]string, len(t.Columns))
			for k, column := range t.Columns {
				t.Heads[k] = Text(language, "column."+column, nil)
			}
		}
	}
}

// severities in the order in which they are told.
var severities = []string{Problem, Waiting, Notice}

// sorted puts problems first, and otherwise keeps the order.
func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
	return findings
}
