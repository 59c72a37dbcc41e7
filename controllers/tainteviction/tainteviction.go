package tainteviction

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

// doom is a pod that waits for its eviction, or one whose eviction is under way.
type doom struct {
	uid types.UID
	at  time.Time
	now bool // it is being evicted: there is nothing to cancel any more
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
			if old.Spec.NodeName != pod.Spec.NodeName ||
				!equality.Semantic.DeepEqual(old.Spec.Tolerations, pod.Spec.Tolerations) {
				c.podChanged(pod, "changed")
			}
		},
		Delete: func(pod *corev1.Pod) { c.podChanged(pod, "deleted") },
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
	node, ok := c.nodes.Get("", pod.Spec.NodeName)
	if tainted := ok && len(evicting(node)) > 0; !tainted && !c.waits(controllers.Key(pod)) {
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

// Reconcile evicts a pod whose node's taints it does not tolerate, or not any longer. As in Kubernetes it makes no
// difference whether the pod has finished, or is on its way out.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	pod, ok := c.pods.Get(namespace, name)
	if !ok || c.knowsAnother(key, pod.UID) {
		c.pardon(ctx, key)
	}
	if !ok {
		return 0, nil
	}
	if left, waits := c.left(key); waits && left <= 0 {
		return 0, c.evict(ctx, key, pod)
	}
	node, ok := c.nodes.Get("", pod.Spec.NodeName)
	if !ok {
		left, _ := c.left(key)
		return left, nil // who waits goes on waiting, unless the pod garbage collector is quicker
	}
	taints := evicting(node)
	if len(taints) == 0 {
		c.pardon(ctx, key)
		return 0, nil
	}
	tolerated, limit := tolerance(pod, taints)
	switch {
	case !tolerated:
		loop.Say(ctx, "NotTolerated", "node", node.Name, "taints", len(taints))
		c.pardon(ctx, key)
		return 0, c.evict(ctx, key, pod)
	case limit < 0:
		c.pardon(ctx, key)
		return 0, nil
	}
	left := c.doom(key, pod, limit)
	if left <= 0 {
		return 0, c.evict(ctx, key, pod)
	}
	loop.Say(ctx, "ToleratedFor", "node", node.Name, "left", left.String())
	return left, nil
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

// doom sets when a pod is to be evicted, if that is not set yet, and returns how long until then. The time runs since we
// know of the taint, whatever it says of itself; other taints or tolerations that come later change nothing.
func (c *Controller) doom(key string, pod *corev1.Pod, limit time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.doomed[key]
	if !ok {
		known = doom{uid: pod.UID, at: time.Now().Add(limit)}
		c.doomed[key] = known
	}
	return time.Until(known.at)
}

// left says whether a pod waits for its eviction, and for how long still.
func (c *Controller) left(key string) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.doomed[key]
	return time.Until(known.at), ok
}

func (c *Controller) waits(key string) bool {
	_, ok := c.left(key)
	return ok
}

// knowsAnother says whether the pod that waits is not this one but an earlier one of its name.
func (c *Controller) knowsAnother(key string, uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.doomed[key]
	return ok && known.uid != uid
}

// pardon ends a pod's wait for eviction. It says so, also when the pod is gone.
func (c *Controller) pardon(ctx context.Context, key string) {
	c.mu.Lock()
	known, ok := c.doomed[key]
	delete(c.doomed, key)
	c.mu.Unlock()
	if !ok || known.now {
		return
	}
	loop.Say(ctx, "EvictionCancelled")
	c.say(key, "Cancelling deletion of Pod %s")
}

// say writes an event. It knows the pod by its name only, as Kubernetes' does: `kubectl describe pod` does not find it.
func (c *Controller) say(key, format string) {
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	about := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name}
	c.Events.EventRef(about, corev1.EventTypeNormal, "TaintManagerEviction", format, key)
}

// evict deletes a pod. Until that has succeeded it is tried again, but said only once.
func (c *Controller) evict(ctx context.Context, key string, pod *corev1.Pod) error {
	loop.Say(ctx, "Evict")
	if c.begin(key, pod) {
		c.say(key, "Marking for deletion Pod %s")
	}
	err := c.MarkDisrupted(ctx, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", "")
	if err == nil {
		err = client.Of[*corev1.Pod](c.Client).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.doomed, key)
	return nil
}

// begin notes that a pod's eviction is under way, and says whether that is new.
func (c *Controller) begin(key string, pod *corev1.Pod) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := c.doomed[key].now
	c.doomed[key] = doom{uid: pod.UID, at: time.Now(), now: true}
	return !begun
}
