package garbagecollector

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/controllers"
)

// node is one object in the graph. Its fields are read and written under the graph's lock.
type node struct {
	uid       types.UID
	resource  controllers.Resource
	namespace string
	name      string
	owners    []metav1.OwnerReference
	// dependents name this object as an owner.
	dependents map[types.UID]*node
	deleting   bool // has a deletion time
	foreground bool // waits for its dependents: has the finalizer too
	orphaning  bool // has the finalizer orphan
	// virtual: known only from the references of others. It is either not seen yet, or gone.
	virtual bool
}

// graph holds all objects by UID.
type graph struct {
	mu    sync.Mutex
	nodes map[types.UID]*node
	// gone are owners that the API was found not to have: dependents that show up later need not ask again.
	gone map[types.UID]struct{}
}

// goneLimit bounds the memory of absent owners.
const goneLimit = 10_000

// put adds or replaces an object, and returns what must be looked at because of it.
func (g *graph) put(resource controllers.Resource, object metav1.Object) (look []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	uid := object.GetUID()
	n, known := g.nodes[uid]
	if !known {
		n = &node{uid: uid}
		g.nodes[uid] = n
	}
	before, wasForeground, wasOrphaning := n.owners, n.foreground, n.orphaning
	n.resource, n.namespace, n.name, n.virtual = resource, object.GetNamespace(), object.GetName(), false
	n.deleting = object.GetDeletionTimestamp() != nil
	n.foreground = n.deleting && slices.Contains(object.GetFinalizers(), metav1.FinalizerDeleteDependents)
	n.orphaning = n.deleting && slices.Contains(object.GetFinalizers(), metav1.FinalizerOrphanDependents)
	if owners := object.GetOwnerReferences(); !slices.EqualFunc(before, owners, sameOwner) {
		n.owners = slices.Clone(owners)
		g.link(n, before, owners)
		look = append(look, g.unblocked(before)...)
		if !g.settled(n) {
			look = append(look, uid)
		}
	}
	if n.foreground && !wasForeground || n.orphaning && !wasOrphaning {
		look = append(look, uid)
	}
	return look
}

// settled says whether the graph alone shows that an object may stay: every owner is there, and none waits for it to go.
func (g *graph) settled(n *node) bool {
	for _, owner := range n.owners {
		if o, ok := g.nodes[owner.UID]; !ok || o.virtual || o.foreground {
			return false
		}
	}
	return true
}

// unblocked returns those of the owners that wait for their dependents and have none left to wait for.
func (g *graph) unblocked(owners []metav1.OwnerReference) (free []types.UID) {
	for _, owner := range owners {
		if o, ok := g.nodes[owner.UID]; ok && o.foreground && !o.blocked() {
			free = append(free, owner.UID)
		}
	}
	return free
}

// blocked says whether a node has dependents that must go before it.
func (n *node) blocked() bool {
	for _, dependent := range n.dependents {
		for _, owner := range dependent.owners {
			if owner.UID == n.uid && owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion {
				return true
			}
		}
	}
	return false
}

func sameOwner(a, b metav1.OwnerReference) bool {
	blocks := func(o metav1.OwnerReference) bool { return o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion }
	return a.UID == b.UID && a.Name == b.Name && a.Kind == b.Kind && a.APIVersion == b.APIVersion && blocks(a) == blocks(b)
}

// link registers a node with its owners. Owners that nobody has seen are added as virtual ones, to be verified.
func (g *graph) link(n *node, before, after []metav1.OwnerReference) {
	for _, owner := range before {
		if o, ok := g.nodes[owner.UID]; ok {
			delete(o.dependents, n.uid)
			if o.virtual && len(o.dependents) == 0 {
				delete(g.nodes, owner.UID)
			}
		}
	}
	for _, owner := range after {
		o, ok := g.nodes[owner.UID]
		if !ok {
			o = &node{uid: owner.UID, name: owner.Name, namespace: n.namespace, virtual: true}
			g.nodes[owner.UID] = o
		}
		if o.dependents == nil {
			o.dependents = map[types.UID]*node{}
		}
		o.dependents[n.uid] = n
	}
}

// remove takes an object that is gone out, and returns what must be looked at: its dependents, and owners that waited.
func (g *graph) remove(uid types.UID) (look []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, ok := g.nodes[uid]
	if !ok {
		return nil
	}
	g.link(n, n.owners, nil)
	look = g.unblocked(n.owners)
	delete(g.nodes, uid)
	if len(n.dependents) > 0 {
		g.noteGone(uid)
		for dependent := range n.dependents {
			look = append(look, dependent)
		}
		// They still refer to it: it stays as a virtual node until they are gone.
		g.nodes[uid] = &node{uid: uid, name: n.name, namespace: n.namespace, dependents: n.dependents, virtual: true}
	}
	return look
}

func (g *graph) noteGone(uid types.UID) {
	if g.gone == nil || len(g.gone) >= goneLimit {
		g.gone = map[types.UID]struct{}{}
	}
	g.gone[uid] = struct{}{}
}

// markGone notes that the API does not have an owner.
func (g *graph) markGone(uid types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noteGone(uid)
}

func (g *graph) isGone(uid types.UID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, gone := g.gone[uid]
	return gone
}

// view returns a copy of a node's state without its dependents, to work with outside the lock, and whether the graph alone
// shows that there is nothing to do.
func (g *graph) view(uid types.UID) (seen node, settled, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, ok := g.nodes[uid]
	if !ok || n.virtual {
		return node{}, false, false
	}
	seen = *n
	seen.dependents = nil
	return seen, !n.foreground && !n.orphaning && (n.deleting || g.settled(n)), true
}

// children returns copies of a node's dependents, and whether any of them blocks its deletion.
func (g *graph) children(uid types.UID) (children []node, blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, ok := g.nodes[uid]
	if !ok {
		return nil, false
	}
	for _, child := range n.dependents {
		copied := *child
		copied.dependents = nil
		children = append(children, copied)
	}
	return children, n.blocked()
}
