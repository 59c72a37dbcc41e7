package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Usual ports, taken when they are free.
const (
	usualAPIPort   = 6443
	usualHTTPPort  = 8080
	usualHTTPSPort = 8443

	usualConsolePort = 8001
)

// Loopback is a network that only this machine's programs reach. Listeners have TCP addresses; port 0 takes a free one.
type Loopback interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// hostLoopback is the real one.
type hostLoopback struct{}

func (hostLoopback) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

func (hostLoopback) Dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// listen opens a port on the loopback address. Asked is what the user wants: a number that must be free, AnyPort, or 0
// for the one of the last time, else the usual one, else any.
func listen(loopback Loopback, flag string, asked, last, usual int) (net.Listener, error) {
	switch asked {
	case AnyPort:
		return listenOn(loopback, flag, 0)
	case 0:
		for _, port := range []int{last, usual} {
			if port == 0 {
				continue
			}
			if listener, err := listenOn(loopback, flag, port); err == nil {
				return listener, nil
			}
		}
		return listenOn(loopback, flag, 0)
	}
	return listenOn(loopback, flag, asked)
}

func listenOn(loopback Loopback, flag string, port int) (net.Listener, error) {
	listener, err := loopback.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is taken by another program: choose another one with %s (0 for any free one)", port, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %d needs rights that kubette does not have: choose one above 1023 with %s", port, flag)
	case err != nil:
		return nil, fmt.Errorf("listen (%s): %w", flag, err)
	}
	return listener, nil
}

func portOf(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

// lastAnswers is how long requests under way may take when the cluster stops.
const lastAnswers = 2 * time.Second

// serve answers HTTP on a listener until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, secure *tls.Config) {
	server := &http.Server{
		Handler: handler, TLSConfig: secure, ReadHeaderTimeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		if err := server.Shutdown(ending); err != nil {
			_ = server.Close()
		}
	}()
	var err error
	if secure != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		slog.Error("a port is no longer served", "address", listener.Addr().String(), "error", err)
	}
	<-stopped
}
