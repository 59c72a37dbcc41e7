package apiserver

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/watch"
)

// serveWebSocket streams a watch's frames to a client that has asked for a WebSocket, as programs in a browser do: each
// frame is a message, a text for JSON. What the client sends is not looked at; when it closes, the watch ends.
func serveWebSocket(w http.ResponseWriter, r *http.Request, frames *frameWriter, events watch.Interface) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		slog.Debug("a watch could not be a WebSocket", "path", r.URL.Path, "error", err) // the client has its answer
		return
	}
	defer socket.Close()
	left := make(chan struct{})
	go func() {
		defer close(left)
		for {
			if _, _, err := socket.NextReader(); err != nil {
				return
			}
		}
	}()
	kind := websocket.TextMessage
	if frames.accepts.media == mediaProtobuf {
		kind = websocket.BinaryMessage
	}
	for open := true; open; {
		select {
		case <-left:
			return
		case <-r.Context().Done():
			open = false
		case event, more := <-events.ResultChan():
			if open = more; !more {
				break
			}
			frame, err := frames.frameOrError(event)
			_ = socket.SetWriteDeadline(time.Now().Add(watchWriteLimit))
			if socket.WriteMessage(kind, frame) != nil {
				_ = socket.Close()
				<-left
				return
			}
			open = err == nil
		}
	}
	deadline := time.Now().Add(time.Second)
	_ = socket.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
	_ = socket.SetReadDeadline(deadline)
	<-left
}
