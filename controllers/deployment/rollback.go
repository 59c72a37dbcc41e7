package deployment

import (
	"context"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/loop"
)

// rollback does what the annotation deprecated.deployment.rollback.to asks for: it puts the template of an earlier
// revision (0 for the one before) back into the Deployment. kubectl rollout undo of today does not need it, for it
// patches the template itself; the annotation is the API's older way, and still works.
func (r *rollout) rollback(ctx context.Context, revision int64) error {
	if _, err := r.ensure(ctx, true); err != nil {
		return err
	}
	if revision == 0 {
		if revision = r.lastRevision(); revision == 0 {
			r.Events.Event(r.Deployment, corev1.EventTypeWarning, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
			return r.endRollback(ctx)
		}
	}
	at := slices.IndexFunc(r.sets, func(set *appsv1.ReplicaSet) bool { return revisionOf(set) == revision })
	if at < 0 {
		r.Events.Event(r.Deployment, corev1.EventTypeWarning, "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to.")
		return r.endRollback(ctx)
	}
	set := r.sets[at]
	if sameTemplate(&r.Spec.Template, &set.Spec.Template) {
		r.Events.Event(r.Deployment, corev1.EventTypeWarning, "DeploymentRollbackTemplateUnchanged",
			"The rollback revision contains the same template as current deployment %q", r.Name)
		return r.endRollback(ctx)
	}
	loop.Say(ctx, "RollBack", "revision", revision, "name", set.Name)
	r.Spec.Template = *set.Spec.Template.DeepCopy()
	r.Spec.Template.Labels = withoutHash(r.Spec.Template.Labels)
	r.restoreAnnotations(set)
	if err := r.endRollback(ctx); err != nil {
		return err
	}
	r.Events.Event(r.Deployment, corev1.EventTypeNormal, "DeploymentRollback", "Rolled back deployment %q to revision %d", r.Name, revision)
	return nil
}

// rollbackTo is the revision that the annotation asks for, if it does: what is no number asks for nothing.
func (r *rollout) rollbackTo() (int64, bool) {
	revision, err := strconv.ParseInt(r.Annotations[appsv1.DeprecatedRollbackTo], 10, 64)
	return revision, err == nil
}

// lastRevision is the second highest revision.
func (r *rollout) lastRevision() int64 {
	highest, second := int64(0), int64(0)
	for _, set := range r.sets {
		switch revision := revisionOf(set); {
		case revision >= highest:
			highest, second = revision, highest
		case revision > second:
			second = revision
		}
	}
	return second
}

// restoreAnnotations gives the Deployment the annotations that it had at the revision, such as the change cause.
func (r *rollout) restoreAnnotations(set *appsv1.ReplicaSet) {
	restored := map[string]string{}
	for key, value := range r.Annotations {
		if slices.Contains(notCopied, key) {
			restored[key] = value
		}
	}
	for key, value := range set.Annotations {
		if !slices.Contains(notCopied, key) {
			restored[key] = value
		}
	}
	r.Annotations = restored
}

func (r *rollout) endRollback(ctx context.Context) error {
	r.Annotations = maps.Clone(r.Annotations)
	delete(r.Annotations, appsv1.DeprecatedRollbackTo)
	_, err := client.Of[*appsv1.Deployment](r.Client).Update(ctx, r.Deployment)
	return err
}
