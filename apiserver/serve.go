package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// shutdownGrace is how long requests under way may take to end after the server was told to stop. Watches and streams
// end at once, because their contexts do.
const shutdownGrace = 5 * time.Second

// Serve answers HTTP requests that come in over a listener, until the context ends; then it lets the requests under way
// finish, and returns when all have. With a TLS configuration it speaks HTTPS, and HTTP/2 with who can.
func Serve(ctx context.Context, listener net.Listener, config *tls.Config, handler http.Handler) error {
	// Requests have a context of their own, so that short ones may finish while the server stops.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := &http.Server{
		Handler: handler, TLSConfig: config, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return context.WithValue(base, stoppingKey{}, ctx) },
		ErrorLog:    slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	var err error
	if config != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if stop() { // the context has not ended: the listener has failed
		return fmt.Errorf("serve the API on %s: %w", listener.Addr(), err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stop serving the API on %s: %w", listener.Addr(), err)
	}
	return nil
}

type stoppingKey struct{}

// untilStopped bounds a long-running request by the server's own life.
func untilStopped(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	stopping, ok := ctx.Value(stoppingKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	unhook := context.AfterFunc(stopping, cancel)
	return ctx, func() { unhook(); cancel() }
}
