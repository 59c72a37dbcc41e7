// Package resourcequota keeps the status of ResourceQuotas: how much of each limit is used.
//
// The limits are kept by the API server's admission, which adds what a new object uses to the status before it lets it in.
// This controller counts anew when something was deleted or made smaller, a pod has finished, or the limits changed, so that
// what is freed can be used again; and half a second after admission has added something, for that may not have been stored
// after all. In Kubernetes it counts everything every five minutes, and not after admission; here too, as a safety net, and
// for kinds whose deletions no controller watches, which Kubernetes watches for the quotas' sake.
package resourcequota

import (
	"context"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// Name is the controller's, in traces.
	Name = "resourcequota-controller"

	workers = 5               // Kubernetes' default
	resync  = 5 * time.Minute // --resource-quota-sync-period
	// checkDelay is how long after a change of a status it is checked.
	checkDelay = 500 * time.Millisecond
	// freedDelay is how long after a deletion it is counted.
	freedDelay = 10 * time.Millisecond
)

// Usage counts what the objects of a quota's namespace use of its limits.
type Usage func(quota *corev1.ResourceQuota) corev1.ResourceList

// Controller keeps the status of all quotas.
type Controller struct {
	controllers.Base
	usage  Usage
	quotas client.Informer[*corev1.ResourceQuota]
	loop   *loop.Loop[string]
}

// New makes the controller. usage is the same count that admission makes.
func New(base controllers.Base, usage Usage) *Controller {
	c := &Controller{Base: base, usage: usage, quotas: client.InformerFor[*corev1.ResourceQuota](base.Informers)}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: workers, Machine: base.Machine})
	c.quotas.Handle(client.Handler[*corev1.ResourceQuota]{
		Add: func(q *corev1.ResourceQuota) {
			c.loop.Add(controllers.Key(q), controllers.Cause("resourcequotas", q, "added"))
		},
		Update: func(old, q *corev1.ResourceQuota) {
			if !equality.Semantic.DeepEqual(old.Spec, q.Spec) || !equality.Semantic.DeepEqual(q.Spec.Hard, q.Status.Hard) {
				c.loop.Add(controllers.Key(q), controllers.Cause("resourcequotas", q, "changed"))
			} else if !equality.Semantic.DeepEqual(old.Status.Used, q.Status.Used) {
				c.loop.AddAfter(controllers.Key(q), checkDelay, controllers.Cause("resourcequotas", q, "charged"))
			}
		},
	})
	client.InformerFor[*corev1.Pod](base.Informers).Handle(client.Handler[*corev1.Pod]{
		Update: func(old, pod *corev1.Pod) {
			if controllers.IsFinished(pod) && !controllers.IsFinished(old) {
				c.freed("pods", pod, "finished")
			}
		},
		Delete: func(pod *corev1.Pod) { c.freed("pods", pod, "deleted") },
	})
	client.InformerFor[*corev1.Service](base.Informers).Handle(client.Handler[*corev1.Service]{
		Update: func(old, service *corev1.Service) {
			if old.Spec.Type != service.Spec.Type || len(old.Spec.Ports) != len(service.Spec.Ports) {
				c.freed("services", service, "changed")
			}
		},
	})
	watchDeletions[*corev1.Service](c)
	watchDeletions[*corev1.PersistentVolumeClaim](c)
	watchDeletions[*corev1.ConfigMap](c)
	watchDeletions[*corev1.ReplicationController](c)
	watchDeletions[*corev1.Secret](c)
	watchDeletions[*corev1.ResourceQuota](c)
	// What a quota counts as count/deployments.apps and the like.
	watchDeletions[*corev1.ServiceAccount](c)
	watchDeletions[*appsv1.Deployment](c)
	watchDeletions[*appsv1.ReplicaSet](c)
	watchDeletions[*appsv1.StatefulSet](c)
	watchDeletions[*appsv1.DaemonSet](c)
	watchDeletions[*batchv1.Job](c)
	watchDeletions[*batchv1.CronJob](c)
	watchDeletions[*policyv1.PodDisruptionBudget](c)
	watchDeletions[*autoscalingv2.HorizontalPodAutoscaler](c)
	return c
}

// watchDeletions counts anew when an object of a kind is gone.
func watchDeletions[T client.Object](c *Controller) {
	resource := client.ResourceOf[T]().Resource
	client.InformerFor[T](c.Informers).Handle(client.Handler[T]{Delete: func(object T) { c.freed(resource, object, "deleted") }})
}

func (c *Controller) freed(resource string, object client.Object, what string) {
	for _, quota := range c.quotas.List(object.GetNamespace(), nil) {
		// Many may go at once: one count serves them all, and takes longer the more there are.
		delay := freedDelay + controllers.BatchDelay(objectsOf(quota))
		c.loop.AddAfter(controllers.Key(quota), delay, controllers.Cause(resource, object, what))
	}
}

// objectsOf is how many objects a quota counts, as far as its status says.
func objectsOf(quota *corev1.ResourceQuota) (objects int) {
	for name, used := range quota.Status.Used {
		if name == corev1.ResourcePods || strings.HasPrefix(string(name), "count/") {
			objects += int(used.Value())
		}
	}
	return objects
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile counts a quota's use into its status.
func (c *Controller) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	if _, ok := c.quotas.Get(namespace, name); !ok {
		return 0, nil
	}
	// From the API itself: admission may just have written. The controller's role lets it list quotas, and not get one.
	quotas, err := client.Of[*corev1.ResourceQuota](c.Client).List(ctx, namespace, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil || len(quotas) == 0 {
		return 0, err
	}
	quota := quotas[0]
	changed := quota.DeepCopy()
	changed.Status.Hard = quota.Spec.Hard.DeepCopy()
	changed.Status.Used = c.usage(quota)
	if equality.Semantic.DeepEqual(quota.Status, changed.Status) {
		return resync, nil
	}
	loop.Say(ctx, "Used", "limits", len(changed.Status.Used))
	_, err = client.Of[*corev1.ResourceQuota](c.Client).UpdateStatus(ctx, changed)
	return resync, err // a conflict with admission is tried again
}
