package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// Update replaces an object, or the part of it that a subresource is. The object's resourceVersion must be the stored
// one; without one, some kinds are overwritten as they are. created says that there was nothing to replace, for the
// kinds that a PUT may create.
func (s *Server) Update(ctx context.Context, r Request, object runtime.Object, options metav1.UpdateOptions) (_ runtime.Object, created bool, err error) {
	op, err := s.begin(ctx, r, "update")
	if err != nil {
		return nil, false, err
	}
	if err := op.options("UpdateOptions", options.DryRun, options.FieldManager, options.FieldValidation); err != nil {
		return nil, false, err
	}
	if op.Subresource == "scale" {
		scale, err := s.updateScale(ctx, op, object)
		return scale, false, err
	}
	incoming, err := s.incomingUpdate(op, object)
	if err != nil {
		return nil, false, err
	}
	if err := placeIn(op.Namespace, incoming); err != nil {
		return nil, false, err
	}
	if err := checkName(incoming, op.Name, op.Namespace); err != nil {
		return nil, false, err
	}
	op.dedupOwners(incoming, false)
	// Without a version the object is needed again when somebody else was faster; with one, that is a conflict.
	unconditional := incoming.GetResourceVersion() == ""
	tried := false
	return s.modify(ctx, op, modification{
		uid: incoming.GetUID(), mayCreate: op.AllowCreateOnUpdate && op.Subresource == "",
		change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
			object := incoming
			switch {
			case unconditional || op.AllowCreateOnUpdate:
				object = incoming.DeepCopyObject().(kinds.Object)
			case tried:
				return nil, apierrors.NewConflict(op.groupResource(), op.Name, errConflict)
			}
			tried = true
			return op.managers.updated(op, old, object), nil
		},
	})
}

// incomingUpdate is incoming for an update. Of a pod whose status is written, which is what is written most, the spec need
// neither be copied nor filled in when its writer is in this process and has left the containers as it got them from here.
func (s *Server) incomingUpdate(op *operation, object runtime.Object) (kinds.Object, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || op.Subresource != "status" || op.Owned || len(pod.Spec.Containers) == 0 {
		return op.incoming(object)
	}
	current, err := s.cache.get(op.resource, op.key(op.Namespace, op.Name))
	if err != nil || current == nil {
		return op.incoming(object)
	}
	stored, ok := current.object.(*corev1.Pod)
	if !ok || len(stored.Spec.Containers) == 0 || &stored.Spec.Containers[0] != &pod.Spec.Containers[0] {
		return op.incoming(object)
	}
	own := &corev1.Pod{Spec: stored.Spec}
	pod.ObjectMeta.DeepCopyInto(&own.ObjectMeta)
	pod.Status.DeepCopyInto(&own.Status)
	if own.Status.Phase == "" {
		own.Status.Phase = corev1.PodPending
	}
	return own, nil
}

// modification is a change of one object that may have to be worked out again, when somebody else was faster.
type modification struct {
	uid       types.UID // what the object's must be, "" for any
	mayCreate bool
	// change returns the new object, given a copy-on-write view of the old one, in the resource's version; old is nil
	// when there is none. The result is the operation's own.
	change func(ctx context.Context, old kinds.Object) (kinds.Object, error)
}

// modifyAttempts bounds how often a change is worked out anew. Each failure means that somebody else succeeded.
const modifyAttempts = 100

// modify changes an object with compare-and-swap: what update, patch and the subresources share.
func (s *Server) modify(ctx context.Context, op *operation, m modification) (_ kinds.Object, created bool, err error) {
	key := op.key(op.Namespace, op.Name)
	for range modifyAttempts {
		current, err := s.cache.get(op.resource, key)
		if err != nil {
			return nil, false, err
		}
		if current == nil && !m.mayCreate {
			return nil, false, apierrors.NewNotFound(op.groupResource(), op.Name)
		}
		if err := op.checkUID(m.uid, current); err != nil {
			return nil, false, err
		}
		if current == nil {
			object, err := s.createByUpdate(ctx, op, m)
			if apierrors.IsAlreadyExists(err) {
				continue // somebody else created it just now: then this is a change of it
			}
			return object, err == nil, err
		}
		object, err := s.modifyOnce(ctx, op, key, current, m)
		if errors.Is(err, store.ErrConflict) {
			if ctx.Err() != nil {
				return nil, false, storeError(ctx.Err())
			}
			continue
		}
		return object, false, err
	}
	return nil, false, apierrors.NewConflict(op.groupResource(), op.Name, errConflict)
}

// checkUID refuses a change of an object that is not the one meant, but a later one of the same name.
func (op *operation) checkUID(uid types.UID, current *item) error {
	var actual types.UID
	if current != nil {
		actual = current.object.GetUID()
	}
	if uid == "" || uid == actual {
		return nil
	}
	return apierrors.NewConflict(op.groupResource(), op.Name, op.preconditionError("UID", string(uid), string(actual)))
}

// preconditionError reads as Kubernetes' storage layer puts it.
func (op *operation) preconditionError(what, wanted, actual string) error {
	key := registryPrefix + op.storage.Plural + "/"
	if op.Namespace != "" {
		key += op.Namespace + "/"
	}
	return fmt.Errorf("StorageError: invalid object, Code: 4, Key: %s%s, ResourceVersion: 0, AdditionalErrorMsg: "+
		"Precondition failed: %s in precondition: %s, %s in object meta: %s", key, op.Name, what, wanted, what, actual)
}

func (s *Server) createByUpdate(ctx context.Context, op *operation, m modification) (kinds.Object, error) {
	object, err := m.change(ctx, nil)
	if err != nil {
		return nil, err
	}
	attributes := op.attributes("create")
	if err := s.authorize(ctx, attributes); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, op, "CREATE", object, nil); err != nil {
		return nil, err
	}
	op.dedupOwners(object, true)
	wipeSystemFields(object)
	return s.createOne(ctx, op, object)
}

// modifyOnce works out a change and tries to write it; store.ErrConflict means that the object has changed meanwhile.
func (s *Server) modifyOnce(ctx context.Context, op *operation, key string, current *item, m modification) (_ kinds.Object, err error) {
	old, err := op.show(current.object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	object, err := m.change(ctx, old)
	if err != nil {
		return nil, err
	}
	if err := s.admit(ctx, op, "UPDATE", object, old); err != nil {
		return nil, err
	}
	op.dedupOwners(object, true)
	if err := op.checkVersion(object, current); err != nil {
		return nil, err
	}
	stored, err := op.store(object)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	release, err := s.allocate(ctx, op, stored, current.object)
	if err != nil {
		return nil, err
	}
	written := false
	defer func() {
		if !written {
			release()
		}
	}()
	errs, err := op.prepareUpdate(stored, current.object)
	if err != nil {
		return nil, err
	}
	if errs = append(errs, op.validateShown(object, old)...); len(errs) > 0 {
		return nil, op.storage.invalid(stored.GetName(), errs)
	}
	if op.Subresource == "" || op.Subresource == "scale" {
		op.warnAbout(stored, current.object)
	}
	if err := s.validateAdmission(ctx, op, "UPDATE", stored, current.object); err != nil {
		return nil, err
	}
	if op.finished(stored, current.object) {
		return s.removeFinished(ctx, op, key, current, stored)
	}
	if !op.storage.custom() {
		shareMetadata(stored, current.object)
	}
	data, err := op.storage.encode(stored)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	switch {
	case s.isStored(ctx, current, data), onlyTimesDiffer(op.storage, stored, current.object):
		return old, nil // nothing changes, so nothing is written
	case op.dryRun:
		stored.SetResourceVersion(current.object.GetResourceVersion())
		return op.show(stored)
	}
	after, err := s.writeEncoded(ctx, op, key, stored, data, current.revision)
	if err != nil {
		return nil, err
	}
	written = true
	return op.show(after)
}

// isStored says whether an object is in the store just as it would be written.
func (s *Server) isStored(ctx context.Context, current *item, data []byte) bool {
	entry, err := s.config.Store.Get(ctx, current.key, 0)
	return err == nil && entry.Revision == current.revision && bytes.Equal(data, entry.Value())
}

// checkVersion is optimistic concurrency: who changes an object must have seen its present state.
func (op *operation) checkVersion(object kinds.Object, current *item) error {
	switch version := object.GetResourceVersion(); {
	case version == "" || version == "0":
		if op.UnconditionalUpdate {
			object.SetResourceVersion(current.object.GetResourceVersion())
			return nil
		}
		kind := schema.GroupKind{Group: op.Group, Kind: op.Plural}
		return apierrors.NewInvalid(kind, op.Name, field.ErrorList{
			field.Invalid(metadataPath.Child("resourceVersion"), uint64(0), "must be specified for an update")})
	case version != current.object.GetResourceVersion():
		if _, err := strconv.ParseUint(version, 10, 64); err != nil {
			return plainError(err)
		}
		return apierrors.NewConflict(op.groupResource(), op.Name, errConflict)
	}
	return nil
}

// prepareUpdate resets what the change may not touch, and checks the rest.
func (op *operation) prepareUpdate(object, old kinds.Object) (field.ErrorList, error) {
	if err := placeIn(op.Namespace, object); err != nil {
		return nil, err
	}
	rules := op.rules()
	object.SetGeneration(old.GetGeneration())
	if rules.prepare != nil {
		rules.prepare(object, old)
	}
	keepSystemFields(object, old)
	errs := op.storage.validateMetadataUpdate(object, old)
	if rules.validate != nil {
		errs = append(errs, rules.validate(object, old)...)
	}
	return errs, nil
}

// updateRules are how a change of an object, or of one of its subresources, is prepared and checked.
type updateRules struct {
	prepare  func(object, old kinds.Object)
	validate func(object, old kinds.Object) field.ErrorList
}

func (op *operation) rules() updateRules {
	if rules, own := op.subresourceRules(); own {
		return rules
	}
	return updateRules{prepare: op.storage.PrepareForUpdate, validate: op.storage.ValidateUpdate}
}

// keepSpec is how most kinds treat a change of their status: the spec stays as it is.
func keepSpec(object, old kinds.Object) {
	to, from := reflect.ValueOf(object).Elem().FieldByName("Spec"), reflect.ValueOf(old).Elem().FieldByName("Spec")
	if to.IsValid() {
		to.Set(from)
	}
}

// finished says that an update has removed the last thing that held back a deletion.
func (op *operation) finished(object, old kinds.Object) bool {
	if len(object.GetFinalizers()) > 0 || old.GetDeletionTimestamp() == nil {
		return false
	}
	if op.storage.HoldsDeletion != nil && op.storage.HoldsDeletion(object) {
		return false
	}
	grace := old.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

func (s *Server) removeFinished(ctx context.Context, op *operation, key string, current *item, object kinds.Object) (kinds.Object, error) {
	if op.dryRun {
		return op.show(object)
	}
	if _, err := s.remove(ctx, op, key, current); err != nil {
		return nil, err
	}
	return op.show(object)
}

// onlyTimesDiffer says that a change is none but for the time at which somebody set the same fields again.
func onlyTimesDiffer(res *resource, object, old kinds.Object) bool {
	fields, before := object.GetManagedFields(), old.GetManagedFields()
	if len(fields) == 0 || len(fields) != len(before) {
		return false
	}
	moved := false
	for i := range fields {
		a, b := fields[i], before[i]
		if a.Manager != b.Manager || a.Operation != b.Operation || a.APIVersion != b.APIVersion || a.Subresource != b.Subresource ||
			!bytes.Equal(rawFields(a.FieldsV1), rawFields(b.FieldsV1)) {
			return false
		}
		moved = moved || !a.Time.Equal(b.Time)
	}
	if !moved {
		return false
	}
	same := shallow(object)
	same.SetManagedFields(before)
	data, err := res.encode(same)
	if err != nil {
		return false
	}
	unchanged, err := res.encode(shallow(old))
	return err == nil && bytes.Equal(data, unchanged)
}

func rawFields(fields *metav1.FieldsV1) []byte {
	if fields == nil {
		return nil
	}
	return fields.GetRawBytes()
}
