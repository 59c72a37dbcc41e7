package statefulset

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// ensureClaims makes the claims of pod number n that are missing.
func (r *run) ensureClaims(ctx context.Context, number int) error {
	var failures []error
	for _, claim := range r.claimsFor(number) {
		there, ok := r.claims.Get(claim.Namespace, claim.Name)
		switch {
		case ok && there.DeletionTimestamp != nil:
			failures = append(failures, fmt.Errorf("pvc %s is being deleted", claim.Name))
			continue
		case ok:
			continue
		}
		r.own(claim, number, nil)
		loop.Say(ctx, "CreateClaim", "name", claim.Name)
		_, err := client.Of[*corev1.PersistentVolumeClaim](r.Client).Create(ctx, claim)
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		pod := podName(r.set, number)
		if err != nil {
			failures = append(failures, fmt.Errorf("failed to create PVC %s: %w", claim.Name, err))
			r.Events.Event(r.set, corev1.EventTypeWarning, "FailedCreate", "Create Claim %s for Pod %s in StatefulSet %s failed error: %v", claim.Name, pod, r.set.Name, err)
			continue
		}
		r.Events.Event(r.set, corev1.EventTypeNormal, "SuccessfulCreate", "Create Claim %s Pod %s in StatefulSet %s success", claim.Name, pod, r.set.Name)
	}
	return utilerrors.NewAggregate(failures)
}

// hasStaleClaim says whether one of the claims of pod number n goes, when whenScaled is Delete, with an earlier pod of its
// name: the garbage collector is about to take it.
func (r *run) hasStaleClaim(number int) bool {
	policy := r.set.Spec.PersistentVolumeClaimRetentionPolicy
	if policy == nil || policy.WhenScaled != appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
		return false
	}
	return slices.ContainsFunc(r.claimsFor(number), func(wanted *corev1.PersistentVolumeClaim) bool {
		claim, ok := r.claims.Get(wanted.Namespace, wanted.Name)
		return ok && slices.ContainsFunc(claim.OwnerReferences, func(owner metav1.OwnerReference) bool {
			return owner.Kind == "Pod" && owner.Name == podName(r.set, number)
		})
	})
}

// keepClaims makes the owners of a pod's claims follow persistentVolumeClaimRetentionPolicy: who owns a claim decides when
// the garbage collector takes it. condemned is the pod when it is to go for good, else nil.
func (r *run) keepClaims(ctx context.Context, number int, condemned *corev1.Pod) error {
	for _, template := range r.claimsFor(number) {
		claim, ok := r.claims.Get(template.Namespace, template.Name)
		if !ok || claim.DeletionTimestamp != nil {
			continue
		}
		changed := claim.DeepCopy()
		if !r.own(changed, number, condemned) {
			continue
		}
		loop.Say(ctx, "ClaimOwners", "name", claim.Name, "owners", len(changed.OwnerReferences))
		if _, err := client.Of[*corev1.PersistentVolumeClaim](r.Client).Update(ctx, changed); controllers.IgnoreNotFound(err) != nil {
			return fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", claim.Name, err)
		}
	}
	return nil
}

// own sets the owners of a claim, and says whether they changed: the set when the claim is to go with it, the pod when it
// is to go with that.
func (r *run) own(claim *corev1.PersistentVolumeClaim, number int, condemned *corev1.Pod) bool {
	onDelete, onScale := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if policy := r.set.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil {
		onDelete, onScale = policy.WhenDeleted, policy.WhenScaled
	}
	remove := appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	withPod := onScale == remove && condemned != nil
	withSet := onDelete == remove && !withPod

	before := claim.OwnerReferences
	var after []metav1.OwnerReference
	for _, owner := range before {
		if owner.UID == r.set.UID || owner.Kind == "Pod" && owner.Name == podName(r.set, number) {
			continue
		}
		after = append(after, owner)
	}
	if withSet {
		after = append(after, controllers.OwnerRef(r.set))
	}
	if withPod {
		after = append(after, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: condemned.Name, UID: condemned.UID})
	}
	claim.OwnerReferences = after
	return !slices.EqualFunc(before, after, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID })
}
