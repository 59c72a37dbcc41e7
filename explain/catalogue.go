package explain

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"kubette/loop"
)

// Languages that there is a catalogue for. English is the default.
var Languages = []string{"en", "fr"}

//go:embed en.json fr.json
var catalogues embed.FS

// read parses a catalogue once. A catalogue that cannot be read is a mistake in the program.
var read = sync.OnceValue(func() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, language := range Languages {
		data, err := catalogues.ReadFile(language + ".json")
		if err == nil {
			texts := map[string]string{}
			if err = json.Unmarshal(data, &texts); err == nil {
				all[language] = texts
				continue
			}
		}
		panic(fmt.Sprintf("explain: the catalogue %s: %v", language, err))
	}
	return all
})

// Catalogue returns the texts of a language by key; the console shows them, too. The map is shared: do not change it.
func Catalogue(language string) map[string]string { return read()[Language(language)] }

// Language is the language that a --lang flag, an Accept-Language header or a LANG variable asks for: en or fr.
func Language(asked string) string {
	asked = strings.ToLower(strings.TrimSpace(asked))
	for _, language := range Languages {
		if rest, ok := strings.CutPrefix(asked, language); ok && (rest == "" || strings.ContainsAny(rest[:1], "-_.@,;")) {
			return language
		}
	}
	return Languages[0]
}

// Text puts a key and its arguments into words. In a text {name} stands for an argument, and {count:one|many} for a word
// that goes with a number. A key that is in no catalogue is shown itself.
func Text(language, key string, args map[string]any) string {
	text, ok := Catalogue(language)[key]
	if !ok {
		return key
	}
	var b strings.Builder
	for {
		before, rest, open := strings.Cut(text, "{")
		b.WriteString(before)
		if !open {
			return b.String()
		}
		hole, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("{" + rest)
			return b.String()
		}
		b.WriteString(fill(Language(language), hole, args))
		text = after
	}
}

// StepText puts what a component's step noted into words, if the catalogue has words for the reason.
func StepText(language string, note loop.Note) (string, bool) {
	key := "step." + note.Reason
	if _, ok := Catalogue(language)[key]; !ok {
		return "", false
	}
	return Text(language, key, note.Args.Map()), true
}

// fill is what stands in the place of one hole.
func fill(language, hole string, args map[string]any) string {
	name, forms, plural := strings.Cut(hole, ":")
	value, ok := args[name]
	switch {
	case !ok:
		return "?"
	case !plural:
		return show(value)
	}
	one, many, _ := strings.Cut(forms, "|")
	number := fmt.Sprint(value)
	if number == "1" || number == "0" && language == "fr" { // in French nothing is singular
		return one
	}
	return many
}

func show(value any) string {
	switch v := value.(type) {
	case nil: // an empty list, sent as JSON
		return "–"
	case []string:
		return strings.Join(v, ", ")
	case []any:
		texts := make([]string, len(v))
		for i, element := range v {
			texts[i] = fmt.Sprint(element)
		}
		return strings.Join(texts, ", ")
	}
	return fmt.Sprint(value)
}
