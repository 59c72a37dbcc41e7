package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"kubette/store"
)

// answer is what the browser asks for once. Revision is the one that it is about, Oldest the oldest that is kept, Newest the
// newest there is.
type answer struct {
	Revision int64    `json:"rev"`
	Oldest   int64    `json:"oldest"`
	Newest   int64    `json:"newest"`
	Entries  []*entry `json:"entries"`
}

// serveSnapshot answers with all objects of the wanted resources at one revision.
func (s *Server) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	revision, err := readRevision(r.URL.Query(), "rev")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if revision == 0 {
		revision = s.config.Store.Revision()
	}
	a := s.newAnswer(revision)
	for resource := range readWanted(r.URL.Query()) {
		page, err := s.config.Store.List(r.Context(), s.shelf(resource), store.ListOptions{Revision: revision})
		if err != nil {
			s.refuse(w, err)
			return
		}
		for _, from := range page.Entries {
			e, err := s.read(from, wanted{resource: true}, false)
			if err != nil {
				s.refuse(w, err)
				return
			}
			if e != nil {
				a.Entries = append(a.Entries, e)
			}
		}
	}
	a.send(w)
}

func (s *Server) newAnswer(revision int64) *answer {
	return &answer{Revision: revision, Oldest: s.oldest(), Newest: s.config.Store.Revision(), Entries: []*entry{}}
}

func (s *Server) oldest() int64 { return max(s.config.Store.CompactedRevision(), 1) }

// shelf is where a resource is in the store: PREFIX/group/plural/.
func (s *Server) shelf(resource string) string {
	plural, group, ok := strings.Cut(resource, ".")
	if !ok {
		group = "core"
	}
	return s.config.Prefix + group + "/" + plural + "/"
}

// serveDelta answers with the objects that are not the same at two revisions, as they are at the second one: what a page must
// change to go from one to the other, forward or back. Its cost is that of the changes between them.
func (s *Server) serveDelta(w http.ResponseWriter, r *http.Request) {
	from, err := readRevision(r.URL.Query(), "from")
	to, errTo := readRevision(r.URL.Query(), "to")
	if err := errors.Join(err, errTo); err != nil || from == 0 || to == 0 {
		http.Error(w, fmt.Sprintf("from and to must be revisions: %v", err), http.StatusBadRequest)
		return
	}
	objects := readWanted(r.URL.Query())
	changed := map[string]*store.Entry{} // by key: the entry at the revision asked for, nil for none
	err = s.between(r.Context(), min(from, to), max(from, to), func(event store.Event) error {
		switch _, seen := changed[event.Key]; {
		case to >= from:
			changed[event.Key] = event.Entry
		case !seen:
			changed[event.Key] = event.Previous
		}
		return nil
	})
	if err != nil {
		s.refuse(w, err)
		return
	}
	a := s.newAnswer(to)
	for key, at := range changed {
		if at == nil {
			at = &store.Entry{Key: key, Revision: to, Deleted: true}
		}
		e, err := s.read(at, objects, false)
		if err != nil {
			s.refuse(w, err)
			return
		}
		if e != nil && objects[e.Resource] {
			a.Entries = append(a.Entries, e)
		}
	}
	a.send(w)
}

// between hands on the events after one revision, up to another one.
func (s *Server) between(ctx context.Context, after, until int64, each func(store.Event) error) error {
	until = min(until, s.config.Store.Revision())
	if after >= until {
		return nil
	}
	watcher, err := s.config.Store.Watch(s.config.Prefix, after)
	if err != nil {
		return err
	}
	// A revision outside the prefix has no event here, so the log may end before the revision is reached: a context that
	// is over then says that there is nothing more to wait for.
	over, cancel := context.WithCancel(ctx)
	cancel()
	for {
		events, err := watcher.Next(over)
		if errors.Is(err, context.Canceled) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		for _, event := range events {
			if event.Revision > until {
				return nil
			}
			if err := each(event); err != nil {
				return err
			}
		}
	}
}

// How many writes are told in one answer, and how far back they are looked for at most.
const (
	maxChanges = 2000
	maxBack    = 40_000
)

// serveChanges answers with the newest writes up to a revision, oldest first, without their objects: for the timeline. With
// quiet it leaves out what is most of the log and tells least: events, and what kubelets report about their nodes.
func (s *Server) serveChanges(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	until, err := readRevision(query, "until")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if until == 0 {
		until = s.config.Store.Revision()
	}
	quiet := query.Get("quiet") == "true"
	a := s.newAnswer(until)
	// The log is read forward: so it is looked through in stretches, the newest first.
	least := max(s.config.Store.CompactedRevision(), until-maxBack, 0)
	for last := until; last > least && len(a.Entries) < maxChanges/4; {
		after := max(last-maxChanges, least)
		err = s.between(r.Context(), after, last, func(event store.Event) error {
			e, err := s.read(event.Entry, nil, true)
			if e != nil && !(quiet && e.noise()) {
				a.Entries = append(a.Entries, e)
			}
			return err
		})
		if err != nil {
			s.refuse(w, err)
			return
		}
		last = after
	}
	a.send(w)
}

// noise says of a write that it is one of very many, and tells little.
func (e *entry) noise() bool {
	return e.Resource == "events" || e.Resource == "nodes" && strings.HasPrefix(e.Actor, "system:node:") && strings.HasSuffix(e.Verb, "/status")
}

func (a *answer) send(w http.ResponseWriter) {
	slices.SortFunc(a.Entries, func(x, y *entry) int { return cmp.Compare(x.Revision, y.Revision) })
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(a)
}

// refuse says why something cannot be read. A browser that gets 410 begins anew.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, store.ErrCompacted):
		http.Error(w, fmt.Sprintf("this revision is not kept any more; the oldest is %d", s.oldest()), http.StatusGone)
	case errors.Is(err, store.ErrFutureRevision):
		http.Error(w, fmt.Sprintf("this revision is not written yet; the newest is %d", s.config.Store.Revision()), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
