package toolbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// backendPort is where the course's back end listens.
const backendPort = 8000

// user is what the back end keeps.
type user struct {
	Username string `json:"username"`
	Password string `json:"password,omitempty"`
}

// users is the back end's table. It is made anew at each start: who deletes the pod loses the data, and several replicas
// each have their own. Both are lessons of the course.
type users struct {
	mu     sync.Mutex
	byName map[string]user
}

// backend answers the paths of the course's back end: the state of the service, and users to list, add and connect.
// It reads APP_TITLE, once, at its start.
func backend(ctx context.Context, p *Process) int {
	title := cmp.Or(p.Getenv("APP_TITLE"), "UsersAPI")
	table := &users{byName: map[string]user{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, map[string]string{"status": "ok"}) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200, map[string]string{"status": "healthy"})
	})
	mux.HandleFunc("GET /users/{$}", table.list)
	mux.HandleFunc("POST /users/{$}", table.add)
	mux.HandleFunc("POST /users/connect", table.connect)
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) { backendDocs(w, title, p.pod()) })
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, backendOpenAPI(title)) })
	p.greet("The back end "+title, backendPort)
	return p.serve(ctx, p.backendHeaders(mux), backendPort)
}

// backendHeaders lets pages of any origin call the API, as the real back end does, and says which pod answers.
func (p *Process) backendHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "X-Pod")
		header.Set("X-Pod", p.pod())
		header.Set("X-Stand-In", "kubette")
		switch {
		case r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "":
			header.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
			header.Set("Access-Control-Allow-Headers", cmp.Or(r.Header.Get("Access-Control-Request-Headers"), "*"))
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusOK)
		case r.URL.Path == "/users":
			// FastAPI sends the path without its slash to the one with it.
			http.Redirect(w, r, "/users/", http.StatusTemporaryRedirect)
		default:
			next.ServeHTTP(&fastAPIErrors{ResponseWriter: w}, r)
		}
	})
}

// fastAPIErrors turns the plain-text 404 and 405 of Go's router into the ones that FastAPI gives.
type fastAPIErrors struct {
	http.ResponseWriter
	replaced bool
}

func (w *fastAPIErrors) WriteHeader(status int) {
	plain := strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")
	if plain && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		w.replaced = true
		w.Header().Del("Content-Length")
		writeJSON(w.ResponseWriter, status, map[string]string{"detail": http.StatusText(status)})
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *fastAPIErrors) Write(data []byte) (int, error) {
	if w.replaced {
		return len(data), nil
	}
	return w.ResponseWriter.Write(data)
}

func (u *users) list(w http.ResponseWriter, _ *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	names := []user{}
	for _, name := range slices.Sorted(maps.Keys(u.byName)) {
		names = append(names, user{Username: name})
	}
	writeJSON(w, http.StatusOK, names)
}

func (u *users) add(w http.ResponseWriter, r *http.Request) {
	wanted, ok := readUser(w, r)
	if !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, taken := u.byName[wanted.Username]; taken {
		writeJSON(w, http.StatusConflict, map[string]string{"detail": "User already exists"})
		return
	}
	u.byName[wanted.Username] = wanted
	writeJSON(w, http.StatusOK, user{Username: wanted.Username})
}

func (u *users) connect(w http.ResponseWriter, r *http.Request) {
	given, ok := readUser(w, r)
	if !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, there := u.byName[given.Username]; !there || known.Password != given.Password {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "User not found"})
		return
	}
	writeJSON(w, http.StatusOK, user{Username: given.Username})
}

// maxBody is the largest request that is read, in bytes.
const maxBody = 1 << 20

// readUser answers 422 itself, in FastAPI's form, when the body is not a user.
func readUser(w http.ResponseWriter, r *http.Request) (user, bool) {
	var given user
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&given)
	detail := map[string]any{"type": "missing", "loc": []string{"body", "username"}, "msg": "Field required"}
	if err != nil {
		detail = map[string]any{"type": "json_invalid", "loc": []string{"body"}, "msg": "JSON decode error"}
	}
	if err != nil || given.Username == "" {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"detail": []any{detail}})
		return user{}, false
	}
	return given, true
}

// backendRoutes are the rows of the documentation page.
var backendRoutes = []struct{ method, path, what string }{
	{"GET", "/", "the state of the service"},
	{"GET", "/health", "whether it is healthy"},
	{"GET", "/users/", "the users"},
	{"POST", "/users/", "add a user: {\"username\": …, \"password\": …}; 409 when there is one of that name"},
	{"POST", "/users/connect", "connect as a user; 404 when there is no such user"},
}

func backendDocs(w http.ResponseWriter, title, pod string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><meta charset=utf-8><title>%[1]s</title><h1>%[1]s</h1>\n"+
		"<p>This is kubette's stand-in for the course's back end; pod <b>%[2]s</b> answered.</p>\n<table>\n",
		html.EscapeString(title), html.EscapeString(pod))
	for _, route := range backendRoutes {
		fmt.Fprintf(w, "<tr><td>%s<td><code>%s</code><td>%s</tr>\n", route.method, route.path, html.EscapeString(route.what))
	}
	fmt.Fprint(w, "</table>\n")
}

func backendOpenAPI(title string) map[string]any {
	paths := map[string]map[string]any{}
	for _, route := range backendRoutes {
		if paths[route.path] == nil {
			paths[route.path] = map[string]any{}
		}
		paths[route.path][strings.ToLower(route.method)] = map[string]any{
			"summary": route.what, "responses": map[string]any{"200": map[string]any{"description": "Successful Response"}},
		}
	}
	return map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": title, "version": "0.1.0"}, "paths": paths}
}
