package apiserver

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	tunnel "k8s.io/client-go/tools/portforward"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

const (
	portForwardProtocol = "portforward.k8s.io"
	// tunnelProtocol is SPDY inside the messages of a WebSocket: how kubectl forwards ports since 1.30, so that
	// proxies which know only WebSocket let it through.
	tunnelProtocol = "SPDY/3.1+portforward.k8s.io"
)

// servePortForward connects streams of the client to ports of a pod: over SPDY, over SPDY in a WebSocket, or over the
// channels of a WebSocket, two for each port.
func (h *handler) servePortForward(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	err := h.mayConnect(r, info, request)
	var kubelet Kubelet
	if err == nil {
		_, kubelet, err = h.runningPod(request)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	tunneled := wsstream.IsWebSocketRequestWithTunnelingProtocol(r)
	options := &portforward.V4Options{}
	if !tunneled {
		if options, err = portforward.NewV4Options(r); err != nil {
			h.fail(w, r, apierrors.NewBadRequest(err.Error()))
			return
		}
	}
	upgrade, ctx, done := newUpgrade(w, r)
	forwarder := &forwarder{ctx: ctx, kubelet: kubelet, namespace: request.Namespace, pod: request.Name}
	defer forwarder.under.Wait()
	defer done()
	var response http.ResponseWriter = upgrade
	if tunneled {
		if response, r, err = openTunnel(upgrade, r); err != nil {
			slog.Debug("a tunnel could not be opened", "path", r.URL.Path, "error", err)
			return
		}
	}
	portforward.ServePortForward(response, r, forwarder, request.Name, "", options, streamIdle, streamCreation, []string{portForwardProtocol})
}

// forwarder is a kubelet as the library wants it. Connections under way end with the client's.
type forwarder struct {
	ctx            context.Context
	kubelet        Kubelet
	namespace, pod string
	under          sync.WaitGroup
}

func (f *forwarder) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	f.under.Add(1)
	defer f.under.Done()
	return f.kubelet.PortForward(f.ctx, f.namespace, f.pod, port, stream)
}

// openTunnel accepts the WebSocket, and returns the connection inside it as a response that can be hijacked, with the
// request that a SPDY client would have sent.
func openTunnel(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request, error) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: []string{tunnelProtocol}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, r, err
	}
	inner := r.Clone(r.Context())
	inner.Header = http.Header{}
	inner.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	inner.Header.Set(httpstream.HeaderUpgrade, "SPDY/3.1")
	inner.Header.Set(httpstream.HeaderProtocolVersion, portForwardProtocol)
	return &tunnelResponse{conn: tunnel.NewTunnelingConnection("server", conn), header: http.Header{}}, inner, nil
}

// tunnelResponse is the response to a request that was never sent: inside a tunnel SPDY begins at once.
type tunnelResponse struct {
	conn   net.Conn
	header http.Header
}

func (t *tunnelResponse) Header() http.Header            { return t.header }
func (t *tunnelResponse) Write(data []byte) (int, error) { return len(data), nil }
func (t *tunnelResponse) WriteHeader(int)                {}

// Hijack hands the tunnel over.
func (t *tunnelResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}
