package statefulset

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers/revisions"
	"kubette/loop"
)

// versions finds the revision of the set's template (update), making it if it is new, and the one that was rolled out
// completely before (current).
func (r *run) versions(ctx context.Context) error {
	template := &r.set.Spec.Template
	for {
		wanted, err := revisions.New(r.set, template, r.past.Next(), &r.collisions)
		if err != nil {
			return err
		}
		r.update = r.past.Equal(wanted)
		switch {
		case r.update == nil:
			created, collided, err := r.past.Create(ctx, wanted)
			if err != nil {
				return err
			}
			if collided {
				r.collisions++
				loop.Say(ctx, "HashCollision", "count", r.collisions)
				continue
			}
			r.update = created
		case r.update.Revision+1 < r.past.Next(): // a rollback
			if r.update, err = r.past.Raise(ctx, r.update, r.past.Next()); err != nil {
				return err
			}
		}
		break
	}
	if r.current = r.past.Named(r.set.Status.CurrentRevision); r.current == nil {
		r.current = r.update
	}
	var err1, err2 error
	r.currentTemplate, err1 = revisions.Template(r.current)
	r.updateTemplate, err2 = revisions.Template(r.update)
	return errors.Join(err1, err2)
}

// truncate forgets revisions beyond revisionHistoryLimit that are not in use.
func (r *run) truncate(ctx context.Context) error {
	live := map[string]bool{r.current.Name: true, r.update.Name: true}
	for _, pod := range r.pods {
		live[revisionOf(pod)] = true
	}
	limit := ptr.Deref(r.set.Spec.RevisionHistoryLimit, 10)
	return r.past.Truncate(ctx, limit, func(revision *appsv1.ControllerRevision) bool { return live[revision.Name] })
}
