package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// Delete removes an object, or begins its deletion: when it has finalizers, when its dependents are to go first or to be
// orphaned, or when it is given time to end (pods). Then it is marked with the time at which it was or will be gone, and
// whoever holds it finishes the deletion. completed says that it is gone.
//
// The answer is the object in its last state, or a Status, as Kubernetes does by kind.
func (s *Server) Delete(ctx context.Context, r Request, options metav1.DeleteOptions) (_ runtime.Object, completed bool, err error) {
	op, err := s.begin(ctx, r, "delete")
	if err != nil {
		return nil, false, err
	}
	if err := op.deleteOptions(&options); err != nil {
		return nil, false, err
	}
	return s.delete(ctx, op, options)
}

func (op *operation) deleteOptions(options *metav1.DeleteOptions) error {
	if errs := validation.ValidateDeleteOptions(options); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	op.dryRun = len(options.DryRun) > 0
	return nil
}

func (s *Server) delete(ctx context.Context, op *operation, options metav1.DeleteOptions) (runtime.Object, bool, error) {
	key := op.key(op.Namespace, op.Name)
	for range modifyAttempts {
		current, err := s.present(op)
		if err != nil {
			return nil, false, err
		}
		object, completed, err := s.deleteOnce(ctx, op, key, current, options)
		if errors.Is(err, store.ErrConflict) {
			if ctx.Err() != nil {
				return nil, false, storeError(ctx.Err())
			}
			continue
		}
		return object, completed, err
	}
	return nil, false, apierrors.NewConflict(op.groupResource(), op.Name, errConflict)
}

func (s *Server) deleteOnce(ctx context.Context, op *operation, key string, current *item, options metav1.DeleteOptions) (runtime.Object, bool, error) {
	if err := op.checkPreconditions(options.Preconditions, current.object); err != nil {
		return nil, false, err
	}
	if err := s.admitDeletion(ctx, op, current.object); err != nil {
		return nil, false, err
	}
	object := current.object.DeepCopyObject().(kinds.Object)
	graceful, pending := op.giveGrace(object, options.GracePeriodSeconds)
	if pending {
		answer, err := op.deletionAnswer(current.object)
		return answer, false, err
	}
	finalizersChanged := op.setPropagation(object, &options)
	held := len(object.GetFinalizers()) > 0 || op.storage.HoldsDeletion != nil && op.storage.HoldsDeletion(object)
	if !graceful && !held {
		return s.removeNow(ctx, op, key, current, object)
	}
	if !graceful {
		if marked := markDeleting(object); !marked && !finalizersChanged {
			answer, err := op.answerMarked(current.object)
			return answer, false, err
		}
	}
	if op.storage.PrepareForDelete != nil {
		op.storage.PrepareForDelete(object)
	}
	later := held || graceful && *object.GetDeletionGracePeriodSeconds() > 0
	if op.dryRun {
		answer, err := op.answerMarked(object)
		return answer, !later, err
	}
	after, err := s.write(ctx, op, key, object, current.revision)
	if err != nil {
		return nil, false, err
	}
	if later {
		answer, err := op.answerMarked(after)
		return answer, false, err
	}
	// The grace is over: what was just said of the object is seen by watchers, and then it goes.
	marked, err := s.cache.get(op.resource, key)
	if err != nil {
		return nil, false, err
	}
	if marked == nil {
		answer, err := op.deletionAnswer(after)
		return answer, true, err
	}
	return s.removeNow(ctx, op, key, marked, marked.object)
}

// removeNow takes an object out of the store.
func (s *Server) removeNow(ctx context.Context, op *operation, key string, current *item, object kinds.Object) (runtime.Object, bool, error) {
	if !op.dryRun {
		gone, err := s.remove(ctx, op, key, current)
		if err != nil {
			return nil, false, err
		}
		object = gone
	}
	answer, err := op.deletionAnswer(object)
	return answer, true, err
}

// remove deletes an object, and frees what it held. It returns the last state, at the revision of the deletion.
func (s *Server) remove(ctx context.Context, op *operation, key string, current *item) (kinds.Object, error) {
	entry, err := s.config.Store.Write(ctx, store.Write{Key: key, Delete: true, Expected: current.revision, Meta: op.meta(ctx)})
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		return nil, store.ErrConflict
	case err != nil:
		return nil, storeError(err)
	}
	if err := s.cache.follow(); err != nil {
		return nil, err
	}
	if _, err := s.allocate(ctx, op, nil, current.object); err != nil {
		return nil, err
	}
	return atRevision(current.object, entry.Revision), nil
}

func (op *operation) checkPreconditions(p *metav1.Preconditions, object kinds.Object) error {
	if p == nil {
		return nil
	}
	resource := schema.GroupResource{Group: op.storage.Group, Resource: op.storage.Kind.Kind} // Kubernetes names the kind here
	if p.UID != nil && *p.UID != object.GetUID() {
		return apierrors.NewConflict(resource, object.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID "+
			"in record (%s). The object might have been deleted and then recreated", *p.UID, object.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != object.GetResourceVersion() {
		return apierrors.NewConflict(resource, object.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not "+
			"match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, object.GetResourceVersion()))
	}
	return nil
}

func (s *Server) admitDeletion(ctx context.Context, op *operation, object kinds.Object) error {
	if len(s.config.Admission) == 0 {
		return nil
	}
	old, err := op.show(object)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if err := s.admit(ctx, op, "DELETE", nil, old); err != nil {
		return err
	}
	return s.validateAdmission(ctx, op, "DELETE", nil, old)
}

// giveGrace marks an object that gets time to end. graceful says that the mark is to be stored; pending, that the
// deletion is under way already and nothing changes: a second deletion can only shorten the time.
func (op *operation) giveGrace(object kinds.Object, asked *int64) (graceful, pending bool) {
	if op.storage.Grace == nil {
		return false, false
	}
	if asked != nil && *asked < 0 {
		asked = new(int64(1))
	}
	if object.GetDeletionTimestamp() == nil {
		period := op.storage.Grace(object, asked)
		at := metav1.NewTime(now().Add(time.Duration(period) * time.Second))
		object.SetDeletionTimestamp(&at)
		object.SetDeletionGracePeriodSeconds(&period)
		if object.GetGeneration() > 0 {
			object.SetGeneration(object.GetGeneration() + 1)
		}
		return true, false
	}
	left := object.GetDeletionGracePeriodSeconds()
	switch {
	case left == nil || *left == 0:
		return false, false
	case asked == nil || *asked >= *left:
		return false, true
	}
	period := *asked
	at := metav1.NewTime(object.GetDeletionTimestamp().Add(time.Duration(period-*left) * time.Second))
	if present := now(); at.Before(&present) {
		at = present
		if period != 0 {
			period = 1 // still graceful: somebody else has to finish it
		}
	}
	object.SetDeletionTimestamp(&at)
	object.SetDeletionGracePeriodSeconds(&period)
	return true, false
}

// setPropagation puts the finalizers on an object that make the garbage collector treat its dependents as asked: orphan
// them, or remove them first. It says whether it changed them.
func (op *operation) setPropagation(object kinds.Object, options *metav1.DeleteOptions) bool {
	if !op.collectsGarbage() {
		return false
	}
	before := object.GetFinalizers()
	orphan, foreground := op.propagation(before, options)
	finalizers := slices.DeleteFunc(slices.Clone(before), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	if orphan {
		finalizers = append(finalizers, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		finalizers = append(finalizers, metav1.FinalizerDeleteDependents)
	}
	changed := len(finalizers) != len(before) || slices.ContainsFunc(finalizers, func(f string) bool { return !slices.Contains(before, f) })
	if changed {
		object.SetFinalizers(finalizers)
	}
	return changed
}

// collectsGarbage is false for events, which own nothing.
func (op *operation) collectsGarbage() bool { return op.storage.Plural != "events" }

// propagation is what is to become of dependents: the deletion's own wish counts first, then the object's finalizers,
// then what is usual for the kind.
func (op *operation) propagation(finalizers []string, options *metav1.DeleteOptions) (orphan, foreground bool) {
	if o := options.OrphanDependents; o != nil { //nolint:staticcheck // the old field counts
		return *o, false
	}
	if p := options.PropagationPolicy; p != nil {
		return *p == metav1.DeletePropagationOrphan, *p == metav1.DeletePropagationForeground
	}
	for _, f := range finalizers {
		switch f {
		case metav1.FinalizerOrphanDependents:
			return true, false
		case metav1.FinalizerDeleteDependents:
			return false, true
		}
	}
	return op.storage.OrphanByDefault, false
}

// markDeleting marks an object whose deletion is held: from now on it is being deleted. It says whether anything changed.
func markDeleting(object kinds.Object) bool {
	at, grace := object.GetDeletionTimestamp(), object.GetDeletionGracePeriodSeconds()
	present := now()
	if at == nil && object.GetGeneration() > 0 {
		object.SetGeneration(object.GetGeneration() + 1)
	}
	if at == nil || at.After(present.Time) {
		object.SetDeletionTimestamp(&present)
	} else if grace != nil && *grace == 0 {
		return false
	}
	object.SetDeletionGracePeriodSeconds(new(int64(0)))
	return true
}

// answerMarked is the answer when a deletion has begun: the object, as it is stored now.
func (op *operation) answerMarked(object kinds.Object) (runtime.Object, error) {
	shown, err := op.show(object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return shown, nil
}

// deletionAnswer is the answer when an object is gone.
func (op *operation) deletionAnswer(object kinds.Object) (runtime.Object, error) {
	if op.ReturnDeleted {
		return op.answerMarked(object)
	}
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusSuccess,
		Details:  &metav1.StatusDetails{Name: object.GetName(), Group: op.Group, Kind: op.Plural, UID: object.GetUID()},
	}, nil
}

// DeleteCollection deletes the objects that a list would show, each as Delete does, and returns them as a list. One that
// is gone already is no error; any other failure ends it, with some objects deleted.
func (s *Server) DeleteCollection(ctx context.Context, r Request, options metav1.DeleteOptions, selection metav1.ListOptions) (runtime.Object, error) {
	op, err := s.begin(ctx, r, "deletecollection")
	if err != nil {
		return nil, err
	}
	if err := op.deleteOptions(&options); err != nil {
		return nil, err
	}
	selection.Watch = false
	checked, of, err := op.listOptions(selection)
	if err != nil {
		return nil, err
	}
	list, err := s.list(ctx, op, checked, of)
	if err != nil {
		return nil, err
	}
	items := make([]runtime.Object, 0, len(list.Items))
	for _, object := range list.Items {
		one := *op
		one.Namespace, one.Name = object.GetNamespace(), object.GetName()
		if _, _, err := s.delete(ctx, &one, options); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		items = append(items, object)
	}
	return op.listOf(list, items)
}

// listOf packs items into the resource's list type.
func (op *operation) listOf(list *List, items []runtime.Object) (runtime.Object, error) {
	packed := op.NewList()
	if err := meta.SetList(packed, items); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	accessor, err := meta.ListAccessor(packed)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	accessor.SetResourceVersion(list.ResourceVersion)
	accessor.SetContinue(list.Continue)
	accessor.SetRemainingItemCount(list.Remaining)
	return packed, nil
}
