package apiserver

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/apiserver/kinds"
)

// serveWatch streams changes: one frame for each event, until either side ends it. A JSON frame is a line, a protobuf
// frame has its length before it, in four bytes.
//
// A client that reads slowly holds up only its own stream: the watch reads the store's log at the pace at which frames
// can be written, and when the log is compacted under it, the client gets the error 410 and lists again.
func (h *handler) serveWatch(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	options, err := listOptions(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	options.Watch = true
	if info.nameInPath { // the old form /api/v1/watch/…/NAME
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", info.name).String()
	}
	accepts, err := negotiate(r, true)
	if err == nil && accepts.media == mediaYAML {
		err = errNotAcceptable()
	}
	var include metav1.IncludeObjectPolicy
	if err == nil {
		include, err = includeOf(r)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	events, err := h.server.Watch(r.Context(), request, options)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer events.Stop()
	frames := frameWriter{handler: h, accepts: accepts, include: include}
	if websocket.IsWebSocketUpgrade(r) {
		serveWebSocket(w, r, &frames, events)
		return
	}

	w.Header().Set("Content-Type", accepts.media+";stream=watch")
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(http.StatusOK)
	flusher := http.NewResponseController(w)
	_ = flusher.Flush()

	// Events come often in bursts: a frame is flushed when no other one waits.
	for {
		select {
		case <-r.Context().Done():
			return
		case event, open := <-events.ResultChan():
			if !open {
				return
			}
			frame, err := frames.frameOrError(event)
			_ = flusher.SetWriteDeadline(time.Now().Add(watchWriteLimit))
			if _, werr := w.Write(frame); werr != nil || err != nil {
				return
			}
			if len(events.ResultChan()) == 0 && flusher.Flush() != nil {
				return
			}
		}
	}
}

// watchWriteLimit is how long a client may leave a frame unread before its watch is ended.
const watchWriteLimit = time.Minute

// frameWriter makes the frames of one watch.
type frameWriter struct {
	handler *handler
	accepts answerType
	include metav1.IncludeObjectPolicy
	headers bool // the table's columns have been sent
}

// frameOrError makes a frame of the error where there is one; the watch ends with it.
func (f *frameWriter) frameOrError(event watch.Event) ([]byte, error) {
	frame, err := f.frame(event)
	if err != nil {
		frame, _ = f.frame(watch.Event{Type: watch.Error, Object: statusOf(err)})
	}
	return frame, err
}

func (f *frameWriter) frame(event watch.Event) ([]byte, error) {
	if _, is := event.Object.(kinds.Object); is && f.accepts.shape == asItself && event.Type != watch.Bookmark {
		return f.handler.server.encodings.frame(event.Type, event.Object, f.accepts.media)
	}
	object, err := f.shaped(event)
	if err != nil {
		return nil, err
	}
	if err := encodable(object, f.accepts.media); err != nil {
		return nil, err
	}
	var encoded bytes.Buffer
	if err := encodeAs(object, f.accepts.media, false, &encoded); err != nil {
		return nil, fmt.Errorf("encode a watch event: %w", err)
	}
	return frameOf(event.Type, encoded.Bytes(), f.accepts.media)
}

func (f *frameWriter) shaped(event watch.Event) (runtime.Object, error) {
	if _, ok := event.Object.(*metav1.Status); ok || f.accepts.shape == asItself {
		return named(event.Object)
	}
	if f.accepts.shape != asTable {
		return partial(event.Object)
	}
	table, err := f.handler.table(event.Object, f.include, !f.headers)
	f.headers = true
	return table, err
}
