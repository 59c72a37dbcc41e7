package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// registryPrefix is where objects live in the store, as in Kubernetes' etcd.
const registryPrefix = "/registry/"

// resource is a row of the registry in service: a kind at one version.
type resource struct {
	*kinds.Kind
	// storage is the resource whose form is stored and checked. It is the resource itself, but for the kinds that show
	// another one's objects (autoscaling/v1, events.k8s.io).
	storage *resource
	prefix  string // of its keys in the store, ending in a slash
	// blank is an object without anything in it, for what asks for the Go type, and to compare new objects with. It is
	// shared, and never changed.
	blank    kinds.Object
	managers *fieldManagers
}

// registry holds what is served. It is never changed: serving another kind makes a new one.
type registry struct {
	ordered    []*resource
	byResource map[schema.GroupVersionResource]*resource
	byKind     map[schema.GroupVersionKind]*resource
	stored     map[schema.GroupResource]*resource
	byPrefix   map[string]*resource // the same, by where they are in the store
}

func newRegistry(rows []*kinds.Kind) (*registry, error) {
	r := &registry{
		byResource: map[schema.GroupVersionResource]*resource{},
		byKind:     map[schema.GroupVersionKind]*resource{},
		stored:     map[schema.GroupResource]*resource{},
		byPrefix:   map[string]*resource{},
	}
	for _, row := range rows {
		if err := r.add(row); err != nil {
			return nil, err
		}
	}
	for _, res := range r.ordered {
		if res.Storage == nil {
			continue
		}
		storage := r.storageRow(*res.Storage)
		if storage == nil {
			return nil, fmt.Errorf("%s shows the objects of %s, which is not served", res.Resource(), res.Storage)
		}
		res.storage, res.prefix = storage, storage.prefix
	}
	for _, res := range r.ordered {
		res.managers = newFieldManagers(res, r)
	}
	return r, nil
}

func (r *registry) add(row *kinds.Kind) error {
	group := row.Group
	if group == "" {
		group = "core"
	}
	res := &resource{Kind: row, prefix: registryPrefix + group + "/" + row.Plural + "/", blank: row.New()}
	res.storage = res
	if _, twice := r.byResource[row.Resource()]; twice {
		return fmt.Errorf("%s has two rows", row.Resource())
	}
	r.ordered = append(r.ordered, res)
	r.byResource[row.Resource()] = res
	if _, taken := r.byKind[row.GroupVersionKind()]; !taken {
		r.byKind[row.GroupVersionKind()] = res
	}
	if row.Storage == nil && !row.Virtual {
		r.stored[row.Resource().GroupResource()], r.byPrefix[res.prefix] = res, res
	}
	return nil
}

func (r *registry) storageRow(kind schema.GroupKind) *resource {
	for _, res := range r.stored {
		if res.GroupVersionKind().GroupKind() == kind {
			return res
		}
	}
	return nil
}

// with returns a registry that serves a row in place of the one with the same resource, if any; a nil row removes it.
func (r *registry) with(gvr schema.GroupVersionResource, row *kinds.Kind) (*registry, error) {
	rows := make([]*kinds.Kind, 0, len(r.ordered)+1)
	for _, res := range r.ordered {
		if res.Resource() != gvr {
			rows = append(rows, res.Kind)
		}
	}
	if row != nil {
		rows = append(rows, row)
	}
	return newRegistry(rows)
}

// lookup finds a resource that a request names. What is not served is a 404, as an unknown path is.
func (r *registry) lookup(gvr schema.GroupVersionResource) (*resource, error) {
	if res, ok := r.byResource[gvr]; ok {
		return res, nil
	}
	return nil, errUnknownPath()
}

// groups returns the served API groups with their versions, in the order of the rows; the core group is "".
func (r *registry) groups() (names []string, versions map[string][]string) {
	versions = map[string][]string{}
	for _, res := range r.ordered {
		if _, seen := versions[res.Group]; !seen {
			names = append(names, res.Group)
		}
		if !slices.Contains(versions[res.Group], res.Version) {
			versions[res.Group] = append(versions[res.Group], res.Version)
		}
	}
	return names, versions
}

// resources returns the rows of one group version, by plural name.
func (r *registry) resources(gv schema.GroupVersion) []*resource {
	byName := map[string]*resource{}
	for _, res := range r.ordered {
		if res.Resource().GroupVersion() == gv {
			byName[res.Plural] = res
		}
	}
	var sorted []*resource
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		sorted = append(sorted, byName[name])
	}
	return sorted
}

// allVerbs are what a row without Verbs serves.
var allVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

func (res *resource) verbs() []string {
	switch {
	case res.Verbs != nil:
		return res.Verbs
	case res.Virtual:
		return []string{"create"}
	}
	return allVerbs
}

// serves returns the 405 answer for a verb that the resource does not have.
func (res *resource) serves(verb string) error {
	if slices.Contains(res.verbs(), verb) {
		return nil
	}
	return apierrors.NewMethodNotSupported(res.groupResource(), verb)
}

func (res *resource) groupResource() schema.GroupResource { return res.Resource().GroupResource() }
func (res *resource) groupKind() schema.GroupKind         { return res.GroupVersionKind().GroupKind() }

// ownGroup says whether a group is Kubernetes' own; of the group without a name, only the version v1 is there.
func (r *registry) ownGroup(version schema.GroupVersion) bool {
	return slices.ContainsFunc(r.ordered, func(res *resource) bool {
		return !res.custom() && res.Group == version.Group && (res.Group != "" || res.Version == version.Version)
	})
}

// key is where an object is in the store. The namespace of cluster-scoped objects is "".
func (res *resource) key(namespace, name string) string {
	if namespace == "" {
		return res.prefix + name
	}
	return res.prefix + namespace + "/" + name
}

// keysUnder is the prefix of a namespace's keys, or of all when the namespace is "".
func (res *resource) keysUnder(namespace string) string {
	if namespace == "" {
		return res.prefix
	}
	return res.prefix + namespace + "/"
}

// shelfOf returns the part of a store key that names the resource: /registry/apps/deployments/.
func shelfOf(key string) string {
	rest := strings.TrimPrefix(key, registryPrefix)
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		if j := strings.IndexByte(rest[i+1:], '/'); j >= 0 {
			return key[:len(registryPrefix)+i+1+j+1]
		}
	}
	return ""
}

// show converts a stored object to the resource's version.
func (res *resource) show(object kinds.Object) (kinds.Object, error) {
	if res.FromStorage == nil {
		return object, nil
	}
	shown, err := res.FromStorage(object)
	if err != nil {
		return nil, fmt.Errorf("show %s %s as %s: %w", res.storage.Plural, object.GetName(), res.Resource(), err)
	}
	return shown, nil
}

// store converts an object of the resource's version to the stored one.
func (res *resource) store(object kinds.Object) (kinds.Object, error) {
	if res.ToStorage == nil {
		return object, nil
	}
	stored, err := res.ToStorage(object)
	if err != nil {
		return nil, fmt.Errorf("convert %s %s from %s: %w", res.storage.Plural, object.GetName(), res.Resource(), err)
	}
	return stored, nil
}
