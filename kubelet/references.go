package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"kubette/client"
)

// references watch the config maps and secrets that this node's pods refer to, each alone: a kubelet sees no others. A pod
// that refers to one is looked at again when it changes or appears. Kubernetes' kubelet does the same ("watch based
// manager"), so that a node that was broken into gives away no more than what it runs.
type references struct {
	client  client.Interface
	changed func(w *worker, cause string)
	wake    chan struct{}
	group   sync.WaitGroup

	mu      sync.Mutex
	objects map[refName]*watched
	ctx     context.Context // nil until run
}

// refName names one object.
type refName struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

func (r refName) String() string { return r.resource.Resource + "/" + r.namespace + "/" + r.name }

// watched is one object and who refers to it. The object is nil while there is none.
type watched struct {
	users  map[*worker]bool
	object client.Object
	fresh  bool // the watch is up, the object is what the API has
	cancel context.CancelFunc
}

func newReferences(c client.Interface, changed func(*worker, string)) *references {
	return &references{client: c, changed: changed, objects: map[refName]*watched{}}
}

// run keeps the watches until the context ends, and waits for them.
func (r *references) run(ctx context.Context) {
	r.mu.Lock()
	r.ctx = ctx
	for ref, object := range r.objects {
		r.follow(ref, object)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.group.Wait()
}

// get returns an object that a pod refers to, and from now on watches it for the pod. A missing one gives NotFound.
func (r *references) get(ctx context.Context, w *worker, ref refName) (client.Object, error) {
	r.mu.Lock()
	object := r.objects[ref]
	if object == nil {
		object = &watched{users: map[*worker]bool{}}
		r.objects[ref] = object
		if r.ctx != nil {
			r.follow(ref, object)
		}
	}
	if !object.users[w] {
		object.users[w] = true
		w.mu.Lock()
		w.references = append(w.references, ref)
		w.mu.Unlock()
	}
	if object.fresh {
		defer r.mu.Unlock()
		if object.object == nil {
			return nil, apierrors.NewNotFound(ref.resource.GroupResource(), ref.name)
		}
		return object.object, nil
	}
	r.mu.Unlock()
	found, err := r.client.Get(ctx, ref.resource, ref.namespace, ref.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.(client.Object), nil
}

// release ends a pod's interest in all that it referred to.
func (r *references) release(w *worker) {
	w.mu.Lock()
	refs := w.references
	w.references = nil
	w.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range refs {
		object := r.objects[ref]
		if object == nil {
			continue
		}
		delete(object.users, w)
		if len(object.users) == 0 {
			delete(r.objects, ref)
			if object.cancel != nil {
				object.cancel()
			}
		}
	}
}

// follow watches one object; the lock is held.
func (r *references) follow(ref refName, object *watched) {
	ctx, cancel := context.WithCancel(r.ctx)
	object.cancel = cancel
	r.group.Go(func() {
		defer cancel()
		for ctx.Err() == nil {
			if err := r.watch(ctx, ref, object); err != nil && !sleep(ctx, time.Second) {
				return
			}
		}
	})
}

// watch lists one object and follows its changes until the watch ends.
func (r *references) watch(ctx context.Context, ref refName, object *watched) error {
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", ref.name).String()}
	list, err := r.client.List(ctx, ref.resource, ref.namespace, options)
	if err != nil {
		return err
	}
	var first client.Object
	if len(list.Items) > 0 {
		first, _ = list.Items[0].(client.Object)
	}
	r.put(ref, object, first)
	options.ResourceVersion = list.ResourceVersion
	stream, err := r.client.Watch(ctx, ref.resource, ref.namespace, options)
	if err != nil {
		return err
	}
	defer stream.Stop()
	for {
		select {
		case event, ok := <-stream.ResultChan():
			if !ok || event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			changed, isObject := event.Object.(client.Object)
			if !isObject || event.Type == watch.Bookmark {
				continue
			}
			if event.Type == watch.Deleted {
				changed = nil
			}
			r.put(ref, object, changed)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put takes a new version, and asks for the pods that refer to it.
func (r *references) put(ref refName, object *watched, new client.Object) {
	r.mu.Lock()
	same := object.fresh && (object.object == nil) == (new == nil) &&
		(new == nil || object.object.GetResourceVersion() == new.GetResourceVersion())
	first := !object.fresh
	object.object, object.fresh = new, true
	users := make([]*worker, 0, len(object.users))
	for w := range object.users {
		users = append(users, w)
	}
	r.mu.Unlock()
	if same || first && new == nil {
		return
	}
	for _, w := range users {
		r.changed(w, ref.String()+" changed")
	}
}

// referenceChanged asks for a pod at once: what waited for the object need not wait longer.
func (s *session) referenceChanged(w *worker, cause string) {
	w.mu.Lock()
	w.mountRetry = retry{}
	for _, c := range w.containers {
		c.retryAt = time.Time{}
	}
	w.mu.Unlock()
	s.loop.Add(w.key, cause)
}

// referConfigMap reads a config map that a pod refers to, and watches it for the pod.
func (s *session) referConfigMap(ctx context.Context, w *worker, namespace, name string) (*corev1.ConfigMap, error) {
	object, err := s.refs.get(ctx, w, refName{client.ResourceOf[*corev1.ConfigMap](), namespace, name})
	if err != nil {
		return nil, err
	}
	return object.(*corev1.ConfigMap), nil
}

// referSecret is referConfigMap for a secret.
func (s *session) referSecret(ctx context.Context, w *worker, namespace, name string) (*corev1.Secret, error) {
	object, err := s.refs.get(ctx, w, refName{client.ResourceOf[*corev1.Secret](), namespace, name})
	if err != nil {
		return nil, err
	}
	return object.(*corev1.Secret), nil
}

// secret reads a secret once.
func (s *session) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return client.Of[*corev1.Secret](s.client).Get(ctx, namespace, name)
}

// selectorsFor narrows the kubelet's watches to its own node.
func selectorsFor(node string) map[schema.GroupVersionResource]string {
	return map[schema.GroupVersionResource]string{
		client.ResourceOf[*corev1.Pod](): fields.OneTermEqualSelector("spec.nodeName", node).String(),
	}
}
