package garbagecollector

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/loop"
)

// deleteDependents serves a foreground deletion: it has the dependents looked at, who find that their owner waits, and
// go. When none is left that blocks the owner, the finalizer goes and the owner with it.
func (c *Controller) deleteDependents(ctx context.Context, seen node, object metav1.Object) error {
	children, blocked := c.graph.children(seen.uid)
	if !blocked {
		loop.Say(ctx, "DependentsGone")
		return c.removeFinalizer(ctx, seen, object, metav1.FinalizerDeleteDependents)
	}
	loop.Say(ctx, "WaitForDependents", "dependents", len(children))
	for _, child := range children {
		if !child.deleting {
			c.loop.Add(child.uid, seen.resource.Resource+"/"+seen.name+" waits for it to go")
		}
	}
	return nil
}

// unblock makes an object's dependents no longer hold it up.
func (c *Controller) unblock(ctx context.Context, seen node, children []node) error {
	for _, child := range children {
		object, err := c.fresh(ctx, child)
		if err != nil {
			return err
		}
		if object == nil {
			continue
		}
		owners := slices.Clone(object.GetOwnerReferences())
		changed := false
		for i := range owners {
			if owners[i].UID == seen.uid && owners[i].BlockOwnerDeletion != nil && *owners[i].BlockOwnerDeletion {
				owners[i].BlockOwnerDeletion = nil
				changed = true
			}
		}
		if !changed {
			continue
		}
		err = c.patchMeta(ctx, child, map[string]any{"resourceVersion": object.GetResourceVersion(), "uid": child.uid, "ownerReferences": owners})
		if err != nil {
			return err
		}
	}
	return nil
}

// orphan serves the finalizer orphan: the dependents forget their owner, and then it may go.
func (c *Controller) orphan(ctx context.Context, seen node) error {
	children, err := c.dependents(ctx, seen)
	if err != nil {
		return err
	}
	loop.Say(ctx, "Orphan", "name", seen.name, "dependents", len(children))
	for _, child := range children {
		object, err := c.fresh(ctx, child)
		if err != nil {
			return err
		}
		if object == nil {
			continue
		}
		if err := c.patchOwners(ctx, child, object, []types.UID{seen.uid}); err != nil {
			return err
		}
	}
	object, err := c.fresh(ctx, seen)
	if err != nil || object == nil {
		return err
	}
	return c.removeFinalizer(ctx, seen, object, metav1.FinalizerOrphanDependents)
}

// dependents lists an object's dependents by what the API itself says. The graph may not have seen what was made just before
// the deletion, since each kind has a watch of its own; who wants to keep the dependents must not lose those. Kubernetes
// goes by its graph here.
func (c *Controller) dependents(ctx context.Context, owner node) ([]node, error) {
	resources, _ := c.discover()
	var found []node
	for _, resource := range resources {
		if !collectable(resource) || owner.namespace != "" && !resource.Namespaced {
			continue
		}
		list, err := c.Client.List(ctx, resource.GroupVersionResource, owner.namespace, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // its definition has just gone
		}
		if err != nil {
			return nil, fmt.Errorf("list %s for dependents of %s: %w", resource.Resource, owner.name, err)
		}
		for _, item := range list.Items {
			object, err := meta.Accessor(item)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(object.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.UID == owner.uid }) {
				found = append(found, node{uid: object.GetUID(), resource: resource, namespace: object.GetNamespace(), name: object.GetName()})
			}
		}
	}
	return found, nil
}

func (c *Controller) removeFinalizer(ctx context.Context, n node, object metav1.Object, finalizer string) error {
	finalizers := slices.DeleteFunc(slices.Clone(object.GetFinalizers()), func(f string) bool { return f == finalizer })
	if len(finalizers) == len(object.GetFinalizers()) {
		return nil
	}
	if finalizers == nil {
		finalizers = []string{}
	}
	return c.patchMeta(ctx, n, map[string]any{"resourceVersion": object.GetResourceVersion(), "uid": n.uid, "finalizers": finalizers})
}
