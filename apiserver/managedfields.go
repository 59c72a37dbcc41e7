package apiserver

import (
	"fmt"
	"log/slog"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"kubette/apiserver/kinds"
)

// fieldManagers keep metadata.managedFields of one resource: who set which field. There is one for the resource and one
// for each of its subresources, made when first needed.
type fieldManagers struct {
	res      *resource
	registry *registry

	sets    fieldSets
	changes memory[changeKey, *change]
	rests   memory[claim, remainder] // what a change leaves to those who had set a field before

	mu   sync.Mutex
	made map[string]*managedfields.FieldManager
}

func newFieldManagers(res *resource, r *registry) *fieldManagers {
	return &fieldManagers{res: res, registry: r, made: map[string]*managedfields.FieldManager{}}
}

// builtinTypes know the structure of Kubernetes' own kinds: which lists are maps by a key, which are sets or atoms.
// Building them takes time, so it is done when the first field is managed.
var builtinTypes = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// extensionTypes are those of the API's own extension, CustomResourceDefinitions.
var extensionTypes = sync.OnceValue(func() managedfields.TypeConverter {
	extensions := runtime.NewScheme()
	utilruntime.Must(apiextensionsv1.AddToScheme(extensions)) // a scheme that nobody else has cannot refuse
	return apiextensions.NewTypeConverter(extensions)
})

func (m *fieldManagers) of(subresource string) (*managedfields.FieldManager, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if made := m.made[subresource]; made != nil {
		return made, nil
	}
	gvk, hub := m.res.GroupVersionKind(), m.res.storage.GroupVersionKind().GroupVersion()
	convert := fieldConverter{m.registry, m.res}
	reset := map[fieldpath.APIVersion]fieldpath.Filter{}
	if filter := m.res.resetFilter(subresource); filter != nil {
		reset[fieldpath.APIVersion(gvk.GroupVersion().String())] = filter
	}
	var made *managedfields.FieldManager
	var err error
	if m.res.custom() {
		made, err = managedfields.NewDefaultCRDFieldManager(m.res.types(), convert, convert, convert, gvk, hub, subresource, reset)
	} else {
		made, err = managedfields.NewDefaultFieldManager(m.res.types(), convert, convert, convert, gvk, hub, subresource, reset)
	}
	if err != nil {
		return nil, err
	}
	m.made[subresource] = made
	return made, nil
}

// custom says that the kind is a custom resource, which has no Go type.
func (res *resource) custom() bool {
	_, custom := res.blank.(*unstructured.Unstructured)
	return custom
}

func (res *resource) types() managedfields.TypeConverter {
	switch {
	case res.Structure != nil:
		return res.Structure()
	case res.custom():
		return managedfields.NewDeducedTypeConverter()
	case res.Group == apiextensionsv1.GroupName:
		return extensionTypes()
	}
	return builtinTypes()
}

var (
	withoutSpec          = fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("spec")))
	withoutSpecAndLabels = fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("metadata", "labels")))
	withoutStatus        = fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))
)

// resetFilter leaves out the part of the object that a write cannot change, so that nobody owns it this way.
func (res *resource) resetFilter(subresource string) fieldpath.Filter {
	switch {
	case res.Status == nil:
		return nil
	case subresource == "status" && res.Plural == "deployments" && res.Group == "apps":
		return withoutSpecAndLabels
	case subresource == "status":
		return withoutSpec
	}
	return withoutStatus
}

// created records who sets the fields of a new object.
func (m *fieldManagers) created(op *operation, object kinds.Object) kinds.Object {
	return m.updated(op, nil, object)
}

// updated records who changes which fields; old is nil for a new object. A failure must not keep anybody from writing: it
// leaves the record as it was.
func (m *fieldManagers) updated(op *operation, old, object kinds.Object) kinds.Object {
	switch done, err := m.record(op, old, object); {
	case done:
		return object
	case err != nil:
		slog.Error("managed fields are not recorded", "resource", m.res.Resource().String(), "error", err)
		if old != nil {
			object.SetManagedFields(old.GetManagedFields())
		}
		return object
	}
	return m.updatedByLibrary(op, old, object)
}

// updatedByLibrary does it with apimachinery's field manager, which knows every case.
func (m *fieldManagers) updatedByLibrary(op *operation, old, object kinds.Object) kinds.Object {
	if old == nil {
		old = m.res.New()
	}
	manager, err := m.of(op.Subresource)
	if err != nil {
		slog.Error("managed fields are not recorded", "resource", m.res.Resource().String(), "error", err)
		return object
	}
	object.GetObjectKind().SetGroupVersionKind(m.res.GroupVersionKind())
	result := manager.UpdateNoErrors(m.res.withKind(old), object, op.manager).(kinds.Object)
	withoutKind(result)
	wholeSeconds(result)
	return result
}

// applied merges an applied configuration into an object and records what it owns; old is nil for a new object.
func (m *fieldManagers) applied(op *operation, old kinds.Object, patch *unstructured.Unstructured, force bool) (kinds.Object, error) {
	if old == nil {
		old = m.res.New()
	}
	manager, err := m.of(op.Subresource)
	if err != nil {
		return nil, err
	}
	result, err := manager.Apply(m.res.withKind(old), patch, op.manager, force)
	if err != nil {
		return nil, err
	}
	withoutKind(result)
	object, ok := result.(kinds.Object)
	if !ok {
		return nil, fmt.Errorf("apply made a %T of a %s", result, m.res.GroupVersionKind())
	}
	wholeSeconds(object)
	return object, nil
}

// wholeSeconds cuts the times of managed fields to what is stored.
func wholeSeconds(object kinds.Object) {
	entries := object.GetManagedFields()
	for i := range entries {
		if t := entries[i].Time; t != nil && t.Nanosecond() != 0 {
			entries[i].Time = new(metav1.Unix(t.Unix(), 0))
		}
	}
	object.SetManagedFields(entries)
}

// fieldConverter gives the field managers the rows' conversions between versions, defaults and empty objects.
type fieldConverter struct {
	registry *registry
	res      *resource
}

var _ runtime.ObjectConvertor = fieldConverter{}

// ConvertToVersion implements runtime.ObjectConvertor.
func (c fieldConverter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	from := in.GetObjectKind().GroupVersionKind()
	row := c.row(from)
	if row == nil {
		return nil, runtime.NewNotRegisteredErrForKind("apiserver", from)
	}
	object, err := row.typed(in)
	if err != nil {
		return nil, err
	}
	to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{from, {Group: c.res.Group, Version: c.res.Version, Kind: c.res.Kind.Kind},
		c.res.storage.GroupVersionKind()})
	if !ok {
		return nil, runtime.NewNotRegisteredErrForTarget("apiserver", nil, target)
	}
	if to == from {
		return object, nil
	}
	other := c.row(to)
	if other == nil || other.storage != row.storage {
		return nil, runtime.NewNotRegisteredErrForKind("apiserver", to)
	}
	stored, err := row.store(object)
	if err != nil {
		return nil, err
	}
	shown, err := other.show(stored)
	if err != nil {
		return nil, err
	}
	return other.withKind(shown), nil
}

func (c fieldConverter) row(gvk schema.GroupVersionKind) *resource {
	if gvk == c.res.GroupVersionKind() {
		return c.res
	}
	return c.registry.byKind[gvk]
}

// typed returns an object in the Go type of its kind.
func (res *resource) typed(in runtime.Object) (kinds.Object, error) {
	object, ok := in.(kinds.Object)
	if !ok {
		return nil, fmt.Errorf("a %T is no object of the API", in)
	}
	from, generic := in.(*unstructured.Unstructured)
	to := res.New()
	if _, custom := to.(*unstructured.Unstructured); !generic || custom {
		return object, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to); err != nil {
		return nil, err
	}
	return to, nil
}

// Convert implements runtime.ObjectConvertor; field managers do not use it.
func (c fieldConverter) Convert(in, _, _ any) error { return fmt.Errorf("cannot convert a %T", in) }

// ConvertFieldLabel implements runtime.ObjectConvertor; field managers do not use it.
func (c fieldConverter) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default implements runtime.ObjectDefaulter.
func (c fieldConverter) Default(in runtime.Object) {
	if object, ok := in.(kinds.Object); ok && c.res.Default != nil {
		c.res.Default(object)
	}
}

// New implements runtime.ObjectCreater.
func (c fieldConverter) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	row := c.row(gvk)
	if row == nil {
		return nil, runtime.NewNotRegisteredErrForKind("apiserver", gvk)
	}
	return row.withKind(row.New()), nil
}
