package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kubette/loop"
)

// saying is a call that notes a reason in a step: where, and with which arguments.
type saying struct {
	where  string
	reason string
	args   []string
}

// reasonsSaid finds in the program's own code every call of loop.Say, and of the loop's say.
func reasonsSaid(t *testing.T) []saying {
	t.Helper()
	var found []saying
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if first, ok := sayArgs(call, parsed.Name.Name); ok {
					found = append(found, readSaid(t, files.Position(call.Pos()).String(), call.Args[first:]))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sayArgs is where a call's reason stands among its arguments, if it is one that notes something.
func sayArgs(call *ast.CallExpr, in string) (int, bool) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return 0, false
	}
	of, ok := selector.X.(*ast.Ident)
	switch {
	case ok && of.Name == "loop" && selector.Sel.Name == "Say":
		return 1, true
	case ok && in == "loop" && of.Name == "record" && selector.Sel.Name == "say":
		return 0, call.Ellipsis == token.NoPos
	}
	return 0, false
}

func readSaid(t *testing.T, where string, args []ast.Expr) saying {
	t.Helper()
	literal := func(expression ast.Expr) string {
		if basic, ok := expression.(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(basic.Value); err == nil {
				return text
			}
		}
		t.Errorf("%s: a reason and the names of its arguments must be written out, so that they can be put into words", where)
		return ""
	}
	s := saying{where: where, reason: literal(args[0])}
	for i := 1; i < len(args); i += 2 {
		s.args = append(s.args, literal(args[i]))
	}
	return s
}

// Whatever a component says in a step has words in both languages, and the words use only what is said with it: also when
// several components give the same reason.
func TestEveryStepIsInWords(t *testing.T) {
	all, used := reasonsSaid(t), map[string]bool{}
	for _, s := range all {
		used["step."+s.reason] = true
		for _, language := range Languages {
			text, ok := Catalogue(language)["step."+s.reason]
			if !ok {
				t.Errorf("%s: %s.json has no words for step.%s", s.where, language, s.reason)
			}
			for _, name := range holes(text) {
				if !slices.Contains(s.args, name) {
					t.Errorf("%s: in %s the words for %s want {%s}, which is not said here", s.where, language, s.reason, name)
				}
			}
		}
	}
	if len(all) < 150 {
		t.Errorf("only %d were found: has the code's form changed?", len(all))
	}
	for key := range Catalogue("en") {
		if strings.HasPrefix(key, "step.") && !used[key] {
			t.Errorf("nobody says %s any more", key)
		}
	}
}

func TestStepText(t *testing.T) {
	note := loop.Note{Reason: "TooFewPods", Args: loop.Args{"create", 2}}
	if text, ok := StepText("fr", note); !ok || text != "trop peu de pods : en crée 2" {
		t.Errorf("%q, %v", text, ok)
	}
	if text, ok := StepText("en", loop.Note{Reason: "NoSuchReason"}); ok {
		t.Errorf("a reason that has no words is put into the words %q", text)
	}
}
