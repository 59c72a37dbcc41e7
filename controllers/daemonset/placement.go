package daemonset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"kubette/controllers"
	"kubette/controllers/revisions"
	"kubette/loop"
)

// placement is one DaemonSet while it is reconciled.
type placement struct {
	*Controller
	set   *appsv1.DaemonSet
	key   string
	nodes []*corev1.Node
	pods  map[string][]*corev1.Pod // by node

	past  *revisions.History
	hash  string        // of the template, as on the pods
	retry time.Duration // when a failed pod may be replaced
}

// place finds the nodes that lack a pod and the pods that are too much, and acts.
func (p *placement) place(ctx context.Context) error {
	var missing []string
	var surplus []*corev1.Pod
	known := map[string]bool{}
	for _, node := range p.nodes {
		known[node.Name] = true
		lacks, excess := p.onNode(ctx, node)
		if lacks {
			missing = append(missing, node.Name)
		}
		surplus = append(surplus, excess...)
	}
	// Pods that wait for a node which is gone will never be scheduled. (Those that ran there are the pod garbage
	// collector's.)
	for name, pods := range p.pods {
		if known[name] {
			continue
		}
		for _, pod := range pods {
			if pod.Spec.NodeName == "" {
				surplus = append(surplus, pod)
			}
		}
	}
	return p.act(ctx, missing, surplus)
}

// onNode says whether a node lacks a pod, and which of its pods are to go.
func (p *placement) onNode(ctx context.Context, node *corev1.Node) (lacks bool, surplus []*corev1.Pod) {
	should, mayStay := belongs(p.set, node)
	pods := p.pods[node.Name]
	if !mayStay {
		return false, slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	}
	if len(pods) == 0 {
		return should, nil
	}
	var running []*corev1.Pod
	for _, pod := range pods {
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Status.Phase == corev1.PodFailed:
			if p.mayReplace(node.Name) {
				loop.Say(ctx, "FailedPod", "name", pod.Name, "node", node.Name)
				p.Events.Event(p.set, corev1.EventTypeWarning, "FailedDaemonPod",
					"Found failed daemon pod %s/%s on node %s, will try to kill it", pod.Namespace, pod.Name, node.Name)
				surplus = append(surplus, pod)
			}
		case pod.Status.Phase == corev1.PodSucceeded:
			p.Events.Event(p.set, corev1.EventTypeNormal, "SucceededDaemonPod",
				"Found succeeded daemon pod %s/%s on node %s, will try to delete it", pod.Namespace, pod.Name, node.Name)
			surplus = append(surplus, pod)
		default:
			running = append(running, pod)
		}
	}
	slices.SortFunc(running, older)
	if p.surge() > 0 { // one more may always be made beside those on their way out
		return should && len(running) == 0, append(surplus, p.surplusOfSurge(running)...)
	}
	if len(running) > 1 {
		surplus = append(surplus, running[1:]...)
	}
	return false, surplus
}

// older orders pods of one node: those bound to it before others, then by age, then by name.
func older(a, b *corev1.Pod) int {
	switch {
	case a.Spec.NodeName != "" && b.Spec.NodeName == "":
		return -1
	case a.Spec.NodeName == "" && b.Spec.NodeName != "":
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// surplusOfSurge lets an old and a new pod stand side by side: the old one goes when the new one is available, or when it
// serves nobody itself.
func (p *placement) surplusOfSurge(running []*corev1.Pod) []*corev1.Pod {
	var old, fresh []*corev1.Pod
	for _, pod := range running {
		if p.isCurrent(pod) {
			fresh = append(fresh, pod)
		} else {
			old = append(old, pod)
		}
	}
	var surplus []*corev1.Pod
	if len(old) > 1 {
		surplus = append(surplus, old[1:]...)
	}
	if len(fresh) > 1 {
		surplus = append(surplus, fresh[1:]...)
	}
	if len(old) > 0 && len(fresh) > 0 && (!controllers.IsReady(old[0]) || p.available(fresh[0])) {
		surplus = append(surplus, old[0])
	}
	return surplus
}

// mayReplace slows the replacement of pods that fail on one node down, from 1 s to 15 min.
func (p *placement) mayReplace(node string) bool {
	id := fmt.Sprintf("%s/%d/%s", p.set.UID, p.set.Status.ObservedGeneration, node)
	now := time.Now()
	if p.failures.IsInBackOffSinceUpdate(id, now) {
		p.retry = controllers.Sooner(p.retry, p.failures.Get(id))
		return false
	}
	p.failures.Next(id, now)
	return true
}

// act creates and deletes pods, and notes what the cache will have to show.
func (p *placement) act(ctx context.Context, missing []string, surplus []*corev1.Pod) error {
	missing, surplus = missing[:min(len(missing), burst)], surplus[:min(len(surplus), burst)]
	if len(missing)+len(surplus) > 0 {
		loop.Say(ctx, "Place", "create", len(missing), "delete", len(surplus))
	}
	uids := make([]types.UID, len(surplus))
	for i, pod := range surplus {
		uids[i] = pod.UID
	}
	p.expected.ExpectCreations(p.key, len(missing))
	p.expected.ExpectDeletions(p.key, uids...)
	created, createErr := controllers.SlowStart(len(missing), func(i int) error {
		pod := controllers.PodFromTemplate(&p.set.Spec.Template, p.set)
		pod.Labels = withHash(pod.Labels, p.hash)
		if generation, ok := p.set.Annotations[appsv1.DeprecatedTemplateGeneration]; ok {
			pod.Labels[generationLabel] = generation
		}
		pin(&pod.Spec, missing[i])
		tolerate(&pod.Spec)
		_, err := p.CreatePod(ctx, p.set, pod)
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			p.expected.Created(p.key, 1)
			return nil
		}
		return err
	})
	if createErr != nil {
		p.expected.Created(p.key, len(missing)-created)
	}
	deleteErr := controllers.Parallel(len(surplus), func(i int) error {
		err := p.DeletePod(ctx, p.set, surplus[i])
		if err != nil {
			p.expected.Deleted(p.key, surplus[i].UID)
		}
		return controllers.IgnoreNotFound(err)
	})
	return errors.Join(createErr, deleteErr)
}
