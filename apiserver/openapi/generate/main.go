// Generate reads the Go source of Kubernetes' API types and writes markers.json: what the comments say about fields
// and types that reflection cannot see (enumerations, kinds of lists and maps, defaults, optional fields).
//
// Run it with `go generate ./apiserver/openapi` after an update of the k8s.io libraries.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sources are the modules to read, with the folders in them that hold API types.
var sources = map[string][]string{
	"k8s.io/api":          {"."},
	"k8s.io/apimachinery": {"pkg/apis/meta/v1", "pkg/runtime", "pkg/util/intstr", "pkg/api/resource", "pkg/version"},
	"k8s.io/metrics":      {"pkg/apis/metrics/v1beta1"},
}

// Type is what comments say of one type.
type Type struct {
	Doc    string            `json:"doc,omitempty"`
	Enum   []Value           `json:"enum,omitempty"`
	Map    string            `json:"map,omitempty"` // +mapType or +structType
	Fields map[string]*Field `json:"fields,omitempty"`
}

// Value is one value of an enumeration.
type Value struct {
	Value   string `json:"value"`
	Comment string `json:"comment,omitempty"`
}

// Field is what comments say of one field, by its JSON name.
type Field struct {
	List     string          `json:"list,omitempty"`
	Keys     []string        `json:"keys,omitempty"`
	Map      string          `json:"map,omitempty"`
	Default  json.RawMessage `json:"default,omitempty"`
	Optional bool            `json:"optional,omitempty"`
}

func main() {
	types := map[string]*Type{}
	for module, folders := range sources {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			log.Fatalf("find %s: %v", module, err)
		}
		root := strings.TrimSpace(string(out))
		for _, folder := range folders {
			if err := readTree(types, module, root, filepath.Join(root, folder)); err != nil {
				log.Fatal(err)
			}
		}
	}
	for name, t := range types {
		if t.empty() {
			delete(types, name)
		}
	}
	if err := write(types); err != nil {
		log.Fatal(err)
	}
}

func (t *Type) empty() bool {
	return t.Doc == "" && len(t.Enum) == 0 && t.Map == "" && len(t.Fields) == 0
}

// write puts one type on a line, sorted, so that an update is easy to review.
func write(types map[string]*Type) error {
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, name := range names {
		data, err := json.Marshal(types[name])
		if err != nil {
			return err
		}
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "%q:%s%s\n", name, data, comma)
	}
	b.WriteString("}\n")
	return os.WriteFile("markers.json", b.Bytes(), 0o644)
}

// unstable versions of the API are not served.
var unstable = regexp.MustCompile(`^v\d+(alpha|beta)\d+$`)

func readTree(types map[string]*Type, module, root, folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if entry.Name() == "testdata" || entry.Name() == "testing" {
			return filepath.SkipDir
		}
		if folder != root && path != folder || unstable.MatchString(entry.Name()) && module == "k8s.io/api" {
			return filepath.SkipDir
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return readPackage(types, modelPrefix(module+"/"+filepath.ToSlash(relative)), path)
	})
}

// modelPrefix is the OpenAPI name of a Go package: k8s.io/api/core/v1 is io.k8s.api.core.v1.
func modelPrefix(path string) string {
	domain, rest, _ := strings.Cut(path, "/")
	parts := strings.Split(domain, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "." + strings.ReplaceAll(rest, "/", ".") + "."
}

func readPackage(types map[string]*Type, prefix, dir string) error {
	parsed, err := parser.ParseDir(token.NewFileSet(), dir, func(info fs.FileInfo) bool {
		return !strings.HasSuffix(info.Name(), "_test.go") && !strings.HasPrefix(info.Name(), "zz_generated") && !strings.HasPrefix(info.Name(), "generated")
	}, parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parse %s: %w", dir, err)
	}
	for _, p := range parsed {
		var values []*ast.GenDecl
		for _, file := range p.Files {
			for _, decl := range file.Decls {
				general, ok := decl.(*ast.GenDecl)
				switch {
				case ok && general.Tok == token.TYPE:
					readTypes(types, prefix, general)
				case ok && general.Tok == token.CONST:
					values = append(values, general)
				}
			}
		}
		for _, decl := range values {
			readConstants(types, prefix, decl)
		}
	}
	return nil
}

func readTypes(types map[string]*Type, prefix string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		t := spec.(*ast.TypeSpec)
		if !t.Name.IsExported() {
			continue
		}
		doc := t.Doc
		if doc == nil {
			doc = decl.Doc
		}
		text, markers := split(doc)
		read := &Type{Map: first(markers["mapType"], markers["structType"])}
		if _, isEnum := markers["enum"]; isEnum {
			read.Enum = []Value{}
		}
		if strings.HasPrefix(prefix, "io.k8s.apimachinery.") {
			read.Doc = text
		}
		if structure, ok := t.Type.(*ast.StructType); ok {
			readFields(read, structure)
		}
		types[prefix+t.Name.Name] = read
	}
}

func readFields(into *Type, structure *ast.StructType) {
	for _, f := range structure.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		name, flags, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		_, markers := split(f.Doc)
		read := &Field{List: first(markers["listType"]), Keys: markers["listMapKey"], Map: first(markers["mapType"], markers["structType"])}
		// omitempty says optional already, and its absence required.
		if _, optional := markers["optional"]; optional && !strings.Contains(flags, "omitempty") {
			read.Optional = true
		}
		if value := first(markers["default"]); value != "" && json.Valid([]byte(value)) {
			read.Default = json.RawMessage(value)
		}
		if !reflect.DeepEqual(read, &Field{}) {
			if into.Fields == nil {
				into.Fields = map[string]*Field{}
			}
			into.Fields[name] = read
		}
	}
}

var spaces = regexp.MustCompile(`\s+`)

func readConstants(types map[string]*Type, prefix string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		value := spec.(*ast.ValueSpec)
		named, ok := value.Type.(*ast.Ident)
		if !ok || len(value.Values) != 1 {
			continue
		}
		of, known := types[prefix+named.Name]
		literal, isLiteral := value.Values[0].(*ast.BasicLit)
		if !known || of.Enum == nil || !isLiteral || literal.Kind != token.STRING {
			continue
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			continue
		}
		doc := value.Doc
		if doc == nil && len(decl.Specs) == 1 {
			doc = decl.Doc
		}
		comment, _ := split(doc)
		comment = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(comment), value.Names[0].Name))
		add(of, Value{text, spaces.ReplaceAllString(comment, " ")})
	}
	for _, of := range types {
		slices.SortFunc(of.Enum, func(a, b Value) int { return strings.Compare(a.Value, b.Value) })
	}
}

// add keeps of two constants with one value the one that says more.
func add(of *Type, v Value) {
	for i, there := range of.Enum {
		if there.Value == v.Value {
			if len(there.Comment) < len(v.Comment) {
				of.Enum[i] = v
			}
			return
		}
	}
	of.Enum = append(of.Enum, v)
}

// split separates a comment's words from its markers.
func split(doc *ast.CommentGroup) (string, map[string][]string) {
	markers := map[string][]string{}
	if doc == nil {
		return "", markers
	}
	var words []string
	hidden := false
	for _, line := range strings.Split(doc.Text(), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "+"):
			name, value, _ := strings.Cut(trimmed[1:], "=")
			markers[name] = append(markers[name], strings.TrimSpace(value))
		case trimmed == "---":
			hidden = true
		case !hidden:
			words = append(words, strings.TrimRight(line, " "))
		}
	}
	return strings.TrimSpace(strings.Join(words, "\n")), markers
}

func first(lists ...[]string) string {
	for _, list := range lists {
		if len(list) > 0 {
			return list[0]
		}
	}
	return ""
}
