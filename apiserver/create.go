package apiserver

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// errVersionOnCreate is the answer to a create with a resourceVersion: that of an object which exists somewhere.
var errVersionOnCreate = errors.New("resourceVersion should not be set on objects to be created")

// Create stores a new object, or posts to a subresource of the object that the request names.
func (s *Server) Create(ctx context.Context, r Request, object runtime.Object, options metav1.CreateOptions) (runtime.Object, error) {
	op, err := s.begin(ctx, r, "create")
	if err != nil {
		return nil, err
	}
	if err := op.options("CreateOptions", options.DryRun, options.FieldManager, options.FieldValidation); err != nil {
		return nil, err
	}
	if op.Subresource != "" {
		return s.createSubresource(ctx, op, object)
	}
	incoming, err := op.incoming(object)
	if err != nil {
		return nil, err
	}
	wipeSystemFields(incoming)
	if err := placeIn(op.Namespace, incoming); err != nil {
		return nil, err
	}
	op.dedupOwners(incoming, false)
	if op.Virtual {
		return s.createVirtual(ctx, op, incoming)
	}
	incoming = op.managers.created(op, incoming)
	if err := s.admit(ctx, op, "CREATE", incoming, nil); err != nil {
		return nil, err
	}
	op.dedupOwners(incoming, true)
	return s.createNamed(ctx, op, incoming)
}

// createNamed stores an object; one that gets a generated name is tried with others when that is taken.
func (s *Server) createNamed(ctx context.Context, op *operation, object kinds.Object) (kinds.Object, error) {
	if object.GetName() != "" || object.GetGenerateName() == "" {
		return s.createOne(ctx, op, object)
	}
	var created kinds.Object
	var err error
	for range nameAttempts {
		created, err = s.createOne(ctx, op, shallow(object)) // of the attempts only one is kept
		if !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	return created, err
}

// createOne stores an admitted object, which is its own from here on.
func (s *Server) createOne(ctx context.Context, op *operation, object kinds.Object) (_ kinds.Object, err error) {
	generated := object.GetName() == ""
	fillSystemFields(object)
	stored, err := op.store(object)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	release, err := s.allocate(ctx, op, stored, nil)
	if err != nil {
		return nil, err
	}
	written := false
	defer func() {
		if !written {
			release()
		}
	}()
	if op.storage.PrepareForCreate != nil {
		op.storage.PrepareForCreate(stored)
	}
	if op.storage.SetCreator != nil {
		op.storage.SetCreator(stored, op.User)
	}
	if errs := append(op.storage.validateCreate(stored), op.validateShown(object, nil)...); len(errs) > 0 {
		return nil, op.storage.invalid(stored.GetName(), errs)
	}
	op.warnAbout(stored, nil)
	if err := s.validateAdmission(ctx, op, "CREATE", stored, nil); err != nil {
		return nil, err
	}
	if stored.GetResourceVersion() != "" {
		return nil, plainError(errVersionOnCreate)
	}
	s.siblings.share(stored)
	key := op.key(op.Namespace, stored.GetName())
	if op.dryRun {
		if existing, err := s.cache.get(op.resource, key); err != nil || existing != nil {
			return nil, existsError(op, stored.GetName(), existing, generated, err)
		}
		return op.show(stored)
	}
	after, err := s.write(ctx, op, key, stored, 0)
	if errors.Is(err, store.ErrConflict) {
		existing, getErr := s.cache.get(op.resource, key)
		return nil, existsError(op, stored.GetName(), existing, generated, getErr)
	}
	if err != nil {
		return nil, err
	}
	written = true
	s.siblings.remember(stored)
	return op.show(after)
}

// validateCreate checks a whole new object. The rule for names is the row's own, so metadata comes first.
func (res *resource) validateCreate(object kinds.Object) field.ErrorList {
	if res.Validate == nil {
		return res.validateMetadata(object)
	}
	if !res.MetadataLast {
		return append(res.validateMetadata(object), res.Validate(object)...)
	}
	if errs := res.Validate(object); len(errs) > 0 {
		return errs
	}
	return res.validateMetadata(object)
}

// validateShown checks an object in the version in which it was sent, where it is stored in another one: what the version
// asks for beyond that. old is nil for a new object.
func (op *operation) validateShown(object, old kinds.Object) field.ErrorList {
	switch {
	case op.storage == op.resource || op.Subresource != "":
	case old == nil && op.Validate != nil:
		return op.validateCreate(object)
	case old != nil && op.ValidateUpdate != nil:
		return op.ValidateUpdate(object, old)
	}
	return nil
}

// existsError is the answer when the name is taken.
func existsError(op *operation, name string, existing *item, generated bool, err error) error {
	if err != nil {
		return err
	}
	taken := apierrors.NewAlreadyExists(op.groupResource(), name)
	if generated {
		taken = apierrors.NewGenerateNameConflict(op.groupResource(), name, 1)
	}
	if existing != nil && existing.object.GetDeletionTimestamp() != nil {
		taken.ErrStatus.Message = "object is being deleted: " + taken.ErrStatus.Message
	}
	return taken
}

// incoming returns the request's own copy of an object handed in, of the resource's Go type, with defaults filled in.
func (op *operation) incoming(object runtime.Object) (kinds.Object, error) {
	own, err := op.convertIncoming(object)
	if err != nil {
		return nil, err
	}
	if gvk := own.GetObjectKind().GroupVersionKind(); !gvk.Empty() && gvk != op.GroupVersionKind() {
		return nil, errOtherVersion(gvk, op.GroupVersionKind())
	}
	withoutKind(own)
	if op.Default != nil {
		op.Default(own)
	}
	return own, nil
}

// admit lets admission change and refuse an object.
func (s *Server) admit(ctx context.Context, op *operation, operation string, object, old runtime.Object) error {
	return s.admission(ctx, op, operation, object, old, Admission.Admit)
}

// validateAdmission lets admission refuse what would be stored.
func (s *Server) validateAdmission(ctx context.Context, op *operation, operation string, object, old runtime.Object) error {
	return s.admission(ctx, op, operation, object, old, Admission.Validate)
}

func (s *Server) admission(ctx context.Context, op *operation, operation string, object, old runtime.Object, step func(Admission, context.Context, *AdmissionRequest) error) error {
	if len(s.config.Admission) == 0 {
		return nil
	}
	request := op.admissionRequest(s, operation, object, old)
	for _, plugin := range s.config.Admission {
		if err := step(plugin, ctx, request); err != nil {
			return err
		}
	}
	return nil
}

func (op *operation) admissionRequest(s *Server, operation string, object, old runtime.Object) *AdmissionRequest {
	request := &AdmissionRequest{
		Attributes: op.attributes(op.verb), Kind: op.bodyKind(), Operation: operation, Object: object, Old: old,
		DryRun: op.dryRun, Cluster: s.cluster(), Warn: op.Warn,
	}
	if named, ok := object.(kinds.Object); ok && request.Attributes.Name == "" {
		request.Attributes.Name = named.GetName()
	}
	// A namespace is in itself, as far as policies for namespaces go.
	if op.Plural == "namespaces" && op.Group == "" {
		request.Attributes.Namespace = request.Attributes.Name
	}
	return request
}

// allocate reserves what the cluster hands out for an object.
func (s *Server) allocate(ctx context.Context, op *operation, object, old kinds.Object) (release func(), err error) {
	nothing := func() {}
	if op.storage.Allocate == nil {
		return nothing, nil
	}
	cluster := s.cluster()
	if op.dryRun {
		cluster = dryRunView{clusterView{s}}
	}
	release, err = op.storage.Allocate(ctx, cluster, object, old)
	if err != nil {
		return nothing, err
	}
	if release == nil {
		release = nothing
	}
	return release, nil
}

// write stores an object and returns it as everybody sees it from now on: with its resourceVersion.
func (s *Server) write(ctx context.Context, op *operation, key string, object kinds.Object, expected int64) (kinds.Object, error) {
	data, err := op.storage.encode(object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return s.writeEncoded(ctx, op, key, object, data, expected)
}

func (s *Server) writeEncoded(ctx context.Context, op *operation, key string, object kinds.Object, data []byte, expected int64) (kinds.Object, error) {
	if len(data) > maxObjectSize {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%s %s is %d bytes, the most that can be stored is %d",
			op.Plural, object.GetName(), len(data), maxObjectSize))
	}
	shared := any(object)
	if op.storage.SeldomRead && !s.cache.loaded(op.storage) {
		shared = nil
	}
	_, err := s.config.Store.Write(ctx, store.Write{Key: key, Value: data, Expected: expected, Meta: op.meta(ctx), Object: shared,
		// The last moment to change the object: from the write on, all who follow the store share it.
		Stamp: func(revision int64) { object.SetResourceVersion(formatRevision(revision)) },
	})
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil, err
	case err != nil:
		return nil, storeError(err)
	}
	if err := s.cache.follow(); err != nil {
		return nil, err
	}
	return object, nil
}

// maxObjectSize is what etcd takes in one request.
const maxObjectSize = 3 << 19 // 1.5 MiB

// bodyKind is the kind of what the request sends or asks for: of a subresource, its own.
func (op *operation) bodyKind() schema.GroupVersionKind {
	if body, ok := subresourceBodies[op.Subresource]; ok {
		return body.kind
	}
	return op.GroupVersionKind()
}
