package garbagecollector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/loop"
)

// collect deletes an object if none of its owners is left, by what the API itself says.
func (c *Controller) collect(ctx context.Context, seen node) error {
	object, err := c.fresh(ctx, seen)
	if err != nil || object == nil {
		return err
	}
	if slices.Contains(object.GetFinalizers(), metav1.FinalizerDeleteDependents) && object.GetDeletionTimestamp() != nil {
		return c.deleteDependents(ctx, seen, object)
	}
	if len(object.GetOwnerReferences()) == 0 {
		return nil
	}
	solid, dangling, waiting, err := c.owners(ctx, seen, object)
	if err != nil {
		return err
	}
	loop.Say(ctx, "Owners", "solid", len(solid), "dangling", len(dangling), "waiting", len(waiting))
	switch {
	case len(solid) > 0 && len(dangling)+len(waiting) == 0:
		return nil
	case len(solid) > 0:
		// One owner is enough to live on; those that are gone, or wait to go, are struck off.
		return c.patchOwners(ctx, seen, object, append(uids(dangling), uids(waiting)...))
	}
	children, _ := c.graph.children(seen.uid)
	if len(waiting) > 0 && len(children) > 0 {
		// The owner waits for this object, and so this one must wait for its own dependents: the whole tree goes from
		// the leaves up. Dependents that wait themselves would block each other in a circle: they let go.
		if slices.ContainsFunc(children, func(child node) bool { return child.foreground }) {
			if err := c.unblock(ctx, seen, children); err != nil {
				return err
			}
		}
		return c.delete(ctx, seen, object, metav1.DeletePropagationForeground)
	}
	return c.delete(ctx, seen, object, policyOf(object))
}

// policyOf honours the finalizers that an object brought along.
func policyOf(object metav1.Object) metav1.DeletionPropagation {
	switch {
	case slices.Contains(object.GetFinalizers(), metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(object.GetFinalizers(), metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// fresh reads an object from the API. It returns nil for one that is gone, and takes it out of the graph.
func (c *Controller) fresh(ctx context.Context, n node) (metav1.Object, error) {
	object, err := c.Client.Get(ctx, n.resource.GroupVersionResource, n.namespace, n.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		c.look(c.graph.remove(n.uid), n.resource.Resource+"/"+n.name+" gone")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	if accessor.GetUID() != n.uid { // another object of the same name
		c.look(c.graph.remove(n.uid), n.resource.Resource+"/"+n.name+" replaced")
		return nil, nil
	}
	return accessor, nil
}

// owners sorts an object's owners: those that are there, those that are gone, and those that wait for it to go first.
func (c *Controller) owners(ctx context.Context, seen node, object metav1.Object) (solid, dangling, waiting []metav1.OwnerReference, err error) {
	for _, owner := range object.GetOwnerReferences() {
		if c.graph.isGone(owner.UID) {
			dangling = append(dangling, owner)
			continue
		}
		there, err := c.owner(ctx, seen, owner)
		switch {
		case err != nil:
			return nil, nil, nil, err
		case there == nil:
			dangling = append(dangling, owner)
		case there.GetDeletionTimestamp() != nil && slices.Contains(there.GetFinalizers(), metav1.FinalizerDeleteDependents):
			waiting = append(waiting, owner)
		default:
			solid = append(solid, owner)
		}
	}
	return solid, dangling, waiting, nil
}

// owner reads an owner from the API; nil means that there is none. An owner of a kind that is not served, or in another
// scope than can be, is an error or, for a wrong scope, taken for absent, as Kubernetes does.
func (c *Controller) owner(ctx context.Context, seen node, owner metav1.OwnerReference) (metav1.Object, error) {
	resource, ok := c.resourceOf(owner)
	if !ok {
		return nil, fmt.Errorf("owner %s %s of %s %s: the API serves no such kind", owner.Kind, owner.Name, seen.resource.Resource, seen.name)
	}
	if resource.Namespaced && seen.namespace == "" {
		// An object without a namespace cannot be owned by one inside: nobody knows inside which.
		c.Events.EventRef(corev1.ObjectReference{Kind: seen.resource.Kind, APIVersion: seen.resource.GroupVersion().String(), Name: seen.name, UID: seen.uid},
			corev1.EventTypeWarning, "OwnerRefInvalidNamespace",
			"ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q", owner.APIVersion, owner.Kind, "", owner.Name, owner.UID, "")
		return nil, fmt.Errorf("owner %s %s of cluster-scoped %s %s would need a namespace", owner.Kind, owner.Name, seen.resource.Resource, seen.name)
	}
	namespace := seen.namespace
	if !resource.Namespaced {
		namespace = ""
	}
	there, err := c.Client.Get(ctx, resource.GroupVersionResource, namespace, owner.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		c.graph.markGone(owner.UID)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	accessor, err := meta.Accessor(there)
	if err != nil {
		return nil, err
	}
	if accessor.GetUID() != owner.UID {
		c.graph.markGone(owner.UID)
		return nil, nil
	}
	return accessor, nil
}

func (c *Controller) resourceOf(owner metav1.OwnerReference) (controllers.Resource, bool) {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return controllers.Resource{}, false
	}
	resources, _ := c.discover()
	at := slices.IndexFunc(resources, func(r controllers.Resource) bool { return r.Group == gv.Group && r.Kind == owner.Kind })
	if at < 0 {
		return controllers.Resource{}, false
	}
	return resources[at], true
}

// delete deletes exactly the version that was judged: if it has changed since, the change will have it judged again.
func (c *Controller) delete(ctx context.Context, n node, object metav1.Object, policy metav1.DeletionPropagation) error {
	loop.Say(ctx, "Delete", "propagation", policy)
	err := c.Client.Delete(ctx, n.resource.GroupVersionResource, n.namespace, n.name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: ptr.To(n.uid), ResourceVersion: ptr.To(object.GetResourceVersion())},
		PropagationPolicy: &policy,
	})
	return controllers.IgnoreNotFound(err)
}

func uids(owners []metav1.OwnerReference) []types.UID {
	var list []types.UID
	for _, owner := range owners {
		list = append(list, owner.UID)
	}
	return list
}

// patchOwners strikes owners off an object's references. A merge patch replaces the list, guarded by the version that the
// list was read at; it works for every kind, also those that have no strategic merge.
func (c *Controller) patchOwners(ctx context.Context, n node, object metav1.Object, strike []types.UID) error {
	loop.Say(ctx, "StrikeOwners", "owners", len(strike))
	kept := slices.DeleteFunc(slices.Clone(object.GetOwnerReferences()), func(owner metav1.OwnerReference) bool {
		return slices.Contains(strike, owner.UID)
	})
	return c.patchMeta(ctx, n, map[string]any{"resourceVersion": object.GetResourceVersion(), "uid": n.uid, "ownerReferences": kept})
}

func (c *Controller) patchMeta(ctx context.Context, n node, fields map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": fields})
	if err != nil {
		return err
	}
	_, err = c.Client.Patch(ctx, n.resource.GroupVersionResource, n.namespace, n.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return controllers.IgnoreNotFound(err)
}
