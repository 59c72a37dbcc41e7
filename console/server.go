package console

import (
	"context"
	"io/fs"
	"net/http"

	"kubette/apiserver/kinds"
	"kubette/loop"
	"kubette/network"
	"kubette/store"
)

// Config is what the console shows, and how it reaches it.
type Config struct {
	// API answers the Kubernetes API and kubette's own as the administrator, whoever asks: the door stands before it.
	API http.Handler
	// Store holds the log that the console follows, under Prefix.
	Store  store.Store
	Prefix string
	// Read says what an entry of the store is about, and returns its object: nil for a tombstone and for a kind that is not
	// served any more. The object may be shared: it is not changed.
	Read func(entry *store.Entry) (Ref, kinds.Object, error)
	// Machine knows the components: their queues, their gates and their steps.
	Machine *loop.Machine
	// Visit sends a request to an ingress or a service, as a user of the cluster's applications would. It may be nil.
	Visit func(ctx context.Context, visit Visit) (*http.Response, error)
	// Traffic counts what the ingress and the services have carried. It may be nil.
	Traffic func() []network.Count
	// Files replaces the pages that are part of the program, for who works on them; nil means the program's own.
	Files fs.FS
	// Stopping ends feeds, which otherwise go on for as long as the browser wants.
	Stopping <-chan struct{}
}

// Ref names an object, as the browser does: pods, deployments.apps.
type Ref struct {
	Resource  string `json:"resource"` // plural, with the group after a dot
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"name"`
}

// Server is the console of one cluster.
type Server struct {
	config Config
	door   *door
	files  *files
}

// New makes a console. It serves nothing yet.
func New(config Config) (*Server, error) {
	files, err := readFiles(config.Files)
	if err != nil {
		return nil, err
	}
	return &Server{config: config, door: newDoor(), files: files}, nil
}

// NewKey returns a key that opens the console once: http://HOST/?key=KEY. Of the keys that nobody has used only the newest
// few are good.
func (s *Server) NewKey() string { return s.door.newKey() }

// Handler returns the console as HTTP, for a listener on the loopback address whose port it is told.
func (s *Server) Handler(port int) http.Handler {
	inside := http.NewServeMux()
	inside.Handle("GET /console/snapshot", http.HandlerFunc(s.serveSnapshot))
	inside.Handle("GET /console/delta", http.HandlerFunc(s.serveDelta))
	inside.Handle("GET /console/log", http.HandlerFunc(s.serveLog))
	inside.Handle("GET /console/changes", http.HandlerFunc(s.serveChanges))
	inside.Handle("GET /console/feed", http.HandlerFunc(s.serveFeed))
	inside.Handle("POST /console/apply", http.HandlerFunc(s.serveApply))
	inside.Handle("POST /console/visit", http.HandlerFunc(s.serveVisit))
	for _, prefix := range apiPrefixes {
		inside.Handle(prefix, http.HandlerFunc(s.serveAPI))
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.files)
	mux.Handle("GET /{$}", http.HandlerFunc(s.serveIndex))
	for _, prefix := range append([]string{"/console/"}, apiPrefixes...) {
		mux.Handle(prefix, s.door.onlyWithSession(inside))
	}
	return s.door.guard(port, mux)
}
