package kubelet_test

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
)

// overtaken is a kubelet's client. Somebody else writes just before it reports that a pod is ready, which is the last that
// it has to do by itself. Its watches are slow, so that it knows its own writes before they show what others wrote.
type overtaken struct {
	client.Interface
	by func() // once
}

func (o *overtaken) Update(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, options metav1.UpdateOptions, subresource ...string) (runtime.Object, error) {
	if pod, ok := object.(*corev1.Pod); ok && o.by != nil && controllers.IsReady(pod) {
		by := o.by
		o.by = nil
		by()
	}
	return o.Interface.Update(ctx, resource, namespace, name, object, options, subresource...)
}

func (o *overtaken) Watch(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (watch.Interface, error) {
	events, err := o.Interface.Watch(ctx, resource, namespace, options)
	if err != nil {
		return nil, err
	}
	return watch.Filter(events, func(event watch.Event) (watch.Event, bool) {
		time.Sleep(time.Millisecond)
		return event, true
	}), nil
}

// What others write between the kubelet's look at a pod and its report is neither lost nor left undone.
func TestAReportThatIsOvertaken(t *testing.T) {
	target := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler"}
	for name, test := range map[string]struct {
		by   func(b *bubble)
		ends bool
	}{
		"by a deletion": {ends: true, by: func(b *bubble) {
			_ = client.Of[*corev1.Pod](b.user).Delete(b.ctx, "default", "it", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(5))})
		}},
		"by a condition": {by: func(b *bubble) { b.mark("it", target) }},
		"by a condition and a deletion": {ends: true, by: func(b *bubble) {
			b.mark("it", target)
			_ = client.Of[*corev1.Pod](b.user).Delete(b.ctx, "default", "it", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(5))})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			kubelets := &overtaken{}
			inBubble(t, func(c *kubelet.Config, _ *sim.Config) { kubelets.Interface, c.Client = c.Client, kubelets }, func(b *bubble) {
				kubelets.by = func() { test.by(b) }
				b.pod("it", `{containers: [{name: app, image: busybox, readinessProbe: {initialDelaySeconds: 2, exec: {command: [exit, "0"]}}}]}`)
				b.pass(5 * time.Second) // it does not wait for the next look at all containers
				if kubelets.by != nil {
					t.Fatal("nothing was reported")
				}
				if test.ends {
					if !b.gone("it") {
						t.Errorf("the pod is still there: %s", b.summary("it"))
					}
					return
				}
				b.want("it", "Running | app:Running ready")
				if !slices.Contains(b.get("it").Status.Conditions, target) {
					t.Errorf("the conditions are %v", b.get("it").Status.Conditions)
				}
			})
		})
	}
}

// mark adds a condition to a pod, as others than its kubelet do.
func (b *bubble) mark(name string, condition corev1.PodCondition) {
	b.t.Helper()
	changed := b.get(name).DeepCopy()
	changed.Status.Conditions = append(changed.Status.Conditions, condition)
	if _, err := client.Of[*corev1.Pod](b.user).UpdateStatus(b.ctx, changed); err != nil {
		b.t.Fatalf("add a condition to pod %s: %v", name, err)
	}
}
