package custom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/kinds"
	"kubette/loop"
)

// lookAgain is how soon the objects are counted again that their own finalizers hold. Their kind has no informer: it is
// about to go.
const lookAgain = time.Second

// terminate deletes all objects of a definition that is being deleted, and then lets it go. Until then it is served, so that
// whoever holds an object can see it and let go, but nothing new is created.
func (d *Definitions) terminate(ctx context.Context, definition *apiextensionsv1.CustomResourceDefinition) (time.Duration, error) {
	if !apihelpers.CRDHasFinalizer(definition, apiextensionsv1.CustomResourceCleanupFinalizer) {
		return 0, nil // held by others
	}
	left := 0
	if apihelpers.IsCRDConditionTrue(definition, apiextensionsv1.Established) {
		if err := d.serve(definition); err != nil {
			return 0, err
		}
		var err error
		if left, err = d.deleteObjects(ctx, definition); err != nil {
			return 0, err
		}
	}
	if left > 0 {
		loop.Say(ctx, "WaitForObjects", "definition", definition.Name, "left", left)
		return lookAgain, nil
	}
	loop.Say(ctx, "LetGo", "definition", definition.Name)
	released := definition.DeepCopy()
	setCondition(released, apiextensionsv1.Terminating, apiextensionsv1.ConditionFalse, "InstanceDeletionCompleted", "removed all instances")
	apihelpers.CRDRemoveFinalizer(released, apiextensionsv1.CustomResourceCleanupFinalizer)
	return 0, d.updateStatus(ctx, released)
}

// deleteObjects deletes every object of a definition, and returns how many are still there.
func (d *Definitions) deleteObjects(ctx context.Context, definition *apiextensionsv1.CustomResourceDefinition) (left int, err error) {
	d.mu.Lock()
	resources := d.served[definition.Name].resources
	d.mu.Unlock()
	if len(resources) == 0 {
		return 0, nil
	}
	objects, err := d.client.List(ctx, resources[0], "", metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list what %s defines: %w", definition.Name, err)
	}
	for _, item := range objects.Items {
		object, ok := item.(kinds.Object)
		if !ok || object.GetDeletionTimestamp() != nil {
			continue
		}
		err := d.client.Delete(ctx, resources[0], object.GetNamespace(), object.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, fmt.Errorf("delete %s/%s of %s: %w", object.GetNamespace(), object.GetName(), definition.Name, err)
		}
	}
	if len(objects.Items) == 0 {
		return 0, nil
	}
	rest, err := d.client.List(ctx, resources[0], "", metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list what is left of %s: %w", definition.Name, err)
	}
	return len(rest.Items), nil
}

// refuseCreation lets a row refuse new objects, at the place where rows reserve what a new object needs.
func refuseCreation(row *kinds.Kind) {
	resource := row.Resource().GroupResource()
	row.Allocate = func(_ context.Context, _ kinds.Cluster, object, old kinds.Object) (release func(), err error) {
		if object == nil || old != nil {
			return nil, nil
		}
		return nil, apierrors.NewForbidden(resource, object.GetName(),
			errors.New("create not allowed while custom resource definition is terminating"))
	}
}
