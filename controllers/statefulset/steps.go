package statefulset

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

func (r *run) isReady(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && controllers.IsReady(pod)
}

func (r *run) isAvailable(pod *corev1.Pod) bool {
	available, _ := controllers.IsAvailable(pod, r.set.Spec.MinReadySeconds)
	return pod.Status.Phase == corev1.PodRunning && available
}

func (r *run) isHealthy(pod *corev1.Pod) bool {
	return pod != nil && pod.DeletionTimestamp == nil && r.isAvailable(pod)
}

// keepReplicas sees to the wanted pods, from the lowest number up. It returns done when nothing else may be done now.
func (r *run) keepReplicas(ctx context.Context, replicas []*corev1.Pod) (done bool, err error) {
	if !r.ordered() {
		err := controllers.Parallel(len(replicas), func(i int) error {
			_, err := r.keep(ctx, replicas[i], r.start()+i)
			return err
		})
		return err != nil, err
	}
	for i, pod := range replicas {
		if done, err := r.keep(ctx, pod, r.start()+i); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// keep sees to one wanted pod. In an ordered set it returns done when the next ones have to wait for this one.
func (r *run) keep(ctx context.Context, pod *corev1.Pod, number int) (done bool, err error) {
	switch {
	case pod == nil:
		return r.ordered(), r.create(ctx, number)
	case controllers.IsFinished(pod):
		return r.ordered(), r.recreate(ctx, pod)
	case pod.DeletionTimestamp != nil:
		loop.Say(ctx, "WaitForEnd", "name", pod.Name)
		return r.ordered(), nil
	}
	if pod.Status.Phase == corev1.PodPending {
		if err := r.ensureClaims(ctx, number); err != nil {
			return true, err
		}
	}
	if r.ordered() && !r.isAvailable(pod) {
		loop.Say(ctx, "WaitForReady", "name", pod.Name)
		return true, nil
	}
	if err := r.keepClaims(ctx, number, nil); err != nil {
		return true, err
	}
	return false, r.mend(ctx, pod)
}

// create makes pod number n, after its claims. A claim that is to go with an earlier pod of that name is waited for.
func (r *run) create(ctx context.Context, number int) error {
	pod := r.newPod(number)
	if r.hasStaleClaim(number) {
		loop.Say(ctx, "WaitForClaim", "name", pod.Name)
		return nil
	}
	if err := r.ensureClaims(ctx, number); err != nil {
		r.tellPod("Create", pod.Name, err)
		return err
	}
	loop.Say(ctx, "CreatePod", "name", pod.Name)
	created, err := client.Of[*corev1.Pod](r.Client).Create(ctx, pod)
	switch {
	case apierrors.IsAlreadyExists(err):
		if owner := r.takenByOther(ctx, pod.Name); owner != "" {
			return fmt.Errorf("pod %s is there and belongs to %s", pod.Name, owner) // tried again, without a word
		}
		return nil // our own, which the cache does not show yet
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	}
	r.tellPod("Create", pod.Name, err)
	if err == nil {
		r.created.add(created)
	}
	return err
}

func (r *run) takenByOther(ctx context.Context, name string) string {
	there, err := client.Of[*corev1.Pod](r.Client).Get(ctx, r.set.Namespace, name)
	if err != nil {
		return ""
	}
	owner := metav1.GetControllerOfNoCopy(there)
	switch {
	case owner == nil:
		return "nobody"
	case owner.UID != r.set.UID:
		return owner.Kind + " " + owner.Name
	}
	return ""
}

// recreate deletes a pod that has ended; a new one of its name is made when it is gone.
func (r *run) recreate(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	loop.Say(ctx, "Recreate", "name", pod.Name, "phase", pod.Status.Phase)
	return r.deletePod(ctx, pod)
}

func (r *run) deletePod(ctx context.Context, pod *corev1.Pod) error {
	loop.Say(ctx, "DeletePod", "name", pod.Name)
	err := client.Of[*corev1.Pod](r.Client).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	r.tellPod("Delete", pod.Name, err)
	return err
}

// mend gives a pod the labels of its identity back.
func (r *run) mend(ctx context.Context, pod *corev1.Pod) error {
	if r.identityMatches(pod) {
		return nil
	}
	loop.Say(ctx, "MendPod", "name", pod.Name)
	mended := pod.DeepCopy()
	r.identify(mended)
	mended.Spec = pod.Spec // volumes cannot be changed any more
	_, err := client.Of[*corev1.Pod](r.Client).Update(ctx, mended)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if apierrors.IsConflict(err) {
		return err // such as with its own adoption: it is tried again with the newer pod, without a word, as in Kubernetes
	}
	r.tellPod("Update", pod.Name, err)
	return err
}

// removeCondemned deletes the pods beyond the wanted number, from the highest number down. In an ordered set one at a
// time, and only while those before are well, but for the very pod that is not.
func (r *run) removeCondemned(ctx context.Context, condemned, replicas []*corev1.Pod) (done bool, err error) {
	unhealthy := r.firstUnhealthy(replicas, condemned)
	for _, pod := range condemned {
		if err := r.keepClaims(ctx, ordinal(r.set, pod), pod); err != nil {
			return true, err
		}
		if pod.DeletionTimestamp != nil {
			if r.ordered() {
				loop.Say(ctx, "WaitForEnd", "name", pod.Name)
				return true, nil
			}
			continue
		}
		if r.ordered() && !r.isAvailable(pod) && pod != unhealthy {
			loop.Say(ctx, "WaitForReady", "name", pod.Name)
			return true, nil
		}
		if err := r.deletePod(ctx, pod); err != nil || r.ordered() {
			return true, err
		}
	}
	return false, nil
}

// firstUnhealthy is the pod with the lowest number that is not well.
func (r *run) firstUnhealthy(replicas, condemned []*corev1.Pod) *corev1.Pod {
	rising := slices.Clone(condemned)
	slices.Reverse(rising)
	for _, pod := range append(slices.Clone(replicas), rising...) {
		if pod != nil && !r.isHealthy(pod) {
			return pod
		}
	}
	return nil
}

// tellPod says in an event what was done with a pod, in Kubernetes' words; the verb is Create, Update or Delete.
func (r *run) tellPod(verb, name string, err error) {
	if err == nil {
		r.Events.Event(r.set, corev1.EventTypeNormal, "Successful"+verb, "%s Pod %s in StatefulSet %s successful", verb, name, r.set.Name)
		return
	}
	r.Events.Event(r.set, corev1.EventTypeWarning, "Failed"+verb, "%s Pod %s in StatefulSet %s failed error: %v", verb, name, r.set.Name, err)
}
