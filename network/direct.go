package network

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// direct asks pods over HTTP/1.1 on the goroutine that has the question: most of what an ingress does is to pass on
// requests without a body. net/http's Transport has two goroutines at each connection and hands every request from one to
// the next, which costs more than the rest of the way; everything else goes through it.
type direct struct {
	transport *http.Transport

	mu     sync.Mutex
	idle   map[string][]*podConn // by address, the one used last at the end
	sweep  *time.Timer           // closes what has been idle for long; nil while nothing is
	closed bool
}

// podConn is an open connection to a pod.
type podConn struct {
	net.Conn
	reader *bufio.Reader
	writer *bufio.Writer
	budget int64 // how many bytes may still be read
	since  time.Time
}

const (
	// maxIdle is how many open connections to one pod are kept for later requests, idleTime for how long.
	maxIdle  = 256
	idleTime = 60 * time.Second
	// maxHeader is the size in bytes up to which the head of an answer is read, as in http.Transport.
	maxHeader = 10 << 20
	unlimited = 1<<63 - 1
)

var errLongHeader = errors.New("the head of the answer is longer than 10 MiB")

// Read implements io.Reader: a head without end is cut off.
func (c *podConn) Read(p []byte) (int, error) {
	if c.budget <= 0 {
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: errLongHeader}
	}
	n, err := c.Conn.Read(p)
	if c.budget != unlimited {
		c.budget -= int64(n)
	}
	return n, err
}

// RoundTrip implements http.RoundTripper.
func (d *direct) RoundTrip(request *http.Request) (*http.Response, error) {
	if !simple(request) {
		return d.transport.RoundTrip(request)
	}
	address := request.URL.Host
	// A pod may have closed a connection that lay idle, and says so only when it is used. Nothing is lost: a simple
	// request may be sent twice.
	for conn := d.take(address); conn != nil; conn = d.take(address) {
		response, err := d.exchange(conn, request)
		if err == nil || request.Context().Err() != nil {
			return response, err
		}
	}
	plain, err := d.transport.DialContext(request.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := &podConn{Conn: plain, writer: bufio.NewWriter(plain)}
	conn.reader = bufio.NewReader(conn)
	return d.exchange(conn, request)
}

// simple says whether a request is one question that gets one answer, and may be asked again.
func simple(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions {
		return false
	}
	return r.URL.Scheme == "http" && (r.Body == nil || r.Body == http.NoBody) && r.Header.Get("Upgrade") == "" && r.Header.Get("Expect") == ""
}

func (d *direct) exchange(conn *podConn, request *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(request.Context(), func() { _ = conn.Close() })
	conn.budget = maxHeader
	response, err := conn.ask(request)
	if err != nil {
		stop()
		_ = conn.Close()
		if cause := request.Context().Err(); cause != nil {
			err = cause
		}
		return nil, err
	}
	conn.budget = unlimited
	response.Body = &podBody{ReadCloser: response.Body, done: func(whole bool) {
		// A connection is good for the next request when nothing of this one is left on it.
		if stop() && whole && !response.Close && !request.Close && conn.reader.Buffered() == 0 {
			d.put(request.URL.Host, conn)
		} else {
			_ = conn.Close()
		}
	}}
	return response, nil
}

// ask sends a request and reads the head of the answer. What a pod says before it (103, early hints) is left out.
func (c *podConn) ask(request *http.Request) (*http.Response, error) {
	if err := errors.Join(request.Write(c.writer), c.writer.Flush()); err != nil {
		return nil, err
	}
	for {
		response, err := http.ReadResponse(c.reader, request)
		if err != nil || response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// podBody tells once when it was read to its end, or closed before.
type podBody struct {
	io.ReadCloser
	done func(whole bool)
	once sync.Once
}

// Read implements io.Reader.
func (b *podBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(func() { b.done(err == io.EOF) })
	}
	return n, err
}

// Close implements io.Closer. It does not wait for the rest of a body, as the one that http.ReadResponse makes would.
func (b *podBody) Close() error {
	b.once.Do(func() { b.done(false) })
	return nil
}

func (d *direct) take(address string) *podConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	conns := d.idle[address]
	if len(conns) == 0 {
		return nil
	}
	last := len(conns) - 1
	conn := conns[last]
	conns[last] = nil
	d.idle[address] = conns[:last]
	return conn
}

func (d *direct) put(address string, conn *podConn) {
	conn.since = time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.idle[address]) >= maxIdle {
		_ = conn.Close()
		return
	}
	if d.idle == nil {
		d.idle = map[string][]*podConn{}
	}
	d.idle[address] = append(d.idle[address], conn)
	if d.sweep == nil {
		d.sweep = time.AfterFunc(idleTime, d.closeOld)
	}
}

// closeOld closes the connections that have been idle for long, and comes back while there are others.
func (d *direct) closeOld() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, conns := range d.idle {
		old := 0
		for old < len(conns) && time.Since(conns[old].since) >= idleTime {
			_ = conns[old].Close()
			old++
		}
		if d.idle[address] = append([]*podConn(nil), conns[old:]...); old == len(conns) {
			delete(d.idle, address)
		}
	}
	d.sweep = nil
	if len(d.idle) > 0 && !d.closed {
		d.sweep = time.AfterFunc(idleTime, d.closeOld)
	}
}

// close ends the connections that nobody uses; those in use end with their requests.
func (d *direct) close() {
	d.transport.CloseIdleConnections()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.sweep != nil {
		d.sweep.Stop()
	}
	for _, conns := range d.idle {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	d.idle = nil
}
