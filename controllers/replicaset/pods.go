package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// burst bounds how many pods one reconciliation creates or deletes, so that no set holds up the others.
const burst = 500

// scale creates or deletes pods until there are as many active ones as wanted.
func (c *Controller[T]) scale(ctx context.Context, key string, object T, set *appsv1.ReplicaSet, active []*corev1.Pod) error {
	missing := int(*set.Spec.Replicas) - len(active)
	switch {
	case missing > 0:
		return c.create(ctx, key, object, set, min(missing, burst))
	case missing < 0:
		return c.delete(ctx, key, object, set, active, min(-missing, burst))
	}
	return nil
}

func (c *Controller[T]) create(ctx context.Context, key string, object T, set *appsv1.ReplicaSet, count int) error {
	loop.Say(ctx, "TooFewPods", "create", count)
	c.expected.ExpectCreations(key, count)
	created, err := controllers.SlowStart(count, func(int) error {
		_, err := c.CreatePod(ctx, object, controllers.PodFromTemplate(&set.Spec.Template, object))
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			c.expected.Created(key, 1)
			return nil // nothing can be created there any more, and all will be deleted
		}
		return err
	})
	if err != nil {
		loop.Say(ctx, "CreateFailed", "created", created, "of", count, "error", err.Error())
		c.expected.Created(key, count-created)
	}
	return err
}

func (c *Controller[T]) delete(ctx context.Context, key string, object T, set *appsv1.ReplicaSet, active []*corev1.Pod, count int) error {
	chosen := c.choose(object, active, count)
	loop.Say(ctx, "TooManyPods", "delete", names(chosen))
	uids := make([]types.UID, len(chosen))
	for i, pod := range chosen {
		uids[i] = pod.UID
	}
	c.expected.ExpectDeletions(key, uids...)
	return controllers.Parallel(len(chosen), func(i int) error {
		err := c.DeletePod(ctx, object, chosen[i])
		if err != nil {
			c.expected.Deleted(key, chosen[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// choose picks the pods to delete: those whose loss hurts least, and, among equals, those on the most crowded nodes.
// Crowded is counted over all sets of the same Deployment.
func (c *Controller[T]) choose(object T, active []*corev1.Pod, count int) []*corev1.Pod {
	if count >= len(active) {
		return active
	}
	perNode := map[string]int{}
	for _, pod := range c.relatives(object) {
		if controllers.IsActive(pod) {
			perNode[pod.Spec.NodeName]++
		}
	}
	crowd := make(map[*corev1.Pod]int, len(active))
	for _, pod := range active {
		crowd[pod] = perNode[pod.Spec.NodeName]
	}
	controllers.RankForDeletion(active, crowd)
	return active[:count]
}

// relatives are the pods of a set and of its siblings: the other sets of the same owner.
func (c *Controller[T]) relatives(object T) []*corev1.Pod {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil {
		return controllers.Owned(c.pods, object.GetUID())
	}
	var pods []*corev1.Pod
	for _, sibling := range controllers.Owned(c.sets, owner.UID) {
		pods = append(pods, controllers.Owned(c.pods, sibling.GetUID())...)
	}
	return pods
}

// named bounds how many names one note of the trace holds.
const named = 10

func names[T client.Object](objects []T) []string {
	list := make([]string, 0, min(len(objects), named+1))
	for i, object := range objects {
		if i == named {
			return append(list, "…")
		}
		list = append(list, object.GetName())
	}
	return list
}
