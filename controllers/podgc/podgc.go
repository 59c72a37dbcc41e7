package podgc

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "pod-garbage-collector-controller"

	// quarantine is how long a node must be missing before its pods are given up: it may be registered anew.
	quarantine = 40 * time.Second
	// period is how often finished pods are counted when there may be too many.
	period = 20 * time.Second
	// defaultThreshold is kube-controller-manager's --terminated-pod-gc-threshold.
	defaultThreshold = 12500
)

// Controller collects pods.
type Controller struct {
	controllers.Base
	threshold int
	nodes     client.Informer[*corev1.Node]
	pods      client.Informer[*corev1.Pod]
	finished  atomic.Int64
	loop      *loop.Loop[task]
}

// task is what there is to do: for the pods of one node, for one pod, or for all that have finished.
type task struct{ node, namespace, pod string }

// New makes the controller; threshold is how many finished pods may stay, 0 for Kubernetes' default of 12500.
func New(base controllers.Base, threshold int) *Controller {
	if threshold == 0 {
		threshold = defaultThreshold
	}
	c := &Controller{
		Base: base, threshold: threshold,
		nodes: client.InformerFor[*corev1.Node](base.Informers),
		pods:  client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	controllers.IndexByNode(c.pods)
	c.nodes.Handle(client.Handler[*corev1.Node]{
		Update: func(old, node *corev1.Node) {
			if outOfService(node) && !(outOfService(old) && ready(old) == ready(node)) {
				c.loop.Add(task{node: node.Name}, controllers.Cause("nodes", node, "is out of service"))
			}
		},
		Delete: func(node *corev1.Node) {
			c.loop.AddAfter(task{node: node.Name}, quarantine, controllers.Cause("nodes", node, "deleted"))
		},
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { c.seen(nil, pod) }, Update: c.seen, Delete: func(pod *corev1.Pod) {
			if controllers.IsFinished(pod) {
				c.finished.Add(-1)
			}
		},
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) seen(old, pod *corev1.Pod) {
	switch {
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp != nil:
		c.loop.Add(task{namespace: pod.Namespace, pod: pod.Name}, controllers.Cause("pods", pod, "deleted before it had a node"))
	case pod.Spec.NodeName != "" && (old == nil || old.Spec.NodeName == ""):
		if _, ok := c.nodes.Get("", pod.Spec.NodeName); !ok {
			c.loop.AddAfter(task{node: pod.Spec.NodeName}, quarantine, controllers.Cause("pods", pod, "is on an unknown node"))
		}
	case pod.DeletionTimestamp != nil && old != nil && old.DeletionTimestamp == nil:
		if node, ok := c.nodes.Get("", pod.Spec.NodeName); ok && outOfService(node) {
			c.loop.Add(task{node: node.Name}, controllers.Cause("pods", pod, "deleted"))
		}
	}
	if controllers.IsFinished(pod) && (old == nil || !controllers.IsFinished(old)) {
		if c.finished.Add(1) > int64(c.threshold) {
			c.loop.AddAfter(task{}, period, controllers.Cause("pods", pod, "finished"))
		}
	}
}

// Reconcile removes the pods that a task is about, if they are still to be removed.
func (c *Controller) Reconcile(ctx context.Context, t task) (time.Duration, error) {
	switch {
	case t.node != "":
		return 0, c.nodePods(ctx, t.node)
	case t.pod != "":
		pod, ok := c.pods.Get(t.namespace, t.pod)
		if !ok || pod.Spec.NodeName != "" || pod.DeletionTimestamp == nil {
			return 0, nil
		}
		loop.Say(ctx, "UnscheduledTerminating", "name", pod.Name)
		return 0, c.failAndRemove(ctx, pod)
	}
	return 0, c.oldest(ctx)
}

func (c *Controller) nodePods(ctx context.Context, name string) error {
	_, err := client.Of[*corev1.Node](c.Client).Get(ctx, "", name) // the API itself: the cache may be late
	switch {
	case err == nil:
		return c.outOfServicePods(ctx, name)
	case !apierrors.IsNotFound(err):
		return err
	}
	pods := controllers.OnNode(c.pods, name)
	loop.Say(ctx, "NodeGone", "node", name, "pods", len(pods))
	return controllers.Parallel(len(pods), func(i int) error {
		// A pod that has finished was not disrupted: it only goes.
		if !controllers.IsFinished(pods[i]) {
			err := c.MarkDisrupted(ctx, pods[i], "DeletionByPodGC", "PodGC: node no longer exists", corev1.PodFailed)
			if err != nil {
				return controllers.IgnoreNotFound(err)
			}
		}
		return c.remove(ctx, pods[i])
	})
}

func (c *Controller) outOfServicePods(ctx context.Context, name string) error {
	node, ok := c.nodes.Get("", name)
	if !ok || !outOfService(node) || ready(node) {
		return nil
	}
	for _, pod := range controllers.OnNode(c.pods, name) {
		if pod.DeletionTimestamp == nil {
			continue
		}
		loop.Say(ctx, "OutOfService", "node", name, "name", pod.Name)
		if err := c.failAndRemove(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// oldest removes the finished pods that are too many, evicted ones first, then the oldest.
func (c *Controller) oldest(ctx context.Context) error {
	finished := slices.DeleteFunc(c.pods.List("", nil), func(pod *corev1.Pod) bool { return !controllers.IsFinished(pod) })
	over := len(finished) - c.threshold
	if over <= 0 {
		return nil
	}
	loop.Say(ctx, "TooManyFinished", "pods", len(finished), "remove", over)
	slices.SortFunc(finished, func(a, b *corev1.Pod) int {
		if evicted(a) != evicted(b) {
			if evicted(a) {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return controllers.Parallel(over, func(i int) error { return c.remove(ctx, finished[i]) })
}

// failAndRemove removes a pod; one that had not finished has failed.
func (c *Controller) failAndRemove(ctx context.Context, pod *corev1.Pod) error {
	if !controllers.IsFinished(pod) {
		err := c.PatchPodStatus(ctx, pod, map[string]any{"phase": corev1.PodFailed, "observedGeneration": pod.Generation})
		if err != nil {
			return controllers.IgnoreNotFound(err)
		}
	}
	return c.remove(ctx, pod)
}

func (c *Controller) remove(ctx context.Context, pod *corev1.Pod) error {
	err := client.Of[*corev1.Pod](c.Client).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To(int64(0)), Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	return controllers.IgnoreNotFound(err)
}

func evicted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted"
}

func outOfService(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool { return taint.Key == corev1.TaintNodeOutOfService })
}

func ready(node *corev1.Node) bool {
	condition := controllers.NodeCondition(node, corev1.NodeReady)
	return condition != nil && condition.Status == corev1.ConditionTrue
}
