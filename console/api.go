package console

import (
	"net/http"
	"strings"
)

// apiPrefixes are the paths that are passed through: Kubernetes' API, and kubette's own.
var apiPrefixes = []string{"/api/", "/apis/", "/version", "/kubette/"}

// serveAPI passes a request on to the API server in this process.
//
// What it answers may come out of a container: then it must not become a page of the console's own, with the console's
// rights. So nothing of it may run, and what proxies to a container's own web server is refused altogether.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if isProxy(r.URL.Path) {
		http.Error(w, "the console does not proxy to containers: a page of theirs would have the console's rights. "+
			"Use the ingress, or `kubette kubectl port-forward`", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	s.config.API.ServeHTTP(w, s.asAPI(r))
}

// asAPI is a request without what concerns only the console.
func (s *Server) asAPI(r *http.Request) *http.Request {
	inner := r.Clone(r.Context())
	for name := range inner.Header {
		if strings.HasPrefix(name, "Impersonate-") {
			inner.Header.Del(name)
		}
	}
	for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
		inner.Header.Del(name)
	}
	inner.Header.Set("User-Agent", userAgent)
	return inner
}

// userAgent is who the API server sees, and so the manager of fields that are set without saying as whom.
const userAgent = "kubette-console"

// isProxy recognises /api/v1/namespaces/NS/{pods,services}/NAME/proxy/… and /api/v1/nodes/NAME/proxy/….
func isProxy(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if part == "proxy" && i >= 4 && (i == 4 || i >= 6) {
			return true
		}
	}
	return len(parts) > 2 && parts[0] == "api" && parts[2] == "proxy"
}
