package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed web
var embedded embed.FS

// file is one of the console's own, ready to be sent.
type file struct {
	data   []byte
	packed func() []byte // the same, compressed when it is first asked for
	kind   string        // its media type
	tag    string
}

// files are the console's pages, by path. There is nothing secret in them.
type files struct {
	byPath map[string]*file
	live   fs.FS // read at each request instead
}

func readFiles(live fs.FS) (*files, error) {
	f := &files{byPath: map[string]*file{}, live: live}
	if live != nil {
		return f, nil
	}
	web, err := fs.Sub(embedded, "web")
	if err != nil {
		return nil, fmt.Errorf("read the console's pages: %w", err)
	}
	err = fs.WalkDir(web, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(web, name)
		if err == nil {
			f.byPath["/"+name] = newFile(name, data)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the console's pages: %w", err)
	}
	return f, nil
}

// kindsOfFiles are fixed: what a machine's own table says of .js may be wrong.
var kindsOfFiles = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func newFile(name string, data []byte) *file {
	kind := kindsOfFiles[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	sum := sha256.Sum256(data)
	return &file{data, sync.OnceValue(func() []byte { return pack(data) }), kind, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func pack(data []byte) []byte {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(data) // a buffer takes everything
	_ = writer.Close()
	return packed.Bytes()
}

func (f *files) find(name string) *file {
	if f.live == nil {
		return f.byPath[name]
	}
	data, err := fs.ReadFile(f.live, strings.TrimPrefix(name, "/"))
	if err != nil {
		return nil
	}
	return newFile(name, data)
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := f.find(r.URL.Path)
	if found == nil || r.URL.Path == indexFile {
		http.NotFound(w, r)
		return
	}
	found.send(w, r)
}

// send answers with the file, or says that the browser has it already.
func (f *file) send(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "this can only be read", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-cache") // ask each time: a new kubette has new pages
	header.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.body(w, r, http.StatusOK)
}

// body writes the file, compressed for who takes that.
func (f *file) body(w http.ResponseWriter, r *http.Request, code int) {
	w.Header().Set("Content-Type", f.kind)
	w.Header().Add("Vary", "Accept-Encoding")
	data := f.data
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		data = f.packed()
	}
	w.WriteHeader(code)
	_, _ = w.Write(data)
}

const (
	indexFile  = "/index.html"
	lockedFile = "/locked.html"
)

// serveIndex lets a user in, or says how to get in.
func (s *Server) serveIndex(w http.ResponseWriter, r *http.Request) {
	name, code := indexFile, http.StatusOK
	if !s.door.enter(w, r) {
		name, code = lockedFile, http.StatusUnauthorized
	}
	found := s.files.find(name)
	if found == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	found.body(w, r, code)
}
