package deployment

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	// historyAnnotation lists the earlier revisions of a ReplicaSet that became current again.
	historyAnnotation = "deployment.kubernetes.io/revision-history"
	// historyLimit bounds the history's length in characters.
	historyLimit = 2000
)

// notCopied are annotations of a Deployment that mean nothing on its ReplicaSets.
var notCopied = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation,
	appsv1.DeprecatedRollbackTo,
}

// revisionOf reads a ReplicaSet's revision; 0 means that it has none.
func revisionOf(set *appsv1.ReplicaSet) int64 {
	revision, err := strconv.ParseInt(set.Annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

func maxRevision(sets []*appsv1.ReplicaSet) (most int64) {
	for _, set := range sets {
		most = max(most, revisionOf(set))
	}
	return most
}

// annotate gives a ReplicaSet the Deployment's annotations and its revision, and says whether anything changed. A set
// that was current before and is again gets a new revision; the old one goes to its history.
func (r *rollout) annotate(set *appsv1.ReplicaSet, revision int64, exists bool) bool {
	changed := false
	if set.Annotations == nil {
		set.Annotations = map[string]string{}
	}
	for key, value := range r.Annotations {
		if old, ok := set.Annotations[key]; !slices.Contains(notCopied, key) && (!ok || old != value) {
			set.Annotations[key] = value
			changed = true
		}
	}
	if before := set.Annotations[revisionAnnotation]; revisionOf(set) < revision {
		set.Annotations[revisionAnnotation] = strconv.FormatInt(revision, 10)
		if before != "" {
			set.Annotations[historyAnnotation] = appendHistory(set.Annotations[historyAnnotation], before)
		}
		changed = true
	}
	if !exists && r.remember(set) {
		changed = true
	}
	return changed
}

func appendHistory(history, revision string) string {
	if history == "" {
		return revision
	}
	revisions := strings.Split(history, ",")
	for len(revisions) > 0 && len(strings.Join(revisions, ","))+len(revision)+1 > historyLimit {
		revisions = revisions[1:]
	}
	return strings.Join(append(revisions, revision), ",")
}

// setRevision notes the current revision on the Deployment, and says whether it is new.
func (r *rollout) setRevision(revision string) bool {
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	if r.Annotations[revisionAnnotation] == revision {
		return false
	}
	r.Annotations[revisionAnnotation] = revision
	return true
}

// cleanUp deletes the oldest ReplicaSets beyond revisionHistoryLimit.
func (r *rollout) cleanUp(ctx context.Context) error {
	limit := r.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return nil
	}
	sets := slices.DeleteFunc(r.old(), func(set *appsv1.ReplicaSet) bool { return set.DeletionTimestamp != nil })
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int { return int(revisionOf(a) - revisionOf(b)) })
	for _, set := range sets[:max(len(sets)-int(*limit), 0)] {
		// One that still has pods, or is yet to be scaled down, must stay: its pods would go with it.
		if set.Status.Replicas != 0 || *set.Spec.Replicas != 0 || set.Generation > set.Status.ObservedGeneration {
			continue
		}
		loop.Say(ctx, "ForgetRevision", "name", set.Name, "revision", revisionOf(set))
		err := client.Of[*appsv1.ReplicaSet](r.Client).Delete(ctx, set.Namespace, set.Name, metav1.DeleteOptions{})
		if controllers.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
