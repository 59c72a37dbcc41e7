package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"kubette/loop"
	"kubette/network"
	"kubette/store"
)

// message is what goes over the socket: the writes since the last message and the revision that the reader has then
// reached; or the components' steps; or how the components are; or what went through the network since the start.
type message struct {
	Revision   int64           `json:"rev,omitempty"`
	Entries    []*entry        `json:"entries,omitempty"`
	Steps      []*loop.Record  `json:"steps,omitempty"`
	Components []component     `json:"components,omitempty"`
	Traffic    []network.Count `json:"traffic,omitzero"`
	Gone       bool            `json:"gone,omitempty"` // what followed is not kept any more: begin anew
}

// component is a part of the control plane, or a node's agent.
type component struct {
	Name   string `json:"name"`
	Queue  int    `json:"queue"`
	Paused bool   `json:"paused,omitempty"`
}

var upgrader = websocket.Upgrader{
	ReadBufferSize: 1 << 10, WriteBufferSize: 64 << 10,
	CheckOrigin: ofOurs, // the door has asked already
}

const (
	// sendTime is how long a browser may take to read a message.
	sendTime = 30 * time.Second
	// machineEvery is how often the components' queues are looked at: there is nothing to wait for that would tell.
	machineEvery = 250 * time.Millisecond
	// stepsAtFirst is how many of the components' steps a new reader gets.
	stepsAtFirst = 2000
)

// serveFeed sends everything that is written after a revision, in order, until the browser goes away.
func (s *Server) serveFeed(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := readRevision(query, "after")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	f := &feed{server: s, objects: readWanted(query), out: make(chan message)}
	var group sync.WaitGroup
	group.Go(func() { f.listen(connection, cancel) })
	group.Go(func() { f.follow(ctx, after) })
	group.Go(func() { f.steps(ctx) })
	group.Go(func() { f.components(ctx) })
	defer group.Wait()
	defer connection.Close()
	defer cancel()
	for {
		select {
		case m := <-f.out:
			_ = connection.SetWriteDeadline(time.Now().Add(sendTime))
			if connection.WriteJSON(m) != nil || m.Gone {
				return
			}
		case <-ctx.Done():
			return
		case <-s.config.Stopping:
			return
		}
	}
}

// feed is one browser tab's.
type feed struct {
	server  *Server
	objects wanted
	out     chan message
}

func (f *feed) send(ctx context.Context, m message) bool {
	select {
	case f.out <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen notices when the browser goes away: it sends nothing else.
func (f *feed) listen(connection *websocket.Conn, gone context.CancelFunc) {
	defer gone()
	connection.SetReadLimit(1 << 10)
	for {
		if _, _, err := connection.NextReader(); err != nil {
			return
		}
	}
}

// follow sends the log.
func (f *feed) follow(ctx context.Context, after int64) {
	watcher, err := f.server.config.Store.Watch(f.server.config.Prefix, after)
	for err == nil {
		var events []store.Event
		if events, err = watcher.Next(ctx); err != nil {
			break
		}
		m := message{}
		for _, event := range events {
			m.Revision = event.Revision
			e, readErr := f.server.read(event.Entry, f.objects, true)
			if readErr == nil && e != nil { // an entry that cannot be read is no reason to show nothing
				m.Entries = append(m.Entries, e)
			}
		}
		if !f.send(ctx, m) {
			return
		}
	}
	if errors.Is(err, store.ErrCompacted) {
		f.send(ctx, message{Gone: true})
	}
}

// steps sends what the components do.
func (f *feed) steps(ctx context.Context) {
	last := ""
	for {
		records, more := f.server.config.Machine.After(last)
		if last == "" && len(records) > stepsAtFirst {
			records = records[len(records)-stepsAtFirst:]
		}
		if len(records) > 0 {
			last = records[len(records)-1].ID
			if !f.send(ctx, message{Steps: records}) {
				return
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// components sends how the components are and what the network has carried, when that has changed.
func (f *feed) components(ctx context.Context) {
	ticker := time.NewTicker(machineEvery)
	defer ticker.Stop()
	var sent []component
	var carried []network.Count
	for {
		if f.server.config.Traffic != nil {
			// The first message tells what went before, also when that is nothing: what comes then is new.
			if now := f.server.config.Traffic(); carried == nil || !slices.Equal(now, carried) {
				if now == nil {
					now = []network.Count{}
				}
				if !f.send(ctx, message{Traffic: now}) {
					return
				}
				carried = now
			}
		}
		if now := f.server.components(); !slices.Equal(now, sent) {
			if !f.send(ctx, message{Components: now}) {
				return
			}
			sent = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) components() []component {
	var all []component
	for name, depth := range s.config.Machine.Depths() {
		all = append(all, component{name, depth, s.config.Machine.Gate(name).Paused()})
	}
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
