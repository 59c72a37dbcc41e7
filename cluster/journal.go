package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"kubette/apiserver/kinds"
	"kubette/explain"
	"kubette/loop"
	"kubette/store"
)

// registryPrefix is where the API server keeps objects in the store.
const registryPrefix = "/registry/"

// recorder reads what the store and the machine recorded, for the explaining tools.
type recorder struct {
	cluster *Cluster
	byShelf map[string]*kinds.Kind // by group/plural
	byName  map[string]*kinds.Kind // by plural: the first row of that name

	mu    sync.Mutex
	steps map[string]*loop.Record
	last  string // the newest step that is in steps
}

// recorder makes a recorder that knows the kinds that are served now.
func (c *Cluster) recorder() *recorder {
	r := &recorder{cluster: c, byShelf: map[string]*kinds.Kind{}, byName: map[string]*kinds.Kind{}, steps: map[string]*loop.Record{}}
	rows, _ := c.server.Kinds()
	for _, row := range rows {
		if row.Virtual || row.Storage != nil {
			continue
		}
		group := row.Group
		if group == "" {
			group = "core"
		}
		r.byShelf[group+"/"+row.Plural] = row
		if r.byName[row.Plural] == nil {
			r.byName[row.Plural] = row
		}
	}
	return r
}

// kind finds a kind by what a user calls it: deployment, deploy, deployments.apps, Deployment.
func (r *recorder) kind(word string) (*kinds.Kind, error) {
	word = strings.ToLower(word)
	rows, _ := r.cluster.server.Kinds()
	for _, row := range rows {
		if row.Virtual || row.Storage != nil {
			continue
		}
		names := append([]string{row.Plural, row.Singular, strings.ToLower(row.Kind), row.Plural + "." + row.Group}, row.ShortNames...)
		for _, name := range names {
			if name != "" && name == word {
				return row, nil
			}
		}
	}
	return nil, fmt.Errorf("the cluster has no kind of object called %q; `kubectl api-resources` lists them", word)
}

func (r *recorder) ref(row *kinds.Kind, namespace, name string) explain.Ref {
	if !row.Namespaced {
		namespace = ""
	}
	return explain.Ref{Group: row.Group, Resource: row.Plural, Kind: row.Kind, Namespace: namespace, Name: name}
}

// key is where an object is in the store.
func key(object explain.Ref) string {
	group := object.Group
	if group == "" {
		group = "core"
	}
	if object.Namespace == "" {
		return registryPrefix + group + "/" + object.Resource + "/" + object.Name
	}
	return registryPrefix + group + "/" + object.Resource + "/" + object.Namespace + "/" + object.Name
}

// object is what a key of the store names, and its kind; nil when it is not served any more.
func (r *recorder) object(key string) (explain.Ref, *kinds.Kind) {
	parts := strings.SplitN(strings.TrimPrefix(key, registryPrefix), "/", 4)
	if len(parts) < 3 {
		return explain.Ref{Resource: key}, nil
	}
	object := explain.Ref{Group: parts[0], Resource: parts[1], Name: parts[2]}
	if object.Group == "core" {
		object.Group = ""
	}
	if len(parts) == 4 {
		object.Namespace, object.Name = parts[2], parts[3]
	}
	row := r.byShelf[parts[0]+"/"+parts[1]]
	if row != nil {
		object.Kind = row.Kind
	}
	return object, row
}

// write is an entry of the store as data.
func (r *recorder) write(entry *store.Entry) explain.Write {
	object, _ := r.object(entry.Key)
	return explain.Write{
		Revision: entry.Revision, Time: entry.Meta.Time, Actor: entry.Meta.Actor, Who: explain.Who(entry.Meta.Actor), Verb: entry.Meta.Verb,
		Cause: entry.Meta.Cause, Object: object, Deleted: entry.Deleted, Created: entry.Version == 1 && !entry.Deleted,
	}
}

// changes compares an entry with the one before it.
func (r *recorder) changes(before, entry *store.Entry) ([]explain.Change, error) {
	old, err := r.decode(before)
	if err != nil {
		return nil, err
	}
	now, err := r.decode(entry)
	if err != nil {
		return nil, err
	}
	return explain.Changes(old, now)
}

// decode returns the object of an entry; nil for a tombstone, and for a kind that is not served any more.
func (r *recorder) decode(entry *store.Entry) (kinds.Object, error) {
	if entry == nil || entry.Deleted {
		return nil, nil
	}
	if object, ok := entry.Object.(kinds.Object); ok {
		return object, nil
	}
	_, row := r.object(entry.Key)
	if row == nil {
		return nil, nil
	}
	object := row.New()
	if err := decodeStored(entry.Value(), object); err != nil {
		return nil, fmt.Errorf("read revision %d of %s: %w", entry.Revision, entry.Key, err)
	}
	return object, nil
}

// decodeStored reads what the API server stored: protobuf for Kubernetes' own types, JSON for custom ones.
func decodeStored(data []byte, into runtime.Object) error {
	if typed, ok := into.(interface{ Unmarshal([]byte) error }); ok {
		return typed.Unmarshal(data)
	}
	return decodeJSON(data, into)
}

// journal gives the explaining functions what is recorded.
func (r *recorder) journal(ctx context.Context) explain.Journal {
	return explain.Journal{Writes: func(object explain.Ref) []explain.Write { return r.writes(ctx, object, false) }, Step: r.step}
}

// writes are the kept writes of an object, oldest first; with the changes that the newest made, if they are wanted. A cause names a resource without its group: the first row of
// that name is meant.
func (r *recorder) writes(ctx context.Context, object explain.Ref, changes bool) []explain.Write {
	if row := r.byName[object.Resource]; object.Kind == "" && row != nil {
		object.Group = row.Group
	}
	entries, err := r.cluster.store.History(ctx, key(object))
	if err != nil {
		return nil
	}
	writes := make([]explain.Write, len(entries))
	for i, entry := range entries {
		writes[i] = r.write(entry)
		var before *store.Entry
		if i > 0 {
			before = entries[i-1]
		}
		if changes && entry.Version > 1 && i >= len(entries)-explain.ChainWrites {
			if found, err := r.changes(before, entry); err == nil {
				writes[i].Changes = found
			}
		}
	}
	return writes
}

// step finds a kept step.
func (r *recorder) step(id string) *loop.Record {
	if id == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.steps[id]; found != nil {
		return found
	}
	records, _ := r.cluster.machine.After(r.last)
	for _, record := range records {
		r.steps[record.ID], r.last = record, record.ID
	}
	if len(r.steps) > 2*traceLength { // a recorder that follows for long forgets what the machine forgot
		r.steps, r.last = map[string]*loop.Record{}, ""
	}
	return r.steps[id]
}
