package disruption_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/disruption"
	"kubette/controllers/replicaset"
)

func TestBudget(t *testing.T) {
	number, percent := intstr.FromInt32, intstr.FromString
	for _, test := range []struct {
		name                            string
		spec                            policyv1.PodDisruptionBudgetSpec
		ready                           int
		healthy, desired, expected, may int32
	}{
		{"minAvailable", policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(number(3))}, 4, 4, 3, 4, 1},
		{"minAvailable in percent rounds up", policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(percent("60%"))}, 4, 4, 3, 4, 1},
		{"maxUnavailable", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(number(1))}, 4, 4, 3, 4, 1},
		{"one pod is sick already", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(number(1))}, 3, 3, 3, 4, 0},
		{"maxUnavailable in percent rounds up", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(percent("30%"))}, 4, 4, 2, 4, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
					return []controllers.Controller{replicaset.New(base), disruption.New(base)}
				})
				controllertest.Create(c, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.ReplicaSetSpec{
					Replicas: ptr.To(int32(4)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: controllertest.Template("web", "nginx")}})
				test.spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
				controllertest.Create(c, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: test.spec})
				c.Settle()
				for i, pod := range controllertest.List[*corev1.Pod](c, "default")[:test.ready] {
					c.Bind(pod, "worker-1")
					c.Ready(pod, i)
				}
				c.Settle()
				status := controllertest.Get[*policyv1.PodDisruptionBudget](c, "default", "web").Status
				want := map[string]int32{"healthy": test.healthy, "desired": test.desired, "expected": test.expected, "may": test.may}
				got := map[string]int32{"healthy": status.CurrentHealthy, "desired": status.DesiredHealthy, "expected": status.ExpectedPods, "may": status.DisruptionsAllowed}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("status (-want +got):\n%s", diff)
				}
				if condition := status.Conditions[0]; (condition.Reason == "SufficientPods") != (test.may > 0) {
					t.Errorf("condition is %+v", condition)
				}
			})
		})
	}
}

// The pods of a DaemonSet have no number to compare with. It is said when something changes, not again and again.
func TestOwnerWithoutScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{disruption.New(base)}
		})
		template := controllertest.Template("log", "log:1")
		controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "log", Namespace: "default", Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "log", UID: "1", Controller: ptr.To(true)}}}, Spec: template.Spec})
		c.Settle()
		controllertest.Create(c, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "log", Namespace: "default"}, Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}}})
		c.Pass(time.Minute)
		said := func() (times int32) {
			for _, event := range controllertest.List[*corev1.Event](c, "default") {
				times += event.Count
			}
			return times
		}
		before := said()
		c.Pass(30 * time.Minute) // events are kept for an hour
		const message = "daemonsets.apps does not implement the scale subresource"
		condition := controllertest.Get[*policyv1.PodDisruptionBudget](c, "default", "log").Status.Conditions[0]
		if condition.Reason != "SyncFailed" || condition.Message != message {
			t.Errorf("condition is %+v", condition)
		}
		if got, want := c.Events("PodDisruptionBudget", "log"), []string{"CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: " + message}; !cmp.Equal(got, want) {
			t.Errorf("events are %v", got)
		}
		if after := said(); after != before {
			t.Errorf("it is said %d times, then %d times", before, after)
		}
	})
}
