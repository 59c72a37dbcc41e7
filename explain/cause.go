package explain

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A step's cause is a sentence of its component's own, for example "pods/default/web-1 updated", "relist" or "retry of
// kubelet-worker-1/12": most often an object, and what happened to it. The catalogue has words for each such sentence, without
// the object; a hole in a key, as in "retry of {step}", stands for what only the running program knows.
const (
	causePrefix      = "cause."
	causeValuePrefix = "causevalue." // for what stands in a hole
)

// causeForm is a sentence with holes, as it is recognised.
type causeForm struct {
	key   string
	match *regexp.Regexp
	holes []string
}

var keyHole = regexp.MustCompile(`\{(\w+)\}`)

var causeForms = sync.OnceValue(func() []causeForm {
	var forms []causeForm
	for key := range Catalogue(Languages[0]) {
		phrase, ok := strings.CutPrefix(key, causePrefix)
		if !ok || !strings.Contains(phrase, "{") {
			continue
		}
		form := causeForm{key: key}
		for _, found := range keyHole.FindAllStringSubmatch(phrase, -1) {
			form.holes = append(form.holes, found[1])
		}
		// None of the marks in these sentences, except those of the holes, means anything in a regular expression.
		form.match = regexp.MustCompile("^" + keyHole.ReplaceAllString(phrase, "(.+?)") + "$")
		forms = append(forms, form)
	}
	slices.SortFunc(forms, func(a, b causeForm) int { return strings.Compare(a.key, b.key) })
	return forms
})

// CauseText puts a step's cause into the words of a language. One that has none is shown as it is.
func CauseText(language, cause string) string {
	if text, ok := causeWords(language, cause); ok {
		return text
	}
	if object, rest, ok := strings.Cut(cause, " "); ok && strings.Contains(object, "/") {
		if text, ok := causeWords(language, rest); ok {
			return object + " " + text
		}
	}
	return cause
}

func causeWords(language, phrase string) (string, bool) {
	texts := Catalogue(language)
	if text, ok := texts[causePrefix+phrase]; ok {
		return text, true
	}
	for _, form := range causeForms() {
		values := form.match.FindStringSubmatch(phrase)
		if values == nil {
			continue
		}
		args := map[string]any{}
		for i, name := range form.holes {
			args[name] = values[i+1]
			if text, ok := texts[causeValuePrefix+values[i+1]]; ok {
				args[name] = text
			}
		}
		return Text(language, form.key, args), true
	}
	return "", false
}
