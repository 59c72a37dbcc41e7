package deployment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Two templates are one version when they differ in nothing but the hash label, which the controller itself puts there.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	if !equality.Semantic.DeepEqual(a.Spec, b.Spec) {
		return false
	}
	x, y := *a, *b
	x.Labels, y.Labels = withoutHash(a.Labels), withoutHash(b.Labels)
	return equality.Semantic.DeepEqual(x, y)
}

func withoutHash(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return labels
}

func sortByAge(sets []*appsv1.ReplicaSet) {
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// current returns the ReplicaSet of the Deployment's template, or nil. Should there be several (a hash collision that
// was resolved), the oldest counts, so that the choice stays the same.
func (r *rollout) current() *appsv1.ReplicaSet {
	for _, set := range r.sets {
		if sameTemplate(&set.Spec.Template, &r.Spec.Template) {
			return set
		}
	}
	return nil
}

// old returns the ReplicaSets of other versions, the oldest first.
func (r *rollout) old() []*appsv1.ReplicaSet {
	current := r.current()
	return slices.DeleteFunc(slices.Clone(r.sets), func(set *appsv1.ReplicaSet) bool { return set == current })
}

// replace puts a ReplicaSet's newer version into the list.
func (r *rollout) replace(set *appsv1.ReplicaSet) {
	for i := range r.sets {
		if r.sets[i].UID == set.UID {
			r.sets[i] = set
			return
		}
	}
	r.sets = append(r.sets, set)
	sortByAge(r.sets)
}

// ensure returns the ReplicaSet of the template, with its revision; it makes the set when create is true and there is
// none.
func (r *rollout) ensure(ctx context.Context, create bool) (*appsv1.ReplicaSet, error) {
	revision := maxRevision(r.old()) + 1
	set := r.current()
	switch {
	case set != nil:
		return r.refresh(ctx, set, revision)
	case create:
		return r.create(ctx, revision)
	}
	return nil, nil
}

// refresh brings a ReplicaSet that is there up to date with what the Deployment says beside the template.
func (r *rollout) refresh(ctx context.Context, set *appsv1.ReplicaSet, revision int64) (*appsv1.ReplicaSet, error) {
	changed := set.DeepCopy()
	if r.annotate(changed, revision, true) || changed.Spec.MinReadySeconds != r.Spec.MinReadySeconds {
		changed.Spec.MinReadySeconds = r.Spec.MinReadySeconds
		loop.Say(ctx, "RefreshReplicaSet", "name", set.Name, "revision", revision)
		written, err := client.Of[*appsv1.ReplicaSet](r.Client).Update(ctx, changed)
		if err != nil {
			return nil, err
		}
		r.replace(written)
		set = written
	}
	// A set that was there before the Deployment, or that a rollback brought back, is news for the Deployment's status.
	write := r.setRevision(set.Annotations[revisionAnnotation])
	if r.hasDeadline() && r.condition(appsv1.DeploymentProgressing) == nil {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "FoundNewReplicaSet",
			fmt.Sprintf("Found new replica set %q", set.Name))
		write = true
	}
	if write {
		return set, r.writeStatus(ctx)
	}
	return set, nil
}

// create makes the ReplicaSet of a new template, already with as many pods as the strategy allows at once.
func (r *rollout) create(ctx context.Context, revision int64) (*appsv1.ReplicaSet, error) {
	set := r.newSet(revision)
	loop.Say(ctx, "CreateReplicaSet", "name", set.Name, "replicas", *set.Spec.Replicas, "revision", revision)
	created, err := client.Of[*appsv1.ReplicaSet](r.Client).Create(ctx, set)
	existed := false
	switch {
	case apierrors.IsAlreadyExists(err):
		if created, err = r.collided(ctx, set); err != nil {
			return nil, err
		}
		existed = true
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, err
	case err != nil:
		return nil, r.createFailed(ctx, set, err)
	}
	r.replace(created)
	if !existed && *set.Spec.Replicas > 0 {
		r.Events.Event(r.Deployment, corev1.EventTypeNormal, "ScalingReplicaSet",
			"Scaled up replica set %s from 0 to %d", created.Name, *set.Spec.Replicas)
	}
	write := r.setRevision(fmt.Sprint(revision))
	if !existed && r.hasDeadline() {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated",
			fmt.Sprintf("Created new replica set %q", created.Name))
		write = true
	}
	if write {
		return created, r.writeStatus(ctx)
	}
	return created, nil
}

func (r *rollout) newSet(revision int64) *appsv1.ReplicaSet {
	template := r.Spec.Template.DeepCopy()
	hash := controllers.ComputeHash(template, r.Status.CollisionCount)
	template.Labels = withHash(template.Labels, hash)
	selector := r.Spec.Selector.DeepCopy()
	selector.MatchLabels = withHash(selector.MatchLabels, hash)
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name:            r.Name[:min(len(r.Name), validation.DNS1123SubdomainMaxLength-1-len(hash))] + "-" + hash,
			Namespace:       r.Namespace,
			OwnerReferences: []metav1.OwnerReference{controllers.OwnerRef(r.Deployment)},
			Labels:          maps.Clone(template.Labels),
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas:        ptr.To(int32(0)),
			MinReadySeconds: r.Spec.MinReadySeconds,
			Selector:        selector,
			Template:        *template,
		},
	}
	set.Spec.Replicas = ptr.To(r.roomFor(set))
	r.annotate(set, revision, false)
	return set
}

func withHash(labels map[string]string, hash string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return labels
}

// collided looks at what has taken the name of a new ReplicaSet. It may be our own, which the cache does not show yet. If
// it is of another template, the hash is not unique: raising the collision count gives another one in the next step.
func (r *rollout) collided(ctx context.Context, set *appsv1.ReplicaSet) (*appsv1.ReplicaSet, error) {
	there, err := client.Of[*appsv1.ReplicaSet](r.Client).Get(ctx, set.Namespace, set.Name)
	if err != nil {
		return nil, err
	}
	if owner := metav1.GetControllerOfNoCopy(there); owner != nil && owner.UID == r.UID &&
		sameTemplate(&there.Spec.Template, &r.Spec.Template) {
		return there, nil
	}
	r.Status.CollisionCount = ptr.To(ptr.Deref(r.Status.CollisionCount, 0) + 1)
	loop.Say(ctx, "HashCollision", "name", set.Name, "count", *r.Status.CollisionCount)
	if err := r.writeStatus(ctx); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the name of new replica set %s is taken by another template: trying another name", set.Name)
}

func (r *rollout) createFailed(ctx context.Context, set *appsv1.ReplicaSet, cause error) error {
	message := fmt.Sprintf("Failed to create new replica set %q: %v", set.Name, cause)
	if r.hasDeadline() {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ReplicaSetCreateError", message)
		// The cause is what counts; a status that could not be written will be with the next attempt.
		_ = r.writeStatus(ctx)
	}
	r.Events.Event(r.Deployment, corev1.EventTypeWarning, "ReplicaSetCreateError", "%s", message)
	return cause
}
