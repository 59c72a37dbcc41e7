package console

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// entry is one write of the store's log, as the browser gets it.
type entry struct {
	Revision int64 `json:"rev"`
	Ref
	Time    *time.Time      `json:"time,omitempty"`
	Actor   string          `json:"actor,omitempty"`
	Verb    string          `json:"verb,omitempty"`
	Cause   string          `json:"cause,omitempty"` // the component's step in which it was written
	Created bool            `json:"created,omitempty"`
	Deleted bool            `json:"deleted,omitempty"`
	About   string          `json:"about,omitempty"` // of an event: what it is about
	Object  json.RawMessage `json:"object,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"` // of a stretch of the log: what was there before it
}

// wanted are the resources whose objects a reader wants: the others' writes are told without them.
type wanted map[string]bool

func readWanted(query url.Values) wanted {
	w := wanted{}
	for name := range strings.SplitSeq(query.Get("resources"), ",") {
		if name != "" {
			w[name] = true
		}
	}
	return w
}

// hidden are the resources whose objects the console never sends by itself: what is in them is a secret.
const hidden = "secrets"

// heartbeats are most of what is written in a quiet cluster, and nobody follows them.
const heartbeats = "leases.coordination.k8s.io"

// read makes what a reader gets of an entry of the store: nil when it is nothing for it. With meta it tells who wrote it.
func (s *Server) read(from *store.Entry, objects wanted, meta bool) (*entry, error) {
	ref, object, err := s.config.Read(from)
	if err != nil {
		return nil, err
	}
	e := &entry{Revision: from.Revision, Ref: ref, Deleted: from.Deleted, Created: from.Version == 1 && !from.Deleted}
	if ref.Resource == heartbeats {
		return nil, nil
	}
	if meta {
		e.Time, e.Actor, e.Verb, e.Cause = &from.Meta.Time, from.Meta.Actor, from.Meta.Verb, from.Meta.Cause
	}
	if event, ok := object.(*corev1.Event); ok {
		e.About = event.InvolvedObject.Kind + "/" + event.InvolvedObject.Namespace + "/" + event.InvolvedObject.Name
	}
	if object != nil && objects[ref.Resource] && ref.Resource != hidden {
		if e.Object, err = encode(object, from.Revision); err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", ref.Resource, ref.Name, err)
		}
	}
	return e, nil
}

// encode leaves out the managed fields, which are half of many objects; the object itself is not changed.
func encode(object kinds.Object, revision int64) ([]byte, error) {
	own, ok := object.DeepCopyObject().(kinds.Object)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", object)
	}
	own.SetManagedFields(nil)
	own.SetResourceVersion(strconv.FormatInt(revision, 10))
	return json.Marshal(own)
}

func readRevision(query url.Values, name string) (int64, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	revision, err := strconv.ParseInt(text, 10, 64)
	if err != nil || revision < 0 {
		return 0, fmt.Errorf("%s must be a revision, not %q", name, text)
	}
	return revision, nil
}
