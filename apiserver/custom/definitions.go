package custom

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/loop"
)

// Name is the component's, in traces.
const Name = "customresourcedefinition-controller"

// definitionResource is where definitions are in the API.
var definitionResource = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

// Server serves the rows; an *apiserver.Server is one.
type Server interface {
	Serve(row *kinds.Kind) error
	Withdraw(resource schema.GroupVersionResource) error
}

// Definitions keeps what a server serves in step with the definitions that it stores. Make one with New.
type Definitions struct {
	server   Server
	client   client.Interface
	informer cache.SharedIndexInformer
	loop     *loop.Loop[string]

	mu     sync.Mutex
	served map[string]serving // by the definition's name
}

// serving is what a definition has brought about.
type serving struct {
	generation  int64
	terminating bool
	names       apiextensionsv1.CustomResourceDefinitionNames
	resources   []schema.GroupVersionResource // the one that stores first
}

// New makes the component. The client acts as the API server itself, which may do everything. A nil machine means that the
// component can be neither paused nor traced.
func New(server Server, c client.Interface, machine *loop.Machine) *Definitions {
	d := &Definitions{server: server, client: c, served: map[string]serving{}}
	d.loop = loop.New(Name, d.Reconcile, loop.Options{Machine: machine})
	d.informer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return d.list(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, definitionResource, "", options)
		},
	}, &apiextensionsv1.CustomResourceDefinition{}, 0, cache.Indexers{})
	_, _ = d.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { d.ask(object, "added") },
		UpdateFunc: func(_, object any) { d.ask(object, "changed") },
		DeleteFunc: func(object any) { d.ask(object, "deleted") },
	})
	return d
}

func (d *Definitions) list(ctx context.Context, options metav1.ListOptions) (*apiextensionsv1.CustomResourceDefinitionList, error) {
	page, err := d.client.List(ctx, definitionResource, "", options)
	if err != nil {
		return nil, err
	}
	list := &apiextensionsv1.CustomResourceDefinitionList{ListMeta: metav1.ListMeta{ResourceVersion: page.ResourceVersion, Continue: page.Continue}}
	for _, item := range page.Items {
		if definition, ok := item.(*apiextensionsv1.CustomResourceDefinition); ok {
			list.Items = append(list.Items, *definition)
		}
	}
	return list, nil
}

// ask queues a definition. A name that one frees or takes may matter to the others of its group.
func (d *Definitions) ask(object any, what string) {
	if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = missed.Obj
	}
	changed, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return
	}
	cause := fmt.Sprintf("customresourcedefinitions/%s %s", changed.Name, what)
	d.loop.Add(changed.Name, cause)
	for _, other := range d.all() {
		if other.Spec.Group == changed.Spec.Group && other.Name != changed.Name && !namesAccepted(other) {
			d.loop.Add(other.Name, cause)
		}
	}
}

func (d *Definitions) all() (all []*apiextensionsv1.CustomResourceDefinition) {
	for _, object := range d.informer.GetStore().List() {
		if definition, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok {
			all = append(all, definition)
		}
	}
	return all
}

// Load serves what the stored definitions have established, before a server that starts again lets anybody in.
func (d *Definitions) Load(ctx context.Context) error {
	list, err := d.list(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list definitions of custom resources: %w", err)
	}
	for i := range list.Items {
		definition := &list.Items[i]
		if !apihelpers.IsCRDConditionTrue(definition, apiextensionsv1.Established) {
			continue
		}
		if err := d.serve(definition); err != nil {
			return err
		}
	}
	return nil
}

// Run works until the context ends.
func (d *Definitions) Run(ctx context.Context) {
	var informer sync.WaitGroup
	informer.Go(func() { d.informer.Run(ctx.Done()) })
	cache.WaitForCacheSync(ctx.Done(), d.informer.HasSynced) // not synced: the context has ended, and so does the loop
	d.loop.Run(ctx)
	informer.Wait()
}

// Reconcile serves a definition whose names are free, and says in its status what came of it.
func (d *Definitions) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	definition, ok, err := d.get(name)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		loop.Say(ctx, "Withdraw", "definition", name)
		return 0, d.withdraw(name)
	case definition.DeletionTimestamp != nil:
		return d.terminate(ctx, definition)
	}
	status := definition.Status.DeepCopy()
	changed := definition.DeepCopy()
	d.acceptNames(changed)
	if namesAccepted(changed) {
		if err := d.serve(changed); err != nil {
			loop.Say(ctx, "CannotServe", "definition", name, "error", err.Error())
			setCondition(changed, apiextensionsv1.Established, apiextensionsv1.ConditionFalse, "NotServed", err.Error())
		} else {
			setCondition(changed, apiextensionsv1.Established, apiextensionsv1.ConditionTrue, "InitialNamesAccepted", "the initial names have been accepted")
		}
	}
	judgeApproval(changed)
	if equality.Semantic.DeepEqual(changed.Status, *status) {
		return 0, nil
	}
	loop.Say(ctx, "UpdateStatus", "definition", name, "established", apihelpers.IsCRDConditionTrue(changed, apiextensionsv1.Established))
	return 0, d.updateStatus(ctx, changed)
}

func (d *Definitions) get(name string) (*apiextensionsv1.CustomResourceDefinition, bool, error) {
	object, ok, err := d.informer.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil, false, err
	}
	definition, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	return definition, ok, nil
}

// updateStatus writes a definition's status. A definition that has changed meanwhile comes up again by itself.
func (d *Definitions) updateStatus(ctx context.Context, definition *apiextensionsv1.CustomResourceDefinition) error {
	_, err := d.client.Update(ctx, definitionResource, "", definition.Name, definition, metav1.UpdateOptions{}, "status")
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// serve makes the server's rows those of a definition, unless they are.
func (d *Definitions) serve(definition *apiextensionsv1.CustomResourceDefinition) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := serving{generation: definition.Generation, terminating: definition.DeletionTimestamp != nil, names: acceptedNames(definition)}
	before, ok := d.served[definition.Name]
	if ok && before.generation == now.generation && before.terminating == now.terminating && equality.Semantic.DeepEqual(before.names, now.names) {
		return nil
	}
	rows, err := Rows(definition)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if now.terminating {
			refuseCreation(row)
		}
		if err := d.server.Serve(row); err != nil {
			return err
		}
		now.resources = append(now.resources, row.Resource())
	}
	for _, resource := range before.resources {
		if !slices.Contains(now.resources, resource) {
			if err := d.server.Withdraw(resource); err != nil {
				return err
			}
		}
	}
	d.served[definition.Name] = now
	return nil
}

// withdraw ends serving what a definition brought, the versions that only show the stored one first.
func (d *Definitions) withdraw(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	resources := d.served[name].resources
	for i := len(resources) - 1; i >= 0; i-- {
		if err := d.server.Withdraw(resources[i]); err != nil {
			return err
		}
	}
	delete(d.served, name)
	return nil
}
