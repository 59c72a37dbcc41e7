package explain

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func metav1Time(t time.Time) metav1.Time { return metav1.NewTime(t) }

var hole = regexp.MustCompile(`\{([a-zA-Z]+)(:[^}]*)?\}`)

// holes are the arguments that a text takes.
func holes(text string) []string {
	seen := map[string]bool{}
	for _, found := range hole.FindAllStringSubmatch(text, -1) {
		seen[found[1]] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func TestCataloguesHaveTheSameKeys(t *testing.T) {
	english := Catalogue("en")
	for _, language := range Languages[1:] {
		other := Catalogue(language)
		if difference := cmp.Diff(slices.Sorted(maps.Keys(english)), slices.Sorted(maps.Keys(other))); difference != "" {
			t.Errorf("en and %s differ:\n%s", language, difference)
		}
		for key, text := range english {
			if difference := cmp.Diff(holes(text), holes(other[key])); difference != "" {
				t.Errorf("%s takes other arguments in %s:\n%s", key, language, difference)
			}
		}
	}
}

// Every reason that the code gives is in the catalogue.
func TestEveryReasonIsInWords(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reason := regexp.MustCompile(`d\.add\((?:Problem|Waiting|Notice), "(\w+)"|"(row\.\w+)"`)
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range reason.FindAllStringSubmatch(string(data), -1) {
			count++
			if _, ok := Catalogue("en")[found[1]+found[2]]; !ok {
				t.Errorf("%s: %s is not in the catalogue", file, found[1]+found[2])
			}
		}
	}
	for _, each := range refusals {
		if _, ok := Catalogue("en")[each.reason]; !ok {
			t.Errorf("%s is not in the catalogue", each.reason)
		}
	}
	if count < 60 {
		t.Errorf("only %d reasons were found: has the code's form changed?", count)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		language, key string
		args          map[string]any
		want          string
	}{
		{"en", "row.endpoints", map[string]any{"ready": 0, "present": 1}, "0 of 1 endpoint ready"},
		{"en", "row.endpoints", map[string]any{"ready": 1, "present": 2}, "1 of 2 endpoints ready"},
		{"fr", "row.endpoints", map[string]any{"ready": 0, "present": 3}, "0 point d'accès prêt sur 3"},
		{"en", "word.by", nil, "by ?"},
		{"en", "no.such.key", nil, "no.such.key"},
	} {
		if got := Text(c.language, c.key, c.args); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.key, c.language, got, c.want)
		}
	}
}

func TestLanguage(t *testing.T) {
	for asked, want := range map[string]string{"": "en", "C": "en", "fr": "fr", "fr_FR.UTF-8": "fr", "FR-be,en;q=0.5": "fr", "de_DE": "en", "free": "en", "en_GB": "en"} {
		if got := Language(asked); got != want {
			t.Errorf("%q is %s, want %s", asked, got, want)
		}
	}
}
