package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/loop"
)

// ownerIndex finds objects by the UID of the controller that owns them; those without one are under orphan/NAMESPACE.
const ownerIndex = "controller"

// IndexByOwner makes Owned and Orphans quick for an informer. All controllers share the index.
func IndexByOwner[T client.Object](informer client.Informer[T]) {
	informer.AddIndex(ownerIndex, func(object T) []string {
		if owner := metav1.GetControllerOfNoCopy(object); owner != nil {
			return []string{string(owner.UID)}
		}
		return []string{"orphan/" + object.GetNamespace()}
	})
}

// Owned returns the objects whose controller has a UID.
func Owned[T client.Object](informer client.Informer[T], uid types.UID) []T {
	return informer.ByIndex(ownerIndex, string(uid))
}

// Orphans returns the objects of a namespace that no controller owns.
func Orphans[T client.Object](informer client.Informer[T], namespace string) []T {
	return informer.ByIndex(ownerIndex, "orphan/"+namespace)
}

// OwnerRef is the reference by which an object says that owner controls it.
func OwnerRef(owner client.Object) metav1.OwnerReference {
	kind, err := client.KindOfObject(owner)
	if err != nil {
		panic(fmt.Sprintf("controllers: owner of an unknown kind: %v", err)) // a mistake in the program
	}
	return *metav1.NewControllerRef(owner, kind)
}

// Key is how an object is known in a queue: namespace/name, or the name alone.
func Key(object metav1.Object) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

// Cause says in a trace which object led to a reconciliation: "pods/default/web-1 deleted".
func Cause(resource string, object metav1.Object, what string) string {
	return resource + "/" + Key(object) + " " + what
}

// ControllerOf resolves an object's controller reference in an informer: it returns the owner if it is of type T and
// still the same object (a later one of that name does not inherit).
func ControllerOf[T client.Object](owners client.Informer[T], kind string, object metav1.Object) (T, bool) {
	var none T
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil || ref.Kind != kind {
		return none, false
	}
	owner, ok := owners.Get(object.GetNamespace(), ref.Name)
	if !ok || owner.GetUID() != ref.UID {
		return none, false
	}
	return owner, true
}

// Claim settles what belongs to an owner: it adopts orphans that the selector matches, releases owned objects that it no
// longer matches, and returns those that are the owner's afterwards. Objects that keep refuses (nil refuses none) are
// left as they are, and those adopted get the finalizers. So pods can be put under a ReplicaSet, or taken out of it for a
// closer look, by their labels alone.
func Claim[T client.Object](ctx context.Context, c client.Interface, objects client.Informer[T], owner client.Object,
	selector labels.Selector, keep func(T) bool, finalizers ...string) ([]T, error) {
	var claimed []T
	var failures []error
	for _, object := range Owned(objects, owner.GetUID()) {
		switch {
		case keep != nil && !keep(object):
		case selector.Matches(labels.Set(object.GetLabels())):
			claimed = append(claimed, object)
		case owner.GetDeletionTimestamp() == nil:
			if err := release(ctx, c, object, owner); err != nil {
				failures = append(failures, err)
			}
		}
	}
	if owner.GetDeletionTimestamp() != nil {
		return claimed, errors.Join(failures...)
	}
	checked := false
	for _, object := range Orphans(objects, owner.GetNamespace()) {
		if object.GetDeletionTimestamp() != nil || !selector.Matches(labels.Set(object.GetLabels())) ||
			keep != nil && !keep(object) {
			continue
		}
		if !checked {
			if err := stillThere(ctx, c, owner); err != nil {
				return claimed, errors.Join(append(failures, err)...)
			}
			checked = true
		}
		adopted, err := adopt(ctx, c, object, owner, finalizers)
		switch {
		case err == nil:
			claimed = append(claimed, adopted)
		case !apierrors.IsNotFound(err):
			failures = append(failures, err)
		}
	}
	return claimed, errors.Join(failures...)
}

// stillThere asks the API itself, not the cache: an owner that is being deleted must not adopt, or its new dependants
// would outlive it.
func stillThere(ctx context.Context, c client.Interface, owner client.Object) error {
	kind, err := client.KindOfObject(owner)
	if err != nil {
		return err
	}
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	fresh, err := c.Get(ctx, resource, owner.GetNamespace(), owner.GetName(), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look whether %s %s may adopt: %w", kind.Kind, Key(owner), err)
	}
	object, err := meta.Accessor(fresh)
	if err != nil {
		return err
	}
	if object.GetUID() != owner.GetUID() {
		return fmt.Errorf("original %s %s is gone: got uid %s, wanted %s", kind.Kind, Key(owner), object.GetUID(), owner.GetUID())
	}
	if object.GetDeletionTimestamp() != nil {
		return fmt.Errorf("%s %s has just been deleted at %s", kind.Kind, Key(owner), object.GetDeletionTimestamp())
	}
	return nil
}

func adopt[T client.Object](ctx context.Context, c client.Interface, object T, owner client.Object, finalizers []string) (T, error) {
	loop.Say(ctx, "Adopt", "name", object.GetName())
	metadata := map[string]any{"ownerReferences": []metav1.OwnerReference{OwnerRef(owner)}, "uid": object.GetUID()}
	if len(finalizers) > 0 {
		metadata["finalizers"] = finalizers // a list that is merged
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return object, err
	}
	return client.Of[T](c).Patch(ctx, object.GetNamespace(), object.GetName(), types.StrategicMergePatchType, patch)
}

func release[T client.Object](ctx context.Context, c client.Interface, object T, owner client.Object) error {
	loop.Say(ctx, "Release", "name", object.GetName())
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"ownerReferences": []map[string]any{{"$patch": "delete", "uid": owner.GetUID()}},
		"uid":             object.GetUID(),
	}})
	if err != nil {
		return err
	}
	_, err = client.Of[T](c).Patch(ctx, object.GetNamespace(), object.GetName(), types.StrategicMergePatchType, patch)
	// Gone, or no longer ours (Invalid: the uid differs): both are what was wanted.
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}
