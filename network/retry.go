package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// retry tries another pod when the first one cannot be connected to: a pod on its way out may be gone a moment before
// the table knows. A request that any pod has begun to receive is never sent twice.
type retry struct {
	next   http.RoundTripper
	first  Endpoint
	others []Endpoint
	// patience is how long a pod may take to begin its answer.
	patience time.Duration
}

// ErrNoAnswer: a pod took the request and did not begin to answer in time.
var ErrNoAnswer = errors.New("no answer in time")

// RoundTrip implements http.RoundTripper.
func (t *retry) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := time.AfterFunc(t.patience, func() { cancel(ErrNoAnswer) })
	defer timer.Stop() // what streams after the beginning may take any time
	request = request.WithContext(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = &patientBody{request.Body, timer, t.patience}
	}
	response, err := t.next.RoundTrip(request)
	for _, other := range t.others {
		if err == nil || !notConnected(err) || request.Context().Err() != nil {
			break
		}
		if other.Address == t.first.Address {
			continue
		}
		again := request.Clone(request.Context())
		again.URL.Host = other.Address.String()
		response, err = t.next.RoundTrip(again)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrNoAnswer) {
		err = cause
	}
	return response, err
}

// patientBody gives the pod time anew whenever it takes more of the request: an upload may take long.
type patientBody struct {
	io.ReadCloser
	timer    *time.Timer
	patience time.Duration
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.timer.Stop() {
		b.timer.Reset(b.patience)
	}
	return n, err
}

// notConnected says that not even a connection came about.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// buffers lends the proxy its copy buffers.
type buffers struct{ pool sync.Pool }

// copyBuffer is the size of a copy buffer in bytes.
const copyBuffer = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return buffer[:]
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[copyBuffer]byte)(buffer)) }
