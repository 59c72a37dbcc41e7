package client

import (
	"context"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
)

// Informers keep local copies of what one component watches: one list and watch per type, shared by all who ask.
// Make them, take what you need with InformerFor, add handlers, then Run.
type Informers struct {
	client    Interface
	selectors map[schema.GroupVersionResource]string

	mu      sync.Mutex
	running context.Context
	group   sync.WaitGroup
	byType  map[reflect.Type]cache.SharedIndexInformer
}

// NewInformers makes an empty set. fieldSelectors narrows what is watched, by resource: a kubelet watches only the pods
// bound to its node. Nil means everything.
func NewInformers(c Interface, fieldSelectors map[schema.GroupVersionResource]string) *Informers {
	return &Informers{client: c, selectors: fieldSelectors, byType: map[reflect.Type]cache.SharedIndexInformer{}}
}

// Run keeps the informers fresh until the context ends, and waits for them to finish.
func (f *Informers) Run(ctx context.Context) {
	f.Start(ctx)
	<-ctx.Done()
	f.group.Wait()
}

// Start begins to watch and returns; informers asked for later start at once. Run and Wait join them.
func (f *Informers) Start(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		return
	}
	f.running = ctx
	for _, informer := range f.byType {
		f.group.Go(func() { informer.RunWithContext(ctx) })
	}
}

// Wait returns when every informer has ended, after the context given to Start has.
func (f *Informers) Wait() { f.group.Wait() }

// Sync waits until every informer has its first full list. It returns false when the context ends before.
func (f *Informers) Sync(ctx context.Context) bool {
	f.mu.Lock()
	synced := make([]cache.InformerSynced, 0, len(f.byType))
	for _, informer := range f.byType {
		synced = append(synced, informer.HasSynced)
	}
	f.mu.Unlock()
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// Informer is a local, always current copy of the objects of one type. Objects are shared: copy before you change one.
type Informer[T Object] struct{ shared cache.SharedIndexInformer }

// InformerFor returns the set's informer for T.
func InformerFor[T Object](f *Informers) Informer[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := reflect.TypeFor[T]()
	informer, ok := f.byType[key]
	if !ok {
		resource := ResourceOf[T]()
		informer = cache.NewSharedIndexInformer(f.listWatch(resource, KindOf[T]()), newObject[T](), 0,
			cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		f.byType[key] = informer
		if f.running != nil {
			ctx := f.running
			f.group.Go(func() { informer.RunWithContext(ctx) })
		}
	}
	return Informer[T]{shared: informer}
}

func (f *Informers) listWatch(resource schema.GroupVersionResource, kind schema.GroupVersionKind) cache.ListerWatcher {
	selector := f.selectors[resource]
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			page, err := f.client.List(ctx, resource, "", options)
			if err != nil {
				return nil, err
			}
			return asList(kind, page)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			return f.client.Watch(ctx, resource, "", options)
		},
	}
}

// asList packs items into the kind's list type, which is what an informer's reflector takes.
func asList(kind schema.GroupVersionKind, page *List) (runtime.Object, error) {
	list, err := scheme.Scheme.New(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err != nil {
		return nil, err
	}
	if err := meta.SetList(list, page.Items); err != nil {
		return nil, err
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	accessor.SetResourceVersion(page.ResourceVersion)
	accessor.SetContinue(page.Continue)
	return list, nil
}

// Handler receives what changes. A nil function is not called. Update is called for every new version, and Delete also
// when the deletion itself was missed.
type Handler[T Object] struct {
	Add    func(object T)
	Update func(old, new T)
	Delete func(last T)
}

// Handle adds a handler; it is called from one goroutine, in order, and must not block.
func (i Informer[T]) Handle(h Handler[T]) {
	_, _ = i.shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if h.Add != nil {
				h.Add(object.(T))
			}
		},
		UpdateFunc: func(old, new any) {
			if h.Update != nil {
				h.Update(old.(T), new.(T))
			}
		},
		DeleteFunc: func(object any) {
			if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = missed.Obj
			}
			if last, ok := object.(T); ok && h.Delete != nil {
				h.Delete(last)
			}
		},
	})
}

// Get returns the object with a name, if there is one.
func (i Informer[T]) Get(namespace, name string) (T, bool) {
	var zero T
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	object, ok, err := i.shared.GetIndexer().GetByKey(key)
	if err != nil || !ok {
		return zero, false
	}
	return object.(T), true
}

// List returns the objects of a namespace ("" for all) that a selector matches; nil matches everything.
func (i Informer[T]) List(namespace string, selector labels.Selector) []T {
	var found []T
	add := func(object any) {
		if typed := object.(T); selector == nil || selector.Empty() || selector.Matches(labels.Set(typed.GetLabels())) {
			found = append(found, typed)
		}
	}
	if namespace == "" {
		for _, object := range i.shared.GetIndexer().List() {
			add(object)
		}
		return found
	}
	objects, _ := i.shared.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	for _, object := range objects {
		add(object)
	}
	return found
}

// AddIndex lets ByIndex look objects up by values computed from them; adding a name twice keeps the first.
func (i Informer[T]) AddIndex(name string, values func(object T) []string) {
	if _, ok := i.shared.GetIndexer().GetIndexers()[name]; ok {
		return
	}
	_ = i.shared.AddIndexers(cache.Indexers{name: func(object any) ([]string, error) { return values(object.(T)), nil }})
}

// ByIndex returns the objects for which an index gives a value.
func (i Informer[T]) ByIndex(name, value string) []T {
	objects, err := i.shared.GetIndexer().ByIndex(name, value)
	if err != nil {
		return nil
	}
	found := make([]T, 0, len(objects))
	for _, object := range objects {
		found = append(found, object.(T))
	}
	return found
}

// HasSynced says whether the first full list has arrived.
func (i Informer[T]) HasSynced() bool { return i.shared.HasSynced() }
