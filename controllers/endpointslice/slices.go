package endpointslice

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// serviceIndex finds slices by namespace/service.
const serviceIndex = "service"

// Slices writes the slices that bear one managed-by label.
type Slices struct {
	client    client.Interface
	informer  client.Informer[*discoveryv1.EndpointSlice]
	managedBy string
	capacity  int // endpoints in a slice
	writes    *controllers.Writes
	sizes     *sync.Map // endpoints by key, for Endpoints
	waiting   *sync.Map // keys that wait for the cache
}

// cacheWait is when to look again whether the cache shows the last writes; usually their arrival asks before.
const cacheWait = time.Second

// Owner says whose slices are written, and what all of them bear.
type Owner struct {
	Object      client.Object // goes into the owner references
	Service     string
	Labels      map[string]string
	Annotations map[string]string
	Trigger     time.Time // see controllers.TriggerTimes
}

// NewSlices makes a writer. ask is called with namespace/service when a slice changed that must be looked after.
func NewSlices(base controllers.Base, managedBy string, capacity int, ask func(key, cause string)) Slices {
	s := Slices{client: base.Client, informer: client.InformerFor[*discoveryv1.EndpointSlice](base.Informers),
		managedBy: managedBy, capacity: capacity, writes: &controllers.Writes{}, sizes: &sync.Map{}, waiting: &sync.Map{}}
	s.informer.AddIndex(serviceIndex, func(slice *discoveryv1.EndpointSlice) []string {
		return []string{serviceKey(slice)}
	})
	tell := func(slice *discoveryv1.EndpointSlice, what string) {
		if slice.Labels[discoveryv1.LabelManagedBy] != managedBy {
			return
		}
		key := serviceKey(slice)
		if _, waiting := s.waiting.Load(key); waiting || what == "deleted" || !s.writes.Own(key, slice) {
			ask(key, controllers.Cause("endpointslices", slice, what))
		}
	}
	s.informer.Handle(client.Handler[*discoveryv1.EndpointSlice]{
		Add: func(slice *discoveryv1.EndpointSlice) { tell(slice, "added") },
		Update: func(old, slice *discoveryv1.EndpointSlice) {
			if old.ResourceVersion == slice.ResourceVersion {
				return
			}
			if serviceKey(old) != serviceKey(slice) || old.Labels[discoveryv1.LabelManagedBy] != slice.Labels[discoveryv1.LabelManagedBy] {
				s.writes.Lost(serviceKey(old), old)
				tell(old, "relabelled")
			}
			tell(slice, "changed")
		},
		Delete: func(slice *discoveryv1.EndpointSlice) {
			s.writes.Lost(serviceKey(slice), slice)
			tell(slice, "deleted")
		},
	})
	return s
}

func serviceKey(slice *discoveryv1.EndpointSlice) string {
	return slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
}

// Endpoints is how many endpoints a service had when it was last reconciled.
func (s Slices) Endpoints(key string) int {
	size, _ := s.sizes.Load(key)
	count, _ := size.(int)
	return count
}

// Forget drops what is known of a service that is gone.
func (s Slices) Forget(key string) {
	s.writes.Forget(key)
	s.sizes.Delete(key)
	s.waiting.Delete(key)
}

// change is what is to be written for one service.
type change struct{ create, update, remove []*discoveryv1.EndpointSlice }

// Reconcile makes a service's slices hold the endpoints of the groups, with as few writes as possible: slices stay as
// they are where they are right, and gaps are filled before new ones are made. While the cache does not show the last
// writes nothing is done: their arrival will ask again.
func (s Slices) Reconcile(ctx context.Context, owner Owner, groups []Group) (time.Duration, error) {
	owner = s.dress(owner)
	key := owner.Object.GetNamespace() + "/" + owner.Service
	there := slices.DeleteFunc(s.informer.ByIndex(serviceIndex, key), func(slice *discoveryv1.EndpointSlice) bool {
		return slice.Labels[discoveryv1.LabelManagedBy] != s.managedBy
	})
	s.waiting.Store(key, true)
	if controllers.Missing(s.writes, key, there) {
		loop.Say(ctx, "WaitForCache")
		return cacheWait, nil
	}
	s.waiting.Delete(key)
	there = slices.DeleteFunc(there, func(slice *discoveryv1.EndpointSlice) bool { return slice.DeletionTimestamp != nil })
	slices.SortFunc(there, func(a, b *discoveryv1.EndpointSlice) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	var todo change
	kept := map[*discoveryv1.EndpointSlice]bool{}
	total := 0
	for _, group := range groups {
		total += len(group.Endpoints)
		s.arrange(owner, group, there, kept, &todo)
	}
	s.sizes.Store(key, total)
	for _, slice := range there {
		if !kept[slice] {
			todo.remove = append(todo.remove, slice)
		}
	}
	s.keepPlaceholders(owner, groups, &todo, kept)
	reuse(&todo)
	return 0, s.write(ctx, key, owner, todo)
}

// arrange distributes one group over the slices that have its ports, and new ones.
func (s Slices) arrange(owner Owner, group Group, there []*discoveryv1.EndpointSlice, kept map[*discoveryv1.EndpointSlice]bool, todo *change) {
	wanted := make(map[string]discoveryv1.Endpoint, len(group.Endpoints))
	for _, endpoint := range group.Endpoints {
		wanted[endpointKey(endpoint)] = endpoint
	}
	var changed, unchanged []*discoveryv1.EndpointSlice
	ports := portsKey(group.Ports)
	for _, slice := range there {
		if kept[slice] || slice.AddressType != group.Family || len(group.Endpoints) == 0 || portsKey(slice.Ports) != ports {
			continue
		}
		endpoints, differs := pick(slice, wanted)
		if len(endpoints) == 0 {
			continue // left to be removed, or reused
		}
		kept[slice] = true
		if differs || !owner.fits(slice) {
			fresh := slice.DeepCopy()
			fresh.Endpoints = endpoints
			changed = append(changed, fresh)
		} else {
			unchanged = append(unchanged, slice)
		}
	}
	rest := make([]discoveryv1.Endpoint, 0, len(wanted))
	for _, endpoint := range group.Endpoints { // in the pods' order, not the map's
		if _, left := wanted[endpointKey(endpoint)]; left {
			rest = append(rest, endpoint)
		}
	}
	// Slices that must be written anyway are filled first, the fullest before the others.
	slices.SortStableFunc(changed, func(a, b *discoveryv1.EndpointSlice) int { return len(b.Endpoints) - len(a.Endpoints) })
	for _, slice := range changed {
		rest = s.fill(slice, rest)
	}
	for len(rest) > 0 {
		slice := s.roomFor(len(rest), unchanged)
		if slice != nil {
			unchanged = slices.DeleteFunc(unchanged, func(other *discoveryv1.EndpointSlice) bool { return other == slice })
			slice = slice.DeepCopy()
			changed = append(changed, slice)
		} else {
			slice = s.empty(owner, group)
			todo.create = append(todo.create, slice)
		}
		rest = s.fill(slice, rest)
	}
	todo.update = append(todo.update, changed...)
}

// pick returns the endpoints of a slice that are still wanted, in their wanted form, and takes them off the list.
func pick(slice *discoveryv1.EndpointSlice, wanted map[string]discoveryv1.Endpoint) ([]discoveryv1.Endpoint, bool) {
	var endpoints []discoveryv1.Endpoint
	differs := false
	for _, endpoint := range slice.Endpoints {
		key := endpointKey(endpoint)
		fresh, ok := wanted[key]
		if !ok {
			differs = true
			continue
		}
		delete(wanted, key)
		endpoints = append(endpoints, fresh)
		differs = differs || !sameEndpoint(endpoint, fresh)
	}
	return endpoints, differs
}

// sameEndpoint compares all but hints, field by field: it is called for every pod of a service again and again.
func sameEndpoint(a, b discoveryv1.Endpoint) bool {
	return slices.Equal(a.Addresses, b.Addresses) && same(a.Conditions.Ready, b.Conditions.Ready) &&
		same(a.Conditions.Serving, b.Conditions.Serving) && same(a.Conditions.Terminating, b.Conditions.Terminating) &&
		same(a.Hostname, b.Hostname) && same(a.NodeName, b.NodeName) && same(a.Zone, b.Zone) &&
		same(a.TargetRef, b.TargetRef) && maps.Equal(a.DeprecatedTopology, b.DeprecatedTopology)
}

func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// roomFor finds, for the last few endpoints, the fullest slice that takes them all.
func (s Slices) roomFor(count int, candidates []*discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	var best *discoveryv1.EndpointSlice
	for _, slice := range candidates {
		if len(slice.Endpoints)+count <= s.capacity && (best == nil || len(slice.Endpoints) > len(best.Endpoints)) {
			best = slice
		}
	}
	return best
}

func (s Slices) fill(slice *discoveryv1.EndpointSlice, rest []discoveryv1.Endpoint) []discoveryv1.Endpoint {
	count := min(max(s.capacity-len(slice.Endpoints), 0), len(rest))
	slice.Endpoints = append(slices.Clip(slice.Endpoints), rest[:count]...)
	return rest[count:]
}

// keepPlaceholders sees to it that a service without any endpoint in a family has one empty slice, which says so.
func (s Slices) keepPlaceholders(owner Owner, groups []Group, todo *change, kept map[*discoveryv1.EndpointSlice]bool) {
	for _, group := range groups {
		if len(group.Endpoints) > 0 {
			continue
		}
		at := slices.IndexFunc(todo.remove, func(slice *discoveryv1.EndpointSlice) bool {
			return slice.AddressType == group.Family && len(slice.Endpoints) == 0 && len(slice.Ports) == 0 &&
				owner.fits(slice)
		})
		if at >= 0 {
			kept[todo.remove[at]] = true
			todo.remove = slices.Delete(todo.remove, at, at+1)
			continue
		}
		todo.create = append(todo.create, s.empty(owner, Group{Family: group.Family}))
	}
}

// reuse turns a removal and a creation into an update, which keeps the slice's name.
func reuse(todo *change) {
	todo.remove = slices.DeleteFunc(todo.remove, func(old *discoveryv1.EndpointSlice) bool {
		at := slices.IndexFunc(todo.create, func(slice *discoveryv1.EndpointSlice) bool { return slice.AddressType == old.AddressType })
		if at < 0 {
			return false
		}
		fresh := old.DeepCopy()
		fresh.Endpoints, fresh.Ports = todo.create[at].Endpoints, todo.create[at].Ports
		todo.update = append(todo.update, fresh)
		todo.create = slices.Delete(todo.create, at, at+1)
		return true
	})
}

func (s Slices) empty(owner Owner, group Group) *discoveryv1.EndpointSlice {
	prefix := owner.Service + "-"
	if len(validation.NameIsDNSSubdomain(prefix, true)) != 0 {
		prefix = owner.Service
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName:    prefix,
			Namespace:       owner.Object.GetNamespace(),
			OwnerReferences: []metav1.OwnerReference{controllers.OwnerRef(owner.Object)},
		},
		AddressType: group.Family,
		Ports:       group.Ports,
		Endpoints:   []discoveryv1.Endpoint{},
	}
}

// dress completes the labels and annotations that all slices of an owner bear.
func (s Slices) dress(owner Owner) Owner {
	owner.Labels, owner.Annotations = maps.Clone(owner.Labels), maps.Clone(owner.Annotations)
	if owner.Labels == nil {
		owner.Labels = map[string]string{}
	}
	owner.Labels[discoveryv1.LabelServiceName] = owner.Service
	owner.Labels[discoveryv1.LabelManagedBy] = s.managedBy
	if !owner.Trigger.IsZero() {
		if owner.Annotations == nil {
			owner.Annotations = map[string]string{}
		}
		owner.Annotations[corev1.EndpointsLastChangeTriggerTime] = owner.Trigger.UTC().Format(time.RFC3339Nano)
	}
	return owner
}

func (o Owner) fits(slice *discoveryv1.EndpointSlice) bool {
	return maps.Equal(slice.Labels, o.Labels) && maps.Equal(untimed(slice.Annotations), untimed(o.Annotations))
}

// untimed leaves the trigger time out: that alone is no reason to write a slice.
func untimed(annotations map[string]string) map[string]string {
	annotations = maps.Clone(annotations)
	delete(annotations, corev1.EndpointsLastChangeTriggerTime)
	return annotations
}

func (s Slices) write(ctx context.Context, key string, owner Owner, todo change) error {
	api := client.Of[*discoveryv1.EndpointSlice](s.client)
	var failures []error
	for _, slice := range todo.create {
		slice.Labels, slice.Annotations = maps.Clone(owner.Labels), maps.Clone(owner.Annotations)
		created, err := api.Create(ctx, slice)
		switch {
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return nil // nothing can be created there any more
		case err != nil:
			failures = append(failures, err)
			continue
		}
		loop.Say(ctx, "CreateSlice", "name", created.Name, "endpoints", len(created.Endpoints))
		s.writes.Wrote(key, created)
	}
	for _, slice := range todo.update {
		slice.Labels, slice.Annotations = maps.Clone(owner.Labels), maps.Clone(owner.Annotations)
		loop.Say(ctx, "UpdateSlice", "name", slice.Name, "endpoints", len(slice.Endpoints))
		written, err := api.Update(ctx, slice)
		if err != nil {
			failures = append(failures, controllers.IgnoreNotFound(err))
			continue
		}
		s.writes.Wrote(key, written)
	}
	for _, slice := range todo.remove {
		loop.Say(ctx, "DeleteSlice", "name", slice.Name)
		if err := api.Delete(ctx, slice.Namespace, slice.Name, metav1.DeleteOptions{}); controllers.IgnoreNotFound(err) != nil {
			failures = append(failures, err)
			continue
		}
		s.writes.Deleted(key, slice)
	}
	return errors.Join(failures...)
}

// endpointKey tells endpoints apart whatever their conditions.
func endpointKey(endpoint discoveryv1.Endpoint) string {
	key := ""
	if len(endpoint.Addresses) > 0 {
		key = endpoint.Addresses[0]
	}
	if endpoint.TargetRef != nil {
		key += "/" + string(endpoint.TargetRef.UID) + endpoint.TargetRef.Name
	}
	if endpoint.Hostname != nil {
		key += "/" + *endpoint.Hostname
	}
	return key
}

func portsKey(ports []discoveryv1.EndpointPort) string {
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, func(a, b discoveryv1.EndpointPort) int {
		return slices.Compare([]string{text(a.Name), text(a.Protocol)}, []string{text(b.Name), text(b.Protocol)})
	})
	key, err := json.Marshal(sorted)
	if err != nil {
		return "" // cannot be: ports are plain data
	}
	return string(key)
}

func text[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

// Clear deletes the slices of a service that are no longer to be kept.
func (s Slices) Clear(ctx context.Context, namespace, service string) error {
	key := namespace + "/" + service
	s.sizes.Delete(key)
	var failures []error
	for _, slice := range s.informer.ByIndex(serviceIndex, key) {
		if slice.Labels[discoveryv1.LabelManagedBy] != s.managedBy || slice.DeletionTimestamp != nil {
			continue
		}
		loop.Say(ctx, "DeleteSlice", "name", slice.Name)
		err := client.Of[*discoveryv1.EndpointSlice](s.client).Delete(ctx, namespace, slice.Name, metav1.DeleteOptions{})
		failures = append(failures, controllers.IgnoreNotFound(err))
	}
	return errors.Join(failures...)
}
