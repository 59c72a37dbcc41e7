package daemonset

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/revisions"
	"kubette/loop"
)

const hashLabel = appsv1.DefaultDaemonSetUniqueLabelKey

// generationLabel counted the templates before there were revisions. Kubernetes still writes it; nothing reads it.
const generationLabel = "pod-template-generation"

// history finds the revision of the set's template, or makes it, and so the hash that its pods bear.
func (p *placement) history(ctx context.Context, selector labels.Selector) error {
	past, err := revisions.Of(ctx, p.Client, p.revisions, p.set, selector)
	if err != nil {
		return err
	}
	p.past = past
	hash := controllers.ComputeHash(&p.set.Spec.Template, p.set.Status.CollisionCount)
	wanted, err := revisions.New(p.set, &p.set.Spec.Template, past.Next(), nil)
	if err != nil {
		return err
	}
	wanted.Name = p.set.Name + "-" + hash
	wanted.Labels = withHash(p.set.Spec.Template.Labels, hash)
	if there := past.Equal(wanted); there != nil {
		p.hash = there.Labels[hashLabel]
		if there.Revision+1 < past.Next() {
			_, err = past.Raise(ctx, there, past.Next()) // a rollback
		}
		return err
	}
	created, collided, err := past.Create(ctx, wanted)
	if err != nil {
		return err
	}
	if collided {
		return p.raiseCollisions(ctx, wanted.Name)
	}
	p.hash = created.Labels[hashLabel]
	return nil
}

func (p *placement) raiseCollisions(ctx context.Context, name string) error {
	changed := p.set.DeepCopy()
	changed.Status.CollisionCount = ptr.To(ptr.Deref(changed.Status.CollisionCount, 0) + 1)
	loop.Say(ctx, "HashCollision", "name", name, "count", *changed.Status.CollisionCount)
	if _, err := client.Of[*appsv1.DaemonSet](p.Client).UpdateStatus(ctx, changed); err != nil {
		return err
	}
	return fmt.Errorf("the name of new revision %s is taken by another template: trying another name", name)
}

func withHash(set map[string]string, hash string) map[string]string {
	set = maps.Clone(set)
	if set == nil {
		set = map[string]string{}
	}
	if hash != "" {
		set[hashLabel] = hash
	}
	return set
}

// cleanUp forgets old revisions that no pod is of.
func (p *placement) cleanUp(ctx context.Context) error {
	live := map[string]bool{p.hash: true}
	for _, pods := range p.pods {
		for _, pod := range pods {
			live[pod.Labels[hashLabel]] = true
		}
	}
	kept := map[types.UID]bool{}
	for _, revision := range p.past.Revisions {
		kept[revision.UID] = live[revision.Labels[hashLabel]]
	}
	return p.past.Truncate(ctx, ptr.Deref(p.set.Spec.RevisionHistoryLimit, 10), func(revision *appsv1.ControllerRevision) bool { return kept[revision.UID] })
}
