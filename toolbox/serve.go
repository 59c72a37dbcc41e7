package toolbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// drain is how long a server that was told to stop goes on answering the requests that it has.
const drain = 5 * time.Second

// linger is how long a server that was told to stop still takes new connections: a pod is told to stop at the moment at
// which its service learns that it goes, so some clients still come. Programs in Kubernetes do well to wait like this.
const linger = 100 * time.Millisecond

// serve answers HTTP on every port until the context ends, and then lets requests finish. A request is logged in one
// line on standard output, so that `kubectl logs` has something to show.
func (p *Process) serve(ctx context.Context, handler http.Handler, ports ...int) int {
	server := &http.Server{Handler: p.logged(handler), ReadHeaderTimeout: 30 * time.Second,
		// Programs end with their context, also those that hold a stream open.
		BaseContext: func(net.Listener) context.Context { return ctx }}
	failed := make(chan error, len(ports))
	for _, port := range ports {
		listener, err := p.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			_ = server.Close()
			return p.fail("listen on port %d: %v", port, err)
		}
		go func() { failed <- server.Serve(listener) }()
	}
	select {
	case err := <-failed:
		_ = server.Close()
		return p.fail("serve: %v", err)
	case <-ctx.Done():
		server.SetKeepAlivesEnabled(false)
		time.Sleep(linger)
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close()
	}
	for range ports {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return p.fail("serve: %v", err)
		}
	}
	return exitOK
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the flusher.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (p *Process) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		p.printf("INFO:     %s - %q %d %s\n", r.RemoteAddr,
			fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), r.Proto), rec.status, http.StatusText(rec.status))
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// pod is the name of the pod that a program runs in, which is its host name.
func (p *Process) pod() string {
	if p.Hostname == "" {
		return "unknown"
	}
	return p.Hostname
}

// greet is the first line of a server's log.
func (p *Process) greet(what string, ports ...int) {
	var list []string
	for _, port := range ports {
		list = append(list, strconv.Itoa(port))
	}
	p.printf("%s, kubette's stand-in, in pod %s, listens on port %s\n", what, p.pod(), strings.Join(list, ", "))
}
