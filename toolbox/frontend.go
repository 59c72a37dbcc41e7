package toolbox

import (
	"cmp"
	"context"
	_ "embed"
	"html/template"
	"net"
	"net/http"
	"strings"
)

// frontendPort is where the course's front end listens.
const frontendPort = 5173

//go:embed frontend.html
var frontendHTML string

// frontend serves the page of the course's front end. Like Vite's server it reads its variables once, at its start, and
// refuses hosts that it was not told of. It is the browser that calls VITE_API_URL, not this program: so that must be an
// address that the browser can reach, never a Service's name.
func frontend(ctx context.Context, p *Process) int {
	page, err := template.New("page").Parse(frontendHTML)
	if err != nil {
		return p.fail("%v", err)
	}
	data := struct{ API, Environment, Pod string }{
		API:         strings.TrimSuffix(p.Getenv("VITE_API_URL"), "/"),
		Environment: cmp.Or(p.Getenv("VITE_ENVIRONNEMENT"), "local"),
		Pod:         p.pod(),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("X-Pod", p.pod())
		w.Header().Set("X-Stand-In", "kubette")
		_ = page.Execute(w, data)
	})
	p.greet("The front end", frontendPort)
	p.printf("It calls the back end at %s\n", cmp.Or(data.API, "(VITE_API_URL is not set)"))
	return p.serve(ctx, p.allowedHosts(mux), frontendPort)
}

// allowedHosts answers 403 to requests for a host that Vite would refuse: all but localhost, addresses, and those in
// __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS (separated by commas; a leading dot allows subdomains).
func (p *Process) allowedHosts(next http.Handler) http.Handler {
	allowed := []string{"localhost", ".localhost"}
	for _, host := range strings.Split(p.Getenv("__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"), ",") {
		if host = strings.TrimSpace(host); host != "" {
			allowed = append(allowed, host)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if net.ParseIP(strings.Trim(host, "[]")) == nil && !hostAllowed(host, allowed) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("Blocked request. This host (\"" + host + "\") is not allowed.\n" +
				"To allow this host, add it to __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS in the front end's ConfigMap, and restart the pods.\n"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostAllowed(host string, allowed []string) bool {
	for _, name := range allowed {
		if host == name || strings.HasPrefix(name, ".") && (host == name[1:] || strings.HasSuffix(host, name)) {
			return true
		}
	}
	return false
}
