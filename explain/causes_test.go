package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unknown stands in a cause for what only the running program knows: a name, a number.
const unknown = "\x00"

// causeReader finds in the program's own code every cause that a step can have. It begins where causes are used, at the loops'
// Add and AddAfter, loop.Step and controllers.Cause, and goes back from there: through variables, parameters and their
// callers, to what is written out.
type causeReader struct {
	t     *testing.T
	files *token.FileSet
	in    map[string][]*ast.File // by package: its folder
	found map[string]string      // where, by cause
	known map[string][]string    // what callers hand to a parameter; what is assigned to a field
}

func readCauses(t *testing.T) map[string]string {
	t.Helper()
	r := &causeReader{t: t, files: token.NewFileSet(), in: map[string][]*ast.File{}, found: map[string]string{}, known: map[string][]string{}}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(r.files, path, nil, 0)
		if err == nil {
			folder := filepath.Dir(path)
			r.in[folder] = append(r.in[folder], parsed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range r.in {
		r.calls(folder, func(call *ast.CallExpr, around []ast.Node) {
			if at := causeIn(call, filepath.Base(folder)); at >= 0 {
				r.note(folder, call.Args[at], around)
			}
		})
	}
	return r.found
}

// causeIn is where a call has a cause among its arguments; -1 when it has none.
func causeIn(call *ast.CallExpr, folder string) int {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if f.Name == "Cause" && folder == "controllers" {
			return 2
		}
	case *ast.SelectorExpr:
		of, _ := f.X.(*ast.Ident)
		owner, _ := f.X.(*ast.SelectorExpr)
		switch {
		case f.Sel.Name == "Cause" && of != nil && of.Name == "controllers":
			return 2
		case f.Sel.Name == "Step" && of != nil && of.Name == "loop":
			return 4
		case (f.Sel.Name == "Add" || f.Sel.Name == "AddAfter") && owner != nil && owner.Sel.Name == "loop",
			(f.Sel.Name == "note" || f.Sel.Name == "noteFirst") && folder == "loop":
			return len(call.Args) - 1
		}
	}
	return -1
}

// calls hands on every call in a package, with what is around it, the outermost first.
func (r *causeReader) calls(folder string, each func(call *ast.CallExpr, around []ast.Node)) {
	for _, file := range r.in[folder] {
		var around []ast.Node
		ast.Inspect(file, func(node ast.Node) bool {
			if node == nil {
				around = around[:len(around)-1]
				return true
			}
			if call, ok := node.(*ast.CallExpr); ok {
				each(call, around)
			}
			around = append(around, node)
			return true
		})
	}
}

func (r *causeReader) note(folder string, cause ast.Expr, around []ast.Node) {
	for _, text := range r.texts(folder, cause, around) {
		r.found[text] = r.files.Position(cause.Pos()).String()
	}
}

// texts are what an expression may be; none for what is noted elsewhere.
func (r *causeReader) texts(folder string, from ast.Expr, around []ast.Node) []string {
	switch e := from.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return []string{text}
		}
	case *ast.BinaryExpr:
		var all []string
		for _, left := range r.texts(folder, e.X, around) {
			for _, right := range r.texts(folder, e.Y, around) {
				all = append(all, left+right)
			}
		}
		return all
	case *ast.CallExpr:
		if causeIn(e, filepath.Base(folder)) >= 0 {
			return nil
		}
		switch f, ok := e.Fun.(*ast.SelectorExpr); {
		case ok && f.Sel.Name == "Sprintf":
			return r.formatted(folder, e.Args, around)
		case ok && f.Sel.Name == "String" && filepath.Base(folder) == "scheduler":
			return r.clusterEvents()
		}
	case *ast.IndexExpr: // the loop's own map of causes
		return nil
	case *ast.Ident:
		if texts, ok := r.variable(folder, e.Name, around); ok {
			return texts
		}
	case *ast.SelectorExpr:
		if e.Sel.Name == "cause" {
			return r.field(folder, e.Sel.Name)
		}
	}
	return []string{unknown}
}

// clusterEvents are what the scheduler's pods wait for, as framework.Event names them: all constants of its kinds.
func (r *causeReader) clusterEvents() (texts []string) {
	for _, file := range r.in[filepath.Join("..", "scheduler", "framework")] {
		ast.Inspect(file, func(node ast.Node) bool {
			if constant, ok := node.(*ast.ValueSpec); ok {
				if kind, ok := constant.Type.(*ast.Ident); ok && kind.Name == "EventKind" {
					for _, value := range constant.Values {
						for _, text := range r.texts("", value, nil) {
							texts = append(texts, unknown+" "+text)
						}
					}
				}
			}
			return true
		})
	}
	if len(texts) < 10 {
		r.t.Errorf("only %d kinds of the scheduler's events were found: has the code's form changed?", len(texts))
	}
	return texts
}

var verb = regexp.MustCompile(`%[a-z]`)

func (r *causeReader) formatted(folder string, args []ast.Expr, around []ast.Node) []string {
	all := r.texts(folder, args[0], around)
	for _, arg := range args[1:] {
		var filled []string
		for _, text := range all {
			at := verb.FindStringIndex(text)
			for _, value := range r.texts(folder, arg, around) {
				filled = append(filled, text[:at[0]]+value+text[at[1]:])
			}
		}
		all = filled
	}
	return all
}

// variable finds what is assigned to a name around its use, or the arguments for the parameter that it is.
func (r *causeReader) variable(folder, name string, around []ast.Node) (texts []string, ok bool) {
	for i := len(around) - 1; i >= 0; i-- {
		var parameters *ast.FieldList
		var body *ast.BlockStmt
		called := ""
		switch f := around[i].(type) {
		case *ast.FuncDecl:
			parameters, body, called = f.Type.Params, f.Body, f.Name.Name
		case *ast.FuncLit:
			parameters, body, called = f.Type.Params, f.Body, nameOf(f, around[:i])
		default:
			continue
		}
		ast.Inspect(body, func(node ast.Node) bool {
			if assigned, is := node.(*ast.AssignStmt); is && len(assigned.Lhs) == len(assigned.Rhs) {
				for at, left := range assigned.Lhs {
					if variable, is := left.(*ast.Ident); is && variable.Name == name {
						texts, ok = append(texts, r.texts(folder, assigned.Rhs[at], around[:i+1])...), true
					}
				}
			}
			return true
		})
		if at := placeOf(parameters, name); at >= 0 {
			return append(texts, r.handed(folder, called, name, at, r.files.Position(around[i].Pos()).String())...), true
		}
		if ok {
			return texts, true
		}
	}
	return nil, false
}

// nameOf is the variable that a function is assigned to, "" for one that is handed on at once.
func nameOf(f *ast.FuncLit, around []ast.Node) string {
	if assigned, ok := around[len(around)-1].(*ast.AssignStmt); ok && len(assigned.Rhs) == 1 && assigned.Rhs[0] == f {
		if name, ok := assigned.Lhs[0].(*ast.Ident); ok {
			return name.Name
		}
	}
	return ""
}

func placeOf(parameters *ast.FieldList, name string) int {
	at := 0
	for _, field := range parameters.List {
		for _, parameter := range field.Names {
			if parameter.Name == name {
				return at
			}
			at++
		}
	}
	return -1
}

// handed are the arguments with which a package calls one of its functions. One that nobody there calls is handed on as a
// value: what calls it then gives it a whole cause, which is noted where it is made.
func (r *causeReader) handed(folder, called, parameter string, at int, where string) []string {
	key := folder + " " + called + " " + strconv.Itoa(at)
	if known, ok := r.known[key]; ok {
		return known
	}
	r.known[key] = nil
	var texts []string
	count := 0
	r.calls(folder, func(call *ast.CallExpr, around []ast.Node) {
		name := ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if name == called && at < len(call.Args) {
			count++
			texts = append(texts, r.texts(folder, call.Args[at], around)...)
		}
	})
	if count == 0 && parameter != "cause" {
		r.t.Errorf("%s: nobody is found who calls this: what is a cause must be written out where it comes from", where)
	}
	r.known[key] = texts
	return texts
}

// field is what is assigned to a field of that name in the package.
func (r *causeReader) field(folder, name string) (texts []string) {
	key := folder + " ." + name
	if known, ok := r.known[key]; ok {
		return known
	}
	r.known[key] = nil
	for _, file := range r.in[folder] {
		for _, declared := range file.Decls {
			ast.Inspect(declared, func(node ast.Node) bool {
				if assigned, ok := node.(*ast.AssignStmt); ok && len(assigned.Lhs) == len(assigned.Rhs) {
					for at := range assigned.Lhs {
						if left, ok := assigned.Lhs[at].(*ast.SelectorExpr); ok && left.Sel.Name == name {
							texts = append(texts, r.texts(folder, assigned.Rhs[at], []ast.Node{declared})...)
						}
					}
				}
				return true
			})
		}
	}
	r.known[key] = texts
	return texts
}

// Whatever leads to a step has words in both languages.
func TestEveryCauseIsInWords(t *testing.T) {
	all, used := readCauses(t), map[string]bool{}
	keys := map[string]string{} // by the form of a cause; TestCataloguesHaveTheSameKeys looks at the other languages
	for key := range Catalogue("en") {
		if phrase, ok := strings.CutPrefix(key, causePrefix); ok {
			keys[hole.ReplaceAllString(phrase, unknown)] = key
		}
	}
	for cause, where := range all {
		first, rest, _ := strings.Cut(cause, " ")
		key, ok := keys[cause]
		if !ok && strings.ContainsAny(first, "/"+unknown) {
			key, ok = keys[rest]
		}
		if !ok {
			t.Errorf("%s: no words for the cause %q", where, strings.ReplaceAll(cause, unknown, "…"))
		}
		used[key] = true
	}
	if len(all) < 40 {
		t.Errorf("only %d were found: has the code's form changed?", len(all))
	}
	for _, key := range keys {
		if !used[key] {
			t.Errorf("nothing is caused by %q any more", key)
		}
	}
}

func TestCauseText(t *testing.T) {
	for _, c := range []struct{ language, cause, want string }{
		{"en", "pods/default/web-1 updated", "pods/default/web-1 updated"},
		{"fr", "pods/default/web-1 updated", "pods/default/web-1 mis à jour"},
		{"fr", "relist", "le moteur de conteneurs a été parcouru"},
		{"fr", "nodes/worker-1 has other taints", "nodes/worker-1 a d’autres taints"},
		{"en", "nodes/worker-1 NodeAdded", "nodes/worker-1 node added"},
		{"fr", "container died", "conteneur terminé"},
		{"fr", "retry of kubelet-worker-1/12", "nouvel essai de kubelet-worker-1/12"},
		{"fr", "readiness probe of container web: failed", "sonde readiness du conteneur web : échouée"},
		{"fr", "something of an older record", "something of an older record"},
		{"fr", "", ""},
	} {
		if got := CauseText(c.language, c.cause); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.cause, c.language, got, c.want)
		}
	}
}
