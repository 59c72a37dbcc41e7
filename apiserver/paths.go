package apiserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// servePath answers paths outside the resources: discovery, the API's description, the version, and whether the server
// is well.
func (h *handler) servePath(w http.ResponseWriter, r *http.Request) {
	parts := pathParts(r.URL.Path)
	if len(parts) == 0 {
		h.document(w, r, metav1.RootPaths{Paths: h.paths()})
		return
	}
	switch parts[0] {
	case "api", "apis":
		h.serveDiscovery(w, r)
	case "version":
		h.serveVersion(w, r)
	case "healthz", "livez", "readyz":
		h.serveHealth(w, r, parts)
	case "openapi":
		h.serveOpenAPI(w, r)
	case ".well-known", "openid":
		h.serveOpenID(w, r)
	default:
		http.Error(w, "404 page not found", http.StatusNotFound)
	}
}

// paths lists what can be asked for, at /.
func (h *handler) paths() []string {
	paths := []string{"/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/readyz", "/version"}
	names, versions := h.server.registry.Load().orderedGroups()
	paths = append(paths, "/api", "/apis", "/apis/")
	for _, name := range names {
		root := "/apis/" + name
		if name == "" {
			root = "/api"
		} else {
			paths = append(paths, root)
		}
		for _, v := range versions[name] {
			paths = append(paths, root+"/"+v)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// healthChecks are what the server's health consists of; a kind of its own would be too much for two questions.
var healthChecks = []string{"ping", "store"}

// serveHealth answers "ok" when the server and its store can answer. With verbose it lists the checks.
func (h *handler) serveHealth(w http.ResponseWriter, r *http.Request, parts []string) {
	failed := h.failedChecks(parts)
	if failed == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	_, verbose := r.URL.Query()["verbose"]
	var report strings.Builder
	ok := true
	for _, check := range healthChecks {
		problem, ran := failed[check]
		switch {
		case !ran:
		case problem == nil:
			fmt.Fprintf(&report, "[+]%s ok\n", check)
		default:
			ok = false
			fmt.Fprintf(&report, "[-]%s failed: %v\n", check, problem)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case !ok:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", report.String(), parts[0])
	case verbose && len(parts) == 1:
		fmt.Fprintf(w, "%s%s check passed\n", report.String(), parts[0])
	default:
		fmt.Fprint(w, "ok")
	}
}

// failedChecks runs the checks that a path names, all for /healthz; nil when there is no such check. A check that is well
// has a nil error.
func (h *handler) failedChecks(parts []string) map[string]error {
	results := map[string]error{"ping": nil, "store": h.server.healthy()}
	if len(parts) == 1 {
		return results
	}
	problem, known := results[parts[1]]
	if !known || len(parts) > 2 {
		return nil
	}
	return map[string]error{parts[1]: problem}
}

// healthy says whether the store answers.
func (s *Server) healthy() error {
	if s.stopped() {
		return fmt.Errorf("the server is stopping")
	}
	return nil
}

// stopped says that Run has ended.
func (s *Server) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Cluster reads the present objects, for authorizers and admission, which work beside the server.
func (s *Server) Cluster() kinds.Cluster { return s.cluster() }

// Serves says whether a resource is served.
func (s *Server) Serves(resource schema.GroupVersionResource) bool {
	_, served := s.registry.Load().byResource[resource]
	return served
}
