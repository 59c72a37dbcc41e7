package explain

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// Snapshot is the objects of a cluster at one moment, by kind. The objects are shared: nobody changes them.
type Snapshot struct {
	Now time.Time

	byType   map[reflect.Type][]client.Object
	byName   map[objectKey]client.Object
	children map[types.UID][]client.Object // by the owner that controls them
	events   map[eventKey][]*corev1.Event
}

type objectKey struct {
	kind            reflect.Type
	namespace, name string
}

type eventKey struct{ kind, namespace, name string }

// NewSnapshot makes a snapshot of the objects given.
func NewSnapshot(now time.Time, objects ...client.Object) *Snapshot {
	s := &Snapshot{Now: now, byType: map[reflect.Type][]client.Object{}, byName: map[objectKey]client.Object{},
		children: map[types.UID][]client.Object{}, events: map[eventKey][]*corev1.Event{}}
	for _, object := range objects {
		s.add(object)
	}
	for _, about := range s.events {
		slices.SortStableFunc(about, func(a, b *corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	}
	return s
}

func (s *Snapshot) add(object client.Object) {
	kind := reflect.TypeOf(object)
	s.byType[kind] = append(s.byType[kind], object)
	s.byName[objectKey{kind, object.GetNamespace(), object.GetName()}] = object
	if owner := controllerOf(object); owner != nil {
		s.children[owner.UID] = append(s.children[owner.UID], object)
	}
	if event, ok := object.(*corev1.Event); ok {
		about := eventKey{event.InvolvedObject.Kind, event.InvolvedObject.Namespace, event.InvolvedObject.Name}
		s.events[about] = append(s.events[about], event)
	}
}

// Read takes a snapshot through the API. The revision is that of the store to read at, "" for the present one.
func Read(ctx context.Context, api client.Interface, revision string) (*Snapshot, error) {
	options := metav1.ListOptions{}
	if revision != "" {
		options.ResourceVersion, options.ResourceVersionMatch = revision, metav1.ResourceVersionMatchExact
	}
	var objects []client.Object
	for _, list := range readers {
		found, err := list(ctx, api, options)
		if err != nil {
			return nil, fmt.Errorf("look at the cluster: %w", err)
		}
		objects = append(objects, found...)
	}
	return NewSnapshot(time.Now(), objects...), nil
}

// readers list what the explaining functions look at.
var readers = []func(context.Context, client.Interface, metav1.ListOptions) ([]client.Object, error){
	list[*corev1.Namespace], list[*corev1.Node], list[*corev1.Pod], list[*corev1.Service], list[*corev1.ConfigMap], list[*corev1.Secret],
	list[*corev1.Event], list[*corev1.PersistentVolumeClaim], list[*corev1.PersistentVolume], list[*corev1.ResourceQuota],
	list[*corev1.ServiceAccount], list[*corev1.ReplicationController],
	list[*appsv1.Deployment], list[*appsv1.ReplicaSet], list[*appsv1.StatefulSet], list[*appsv1.DaemonSet],
	list[*batchv1.Job], list[*batchv1.CronJob], list[*discoveryv1.EndpointSlice],
	list[*networkingv1.Ingress], list[*networkingv1.IngressClass], list[*storagev1.StorageClass],
}

func list[T client.Object](ctx context.Context, api client.Interface, options metav1.ListOptions) ([]client.Object, error) {
	found, err := client.Of[T](api).List(ctx, "", options)
	if err != nil {
		return nil, err
	}
	objects := make([]client.Object, len(found))
	for i, object := range found {
		objects[i] = object
	}
	return objects, nil
}

// all returns the objects of a type in a namespace; "" is every namespace.
func all[T client.Object](s *Snapshot, namespace string) []T {
	var kind T
	var found []T
	for _, object := range s.byType[reflect.TypeOf(kind)] {
		if namespace == "" || object.GetNamespace() == namespace {
			found = append(found, object.(T))
		}
	}
	return found
}

// find returns one object.
func find[T client.Object](s *Snapshot, namespace, name string) (T, bool) {
	var kind T
	found, ok := s.byName[objectKey{reflect.TypeOf(kind), namespace, name}].(T)
	return found, ok
}

// owned returns the objects of a type that another controls.
func owned[T client.Object](s *Snapshot, owner client.Object) []T {
	var found []T
	for _, object := range s.children[owner.GetUID()] {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// Object finds what a reference names, among the kinds that a snapshot holds.
func (s *Snapshot) Object(ref Ref) (client.Object, bool) {
	for key, object := range s.byName {
		if key.name == ref.Name && key.namespace == ref.Namespace && refOf(object).Kind == ref.Kind {
			return object, true
		}
	}
	return nil, false
}

// Events are what components said about an object, oldest first.
func (s *Snapshot) Events(ref Ref) []*corev1.Event {
	return s.events[eventKey{ref.Kind, ref.Namespace, ref.Name}]
}

// lastEvent is the newest event about an object with one of some reasons, that a test accepts (nil accepts all).
func (s *Snapshot) lastEvent(ref Ref, accept func(*corev1.Event) bool, reasons ...string) *corev1.Event {
	about := s.Events(ref)
	for i := len(about) - 1; i >= 0; i-- {
		if slices.Contains(reasons, about[i].Reason) && (accept == nil || accept(about[i])) {
			return about[i]
		}
	}
	return nil
}

// names lists the names of objects.
func names[T client.Object](objects []T) []string {
	var all []string
	for _, object := range objects {
		all = append(all, object.GetName())
	}
	return all
}
