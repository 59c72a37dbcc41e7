package tainteviction

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces and events.
	Name = "taint-eviction-controller"

	workers = 8 // Kubernetes' default
)

// Controller evicts pods from tainted nodes.
type Controller struct {
	controllers.Base
	nodes client.Informer[*corev1.Node]
	pods  client.Informer[*corev1.Pod]
	loop  *loop.Loop[string]

	mu     sync.Mutex
	doomed map[string]doom // by pod
}

// doom is a pod that waits for its eviction.
type doom struct {
	uid   types.UID
	since time.Time
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{
		Base:   base,
		nodes:  client.InformerFor[*corev1.Node](base.Informers),
		pods:   client.InformerFor[*corev1.Pod](base.Informers),
		doomed: map[string]doom{},
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	controllers.IndexByNode(c.pods)
	c.nodes.Handle(client.Handler[*corev1.Node]{
		Add: func(node *corev1.Node) { c.nodeChanged(nil, node) },
		Update: func(old, node *corev1.Node) {
			c.nodeChanged(evicting(old), node)
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { c.podChanged(pod, "added") },
		Update: func(old, pod *corev1.Pod) {
			if old.Spec.NodeName != pod.Spec.NodeName || len(old.Spec.Tolerations) != len(pod.Spec.Tolerations) {
				c.podChanged(pod, "changed")
			}
		},
		Delete: func(pod *corev1.Pod) { c.forget(controllers.Key(pod)) },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) nodeChanged(before []corev1.Taint, node *corev1.Node) {
	now := evicting(node)
	if len(before) == len(now) && sameTaints(before, now) {
		return
	}
	for _, pod := range controllers.OnNode(c.pods, node.Name) {
		c.loop.Add(controllers.Key(pod), controllers.Cause("nodes", node, "has other taints"))
	}
}

func (c *Controller) podChanged(pod *corev1.Pod, what string) {
	if pod.Spec.NodeName == "" {
		return
	}
	// A pod on a node without such taints concerns us only when it was waiting.
	if node, ok := c.nodes.Get("", pod.Spec.NodeName); ok && len(evicting(node)) == 0 && !c.waits(controllers.Key(pod)) {
		return
	}
	c.loop.Add(controllers.Key(pod), controllers.Cause("pods", pod, what))
}

func evicting(node *corev1.Node) []corev1.Taint {
	var taints []corev1.Taint
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, taint)
		}
	}
	return taints
}

func sameTaints(a, b []corev1.Taint) bool {
	for i := range a {
		if !a[i].MatchTaint(&b[i]) || a[i].Value != b[i].Value {
			return false
		}
	}
	return true
}

// Reconcile evicts a pod whose node's taints it does not tolerate, or not any longer.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	pod, ok := c.pods.Get(namespace, name)
	if !ok || pod.DeletionTimestamp != nil || controllers.IsFinished(pod) {
		c.forget(key)
		return 0, nil
	}
	node, ok := c.nodes.Get("", pod.Spec.NodeName)
	if !ok {
		return 0, nil // a node that is gone is the pod garbage collector's concern
	}
	taints := evicting(node)
	if len(taints) == 0 {
		c.pardon(ctx, key, pod)
		return 0, nil
	}
	tolerated, limit := tolerance(pod, taints)
	switch {
	case !tolerated:
		loop.Say(ctx, "NotTolerated", "node", node.Name, "taints", len(taints))
		return 0, c.evict(ctx, key, pod)
	case limit < 0:
		c.pardon(ctx, key, pod)
		return 0, nil
	}
	left := time.Until(c.doom(key, pod, taints).Add(limit))
	if left > 0 {
		loop.Say(ctx, "ToleratedFor", "node", node.Name, "left", left.String())
		return left, nil
	}
	return 0, c.evict(ctx, key, pod)
}

// tolerance says whether a pod tolerates all taints, and for how long; below zero means for ever.
func tolerance(pod *corev1.Pod, taints []corev1.Taint) (tolerated bool, limit time.Duration) {
	limit = -1
	for i := range taints {
		found := false
		for j := range pod.Spec.Tolerations {
			toleration := &pod.Spec.Tolerations[j]
			if !toleration.ToleratesTaint(klog.Background(), &taints[i], true) {
				continue
			}
			found = true
			if toleration.TolerationSeconds == nil {
				break // the first that tolerates counts, as in Kubernetes
			}
			seconds := time.Duration(max(*toleration.TolerationSeconds, 0)) * time.Second
			if limit < 0 || seconds < limit {
				limit = seconds
			}
			break
		}
		if !found {
			return false, 0
		}
	}
	return true, limit
}

// doom returns since when a pod's time runs: since the first of the taints was put there, or else since we know.
func (c *Controller) doom(key string, pod *corev1.Pod, taints []corev1.Taint) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.doomed[key]; ok && known.uid == pod.UID {
		return known.since
	}
	since := time.Now()
	for _, taint := range taints {
		if taint.TimeAdded != nil && taint.TimeAdded.Time.Before(since) {
			since = taint.TimeAdded.Time
		}
	}
	// A pod that came later (it tolerates the taint) has its time from then on.
	if started := pod.Status.StartTime; started != nil && started.After(since) {
		since = started.Time
	}
	c.doomed[key] = doom{uid: pod.UID, since: since}
	return since
}

func (c *Controller) waits(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.doomed[key]
	return ok
}

func (c *Controller) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.doomed, key)
}

// pardon ends a pod's wait for eviction.
func (c *Controller) pardon(ctx context.Context, key string, pod *corev1.Pod) {
	if !c.waits(key) {
		return
	}
	c.forget(key)
	loop.Say(ctx, "EvictionCancelled")
	c.Events.Event(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s", key)
}

func (c *Controller) evict(ctx context.Context, key string, pod *corev1.Pod) error {
	loop.Say(ctx, "Evict")
	c.Events.Event(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s", key)
	err := c.MarkDisrupted(ctx, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", "")
	if err == nil {
		err = client.Of[*corev1.Pod](c.Client).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	c.forget(key)
	return nil
}
