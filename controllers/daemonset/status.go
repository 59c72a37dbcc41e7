package daemonset

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// report counts nodes and pods into the status; for a node with several, as in a surge, the oldest counts. It says when the
// next ready pod becomes available.
func (p *placement) report(ctx context.Context) (time.Duration, error) {
	status := appsv1.DaemonSetStatus{
		ObservedGeneration: p.set.Generation, CollisionCount: p.set.Status.CollisionCount, Conditions: p.set.Status.Conditions,
	}
	var next time.Duration
	for _, node := range p.nodes {
		should, _ := belongs(p.set, node)
		pods := p.pods[node.Name]
		if !should {
			if len(pods) > 0 {
				status.NumberMisscheduled++
			}
			continue
		}
		status.DesiredNumberScheduled++
		if len(pods) == 0 {
			continue
		}
		status.CurrentNumberScheduled++
		pod := slices.MinFunc(pods, older)
		if controllers.IsReady(pod) {
			status.NumberReady++
			available, left := controllers.IsAvailable(pod, p.set.Spec.MinReadySeconds)
			if available {
				status.NumberAvailable++
			}
			next = controllers.Sooner(next, left)
		}
		if p.isCurrent(pod) {
			status.UpdatedNumberScheduled++
		}
	}
	status.NumberUnavailable = status.DesiredNumberScheduled - status.NumberAvailable
	if equality.Semantic.DeepEqual(status, p.set.Status) {
		return next, nil
	}
	loop.Say(ctx, "DaemonStatus", "desired", status.DesiredNumberScheduled, "current", status.CurrentNumberScheduled, "ready", status.NumberReady)
	changed := p.set.DeepCopy()
	changed.Status = status
	_, err := client.Of[*appsv1.DaemonSet](p.Client).UpdateStatus(ctx, changed)
	return next, controllers.IgnoreNotFound(err)
}
