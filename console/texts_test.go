package console_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	textKey = regexp.MustCompile(`(?m)(?:^\s*|, )(?:'([^']+)'|([a-zA-Z]\w*)): ['"]`)
	usedKey = regexp.MustCompile(`\bt\('([^']+)'[,)]`)
)

func texts(t *testing.T, language string) []string {
	t.Helper()
	data, err := os.ReadFile("web/js/lang/" + language + ".js")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, found := range textKey.FindAllStringSubmatch(string(data), -1) {
		keys = append(keys, found[1]+found[2])
	}
	slices.Sort(keys)
	return keys
}

func TestBothLanguagesHaveTheSameTexts(t *testing.T) {
	english := texts(t, "en")
	if len(english) < 150 {
		t.Fatalf("only %d texts were found", len(english))
	}
	if diff := cmp.Diff(english, texts(t, "fr")); diff != "" {
		t.Errorf("(-en +fr):\n%s", diff)
	}
	if same := slices.Compact(slices.Clone(english)); len(same) != len(english) {
		t.Error("a text is there twice")
	}
}

func TestEveryTextThatIsShownExists(t *testing.T) {
	known := texts(t, "en")
	each(t, func(name, text string) {
		for _, found := range usedKey.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, found[1]) {
				t.Errorf("%s shows %q, which no language has", name, found[1])
			}
		}
	})
}

// What must not be in the console's pages: other origins, and text that is parsed as a page.
func TestThePagesAreOfTheirOwn(t *testing.T) {
	other := regexp.MustCompile(`(?i)["'(](https?:)?//[a-z0-9]`)
	parsed := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	each(t, func(name, text string) {
		for _, line := range strings.Split(text, "\n") {
			if other.MatchString(line) && !strings.Contains(line, "'http://www.w3.org/2000/svg'") && !strings.Contains(line, `xmlns="http://www.w3.org/2000/svg"`) {
				t.Errorf("%s names another origin: %s", name, strings.TrimSpace(line))
			}
			if parsed.MatchString(line) {
				t.Errorf("%s parses text as a page: %s", name, strings.TrimSpace(line))
			}
		}
	})
}

var imported = regexp.MustCompile(`(?m)^(?:import|export) .*?from '(\.[^']+)'`)

// The console's budget: what a browser loads for a page that is opened by its address, not compressed; and everything there is,
// as it is sent.
func TestThePagesAreSmall(t *testing.T) {
	size, packed, modules := map[string]int{}, 0, 0
	imports := map[string][]string{}
	each(t, func(name, text string) {
		name = strings.TrimPrefix(name, "web/")
		size[name] = len(text)
		var sent bytes.Buffer
		writer := gzip.NewWriter(&sent)
		_, _ = writer.Write([]byte(text))
		_ = writer.Close()
		packed += sent.Len()
		if strings.HasSuffix(name, ".js") {
			modules++
		}
		for _, found := range imported.FindAllStringSubmatch(text, -1) {
			imports[name] = append(imports[name], path.Join(path.Dir(name), found[1]))
		}
	})
	pages, err := filepath.Glob("web/js/pages/*.js")
	if err != nil || len(pages) < 10 {
		t.Fatalf("only %d pages were found (%v)", len(pages), err)
	}
	for _, page := range pages {
		sum, seen := 0, map[string]bool{}
		var load func(name string)
		load = func(name string) {
			if seen[name] {
				return
			}
			if size[name] == 0 {
				t.Fatalf("%s is loaded, and is not there", name)
			}
			seen[name] = true
			sum += size[name]
			for _, next := range imports[name] {
				load(next)
			}
		}
		for _, name := range []string{"index.html", "icon.svg", "css/shell.css", "css/pages.css", "js/boot.js", "js/main.js", "js/lang/fr.js",
			filepath.ToSlash(strings.TrimPrefix(page, "web/"))} {
			load(name)
		}
		t.Logf("%s: %d bytes in %d files", page, sum, len(seen))
		if sum > 150_000 {
			t.Errorf("%s loads %d bytes: the budget is 150,000", page, sum)
		}
	}
	t.Logf("everything: %d bytes as sent, %d modules", packed, modules)
	if packed > 100_000 || modules > 28 {
		t.Error("the budget of all pages is 100,000 bytes as sent, and 28 modules")
	}
}

func each(t *testing.T, do func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir("web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err == nil {
			do(name, string(data))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
