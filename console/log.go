package console

import (
	"fmt"
	"net/http"

	"kubette/store"
)

// maxStretch is how many revisions of the log are read at once.
const maxStretch = 2000

// serveLog answers with every write of the wanted resources after one revision and up to another one, with the objects: what
// a browser needs to go back and forth between the two by itself. Where a write replaced something that is older than the
// stretch, that is told as well: so the stretch can be undone.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := readRevision(query, "after")
	until, untilErr := readRevision(query, "until")
	if err != nil || untilErr != nil || after >= until || until-after > maxStretch {
		http.Error(w, fmt.Sprintf("after and until must be revisions, in this order, and at most %d apart", maxStretch), http.StatusBadRequest)
		return
	}
	objects := readWanted(query)
	a := s.newAnswer(until)
	err = s.between(r.Context(), after, until, func(event store.Event) error {
		e, err := s.read(event.Entry, objects, false)
		if err != nil || e == nil || !objects[e.Resource] {
			return err
		}
		if event.Previous != nil && !event.Previous.Deleted && event.Previous.Revision <= after {
			before, err := s.read(event.Previous, objects, false)
			if err != nil {
				return err
			}
			e.Before = before.Object
		}
		a.Entries = append(a.Entries, e)
		return nil
	})
	if err != nil {
		s.refuse(w, err)
		return
	}
	a.send(w)
}
