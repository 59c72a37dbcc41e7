package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
)

// The media types of protobuf documents, the newer name and the one that clients still send.
var protobufTypes = map[string][]string{
	"v2": {"com.github.proto-openapi.spec.v2.v1.0+protobuf", "com.github.proto-openapi.spec.v2@v1.0+protobuf"},
	"v3": {"com.github.proto-openapi.spec.v3.v1.0+protobuf", "com.github.proto-openapi.spec.v3@v1.0+protobuf"},
}

// foreverSeconds is how long a document may be cached that is asked for by its hash.
const foreverSeconds = 31536000

// Serve answers /openapi/v2, /openapi/v3 and /openapi/v3/GROUPVERSION.
func (a *API) Serve(w http.ResponseWriter, r *http.Request) error {
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/openapi"), "/")
	switch {
	case path == "v2":
		return a.serve(w, r, "v2", "v2")
	case path == "v3":
		return a.serveIndex(w, r)
	case strings.HasPrefix(path, "v3/"):
		name := strings.TrimPrefix(path, "v3/")
		if asked := r.URL.Query().Get("hash"); asked != "" {
			if asked != a.hash {
				http.Redirect(w, r, a.location(name), http.StatusMovedPermanently)
				return nil
			}
			w.Header().Set("Cache-Control", "public, immutable")
			w.Header().Set("Expires", time.Now().Add(foreverSeconds*time.Second).UTC().Format(http.TimeFormat))
		}
		return a.serve(w, r, "v3", name)
	}
	http.Error(w, "404 page not found", http.StatusNotFound)
	return nil
}

// location is where a document is, with a hash so that clients may keep it.
func (a *API) location(name string) string {
	return "/openapi/v3/" + name + "?" + url.Values{"hash": {a.hash}}.Encode()
}

func (a *API) serveIndex(w http.ResponseWriter, r *http.Request) error {
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	index := map[string]map[string]entry{"paths": {}}
	for _, name := range a.groupVersions() {
		index["paths"][name] = entry{a.location(name)}
	}
	data, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("encode the index of descriptions: %w", err)
	}
	return deliver(w, r, "application/json", a.hash, data)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, version, name string) error {
	d, err := a.get(name)
	if err != nil {
		return err
	}
	if d == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return nil
	}
	w.Header().Add("Vary", "Accept")
	accept := r.Header.Get("Accept")
	if accept == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		switch {
		case clause.Type != "application" && clause.Type != "*":
		case clause.SubType == "json" || clause.SubType == "*":
			return deliver(w, r, "application/json", d.etag, d.json)
		case clause.SubType == protobufTypes[version][0] || clause.SubType == protobufTypes[version][1]:
			data, err := a.asProtobuf(name, d)
			if err != nil {
				return err
			}
			return deliver(w, r, "application/"+protobufTypes[version][0], d.etag, data)
		}
	}
	w.WriteHeader(http.StatusNotAcceptable)
	return nil
}

func deliver(w http.ResponseWriter, r *http.Request, media, etag string, data []byte) error {
	w.Header().Set("Content-Type", media)
	w.Header().Set("ETag", strconv.Quote(etag))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}
