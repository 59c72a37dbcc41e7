package kinds

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Object is what the API stores.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is one row of the registry: all that the API server needs to know of a resource. Functions that are nil do
// nothing. Rows are written with Row, which gives the functions the Go type.
type Kind struct {
	Group, Version, Kind string
	Plural, Singular     string
	ShortNames           []string
	Categories           []string // "all" for what `kubectl get all` lists
	Namespaced           bool
	// Verbs that are served, nil for all of create delete deletecollection get list patch update watch.
	Verbs []string
	// MetadataLast says that the metadata of a new object is looked at when nothing else is wrong.
	MetadataLast bool
	// Deprecation is a warning that every answer to a request for the kind carries; "" for none.
	Deprecation string

	New     func() Object         // an empty object
	NewList func() runtime.Object // an empty list

	// Default fills in what the user left out, on everything that is decoded and before anything is validated.
	Default func(object Object)
	// Prune drops what the schema of a custom resource does not know, and returns where that was, for the answer that
	// fieldValidation asks for. An error means that the object cannot be read at all. It is nil for kinds whose Go types say
	// what there is, and runs before Default.
	Prune func(object Object) (unknown []string, err error)
	// Structure says how the fields of a custom resource are owned, for server-side apply; nil takes lists as a whole and
	// everything else field by field. Kubernetes' own kinds need none.
	Structure func() managedfields.TypeConverter
	// Schema describes a custom resource in OpenAPI, version 2 or 3, all but the fields that every object has. The result
	// is the caller's. Kubernetes' own kinds need none.
	Schema func(v2 bool) *spec.Schema
	// PrepareForCreate resets what a user may not set (status) before a create is validated, and sets metadata.generation
	// to 1 for the kinds that count generations. All other metadata is the server's business.
	PrepareForCreate func(object Object)
	// SetCreator writes into a new object who makes it, for the few kinds that say so; nil for the others.
	SetCreator func(object Object, by user.Info)
	// PrepareForUpdate resets what an update may not change (status), and raises metadata.generation where the spec
	// changed. The object comes with the old object's generation: a user cannot set it.
	PrepareForUpdate func(object, old Object)
	// ValidateName checks metadata.name; nil is a DNS subdomain. With prefix it checks a generateName.
	ValidateName func(name string, prefix bool) []string
	// Validate checks a whole new object, all but its metadata, which the server checks for every kind alike.
	Validate func(object Object) field.ErrorList
	// ValidateUpdate checks a change, all but metadata; it calls Validate where Kubernetes does.
	ValidateUpdate func(object, old Object) field.ErrorList
	// Warnings are sent back as Warning headers on create and update.
	Warnings func(object, old Object) []string

	// Status is present when the kind has a status subresource.
	Status *StatusSubresource
	// Scale is present when the kind has a scale subresource.
	Scale *ScaleSubresource

	// AllowCreateOnUpdate: a PUT to a name that does not exist creates it. UnconditionalUpdate: a PUT without a
	// resourceVersion overwrites. Kubernetes sets these by kind.
	AllowCreateOnUpdate bool
	UnconditionalUpdate bool

	// Allocate reserves what the cluster hands out (a service's addresses and ports) just before a create (old is nil),
	// an update, or after a deletion (object is nil). release undoes it, and is called when the write fails.
	Allocate func(ctx context.Context, cluster Cluster, object, old Object) (release func(), err error)

	// Grace decides about graceful deletion: it returns the grace period in seconds to store in the object, given the one
	// asked for (nil for none asked), or 0 to remove at once. Only pods have it.
	Grace func(object Object, asked *int64) int64

	// ReturnDeleted: a delete answers with the deleted object; a Status otherwise. Kubernetes sets it by kind (pods,
	// services, service accounts, volumes and claims, quotas, pod templates, storage classes).
	ReturnDeleted bool
	// OrphanByDefault: a delete without a propagation policy leaves the dependents alone (jobs, replication controllers).
	OrphanByDefault bool
	// PrepareForDelete changes what is stored when a deletion has begun but finalizers hold it (a namespace's phase).
	PrepareForDelete func(object Object)
	// HoldsDeletion says whether something beyond metadata.finalizers holds a deletion (a namespace's spec.finalizers).
	HoldsDeletion func(object Object) bool

	// Fields are the field selectors beyond metadata.name and metadata.namespace.
	Fields func(object Object) fields.Set
	// FieldNames lists the keys that Fields gives; any other is refused.
	FieldNames []string
	// Index is the one of these fields by which objects are often selected: objects are found, and watches woken, by its
	// value. "" for none. Indexed reads it.
	Index   string
	Indexed func(object Object) string

	// Columns and Cells are what `kubectl get` prints. Columns include Name and Age; priority 1 columns are for -o wide.
	Columns []metav1.TableColumnDefinition
	Cells   func(object Object) []any

	// SeldomRead: many are written and few are read (events), so an object is kept encoded only, until somebody asks for
	// such objects.
	SeldomRead bool

	// Storage is the row that holds the objects when several API versions show the same ones (autoscaling/v1 and v2,
	// events in two groups); nil for a row of its own. ToStorage and FromStorage convert.
	Storage     *schema.GroupKind
	ToStorage   func(object Object) (Object, error)
	FromStorage func(object Object) (Object, error)

	// Virtual kinds are never stored: they are computed when they are created (TokenReview, SubjectAccessReview; the API
	// server answers them by kind), or, with Compute, when they are read.
	Virtual bool
	// Compute makes the objects of a virtual kind that can be read, in a namespace or in all of them (""), by name. They
	// are the caller's own.
	Compute func(ctx context.Context, namespace string) ([]Object, error)
}

// StatusSubresource is how PUT and PATCH on /status behave.
type StatusSubresource struct {
	// Prepare copies everything but the status from old; nil copies the spec by the field name.
	Prepare func(object, old Object)
	// Validate checks the change.
	Validate func(object, old Object) field.ErrorList
}

// ScaleSubresource reads and writes a kind's replica count.
type ScaleSubresource struct {
	// Get returns the wanted and the present count, and the selector in its string form.
	Get func(object Object) (wanted, present int32, selector string)
	Set func(object Object, wanted int32)
}

// Cluster is what a row may ask of the API server around it.
type Cluster interface {
	// Get returns a stored object, shared: copy before changing.
	Get(group, plural, namespace, name string) (Object, bool)
	// List returns the stored objects of a resource, shared; namespace "" for all.
	List(group, plural, namespace string) []Object
	// Addresses and Ports are the allocators of service cluster addresses and node ports.
	Addresses() Allocator
	Ports() Allocator
}

// Indexed is a Cluster that can find objects by the field that their row has as its Index.
type Indexed interface {
	// ListIndexed returns the stored objects with a value, shared, in no order; namespace "" for all.
	ListIndexed(group, plural, namespace, value string) []Object
	// AnyIndexed says whether one of these objects matches, and asks no further then. match must not read the cluster.
	AnyIndexed(group, plural, namespace, value string, match func(Object) bool) bool
}

// StatusWriter is a Cluster in which admission can note what it has decided.
type StatusWriter interface {
	// UpdateStatus writes an object's status as the API server itself. It returns a conflict when the object is not the
	// stored one any more.
	UpdateStatus(ctx context.Context, group, plural string, object Object) error
}

// Allocator hands out values of a finite range, each to one owner.
type Allocator interface {
	// Allocate takes a certain value. The error says why it cannot be had: out of range, or taken.
	Allocate(value string) error
	// Next takes a free value.
	Next() (string, error)
	Release(value string)
}

// Resource is the row's resource, for example deployments.apps.
func (k *Kind) Resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}
}

// GroupVersionKind is the row's kind, for example apps/v1 Deployment.
func (k *Kind) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}
