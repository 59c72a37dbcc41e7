package replicaset_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/replicaset"
	"kubette/controllers/replicationcontroller"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{replicaset.New(base), replicationcontroller.New(base)}
	})
}

func create(c *controllertest.Cluster, replicas int32) {
	c.T.Helper()
	controllertest.Create(c, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To(replicas), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: controllertest.Template("web", "nginx")},
	})
	c.Settle()
}

func get(c *controllertest.Cluster) *appsv1.ReplicaSet {
	return controllertest.Get[*appsv1.ReplicaSet](c, "default", "web")
}

func scale(c *controllertest.Cluster, replicas int32) {
	c.T.Helper()
	controllertest.Change(c, "default", "web", func(set *appsv1.ReplicaSet) { set.Spec.Replicas = ptr.To(replicas) })
	c.Settle()
}

func pods(c *controllertest.Cluster) []*corev1.Pod {
	return slices.DeleteFunc(controllertest.List[*corev1.Pod](c, "default"), func(pod *corev1.Pod) bool { return !controllers.IsActive(pod) })
}

func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 3)
		c.ReadyAll("default")
		want := appsv1.ReplicaSetStatus{Replicas: 3, FullyLabeledReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, TerminatingReplicas: ptr.To(int32(0)), ObservedGeneration: 1}
		if diff := cmp.Diff(want, get(c).Status); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		for _, pod := range pods(c) {
			if !strings.HasPrefix(pod.Name, "web-") || len(pod.Name) != len("web-xxxxx") || !metav1.IsControlledBy(pod, get(c)) {
				t.Errorf("pod %s with owners %v", pod.Name, pod.OwnerReferences)
			}
		}
		scale(c, 1)
		if got := get(c).Status; got.Replicas != 1 || *got.TerminatingReplicas != 2 {
			t.Errorf("status while two pods end is %+v", got)
		}
		c.ReadyAll("default")
		scale(c, 600) // more than are made at once
		if n := len(pods(c)); n != 600 {
			t.Errorf("%d pods, wanted 600", n)
		}
		kinds := map[string]int{}
		for _, event := range c.Events("ReplicaSet", "web") {
			kinds[strings.SplitN(event, ":", 2)[0]]++
		}
		if kinds["SuccessfulCreate"] == 0 || kinds["SuccessfulDelete"] == 0 {
			t.Errorf("events are %v", kinds)
		}
	})
}

func TestLostAndFailedPodsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 2)
		c.ReadyAll("default")
		lost, failed := pods(c)[0], pods(c)[1]
		controllertest.Delete[*corev1.Pod](c, "default", lost.Name)
		c.Phase(failed, corev1.PodFailed)
		c.Settle()
		for _, pod := range pods(c) {
			if pod.Name == lost.Name || pod.Name == failed.Name {
				t.Errorf("%s still counts", pod.Name)
			}
		}
		if n := len(pods(c)); n != 2 {
			t.Errorf("%d pods", n)
		}
	})
}

func TestAdoptAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		template := controllertest.Template("web", "nginx")
		orphan := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "orphan", Namespace: "default", Labels: template.Labels}, Spec: template.Spec})
		c.Settle()
		create(c, 2)
		if !metav1.IsControlledBy(controllertest.Get[*corev1.Pod](c, "default", orphan.Name), get(c)) {
			t.Error("the orphan was not adopted")
		}
		if n := len(pods(c)); n != 2 {
			t.Errorf("%d pods", n)
		}
		controllertest.Change(c, "default", "orphan", func(pod *corev1.Pod) { pod.Labels = map[string]string{"app": "debug"} })
		c.Settle()
		if owners := controllertest.Get[*corev1.Pod](c, "default", "orphan").OwnerReferences; len(owners) != 0 {
			t.Errorf("a relabelled pod is not let go: %v", owners)
		}
		if n := len(pods(c)); n != 3 {
			t.Errorf("%d pods, wanted the relabelled one and two more", n)
		}
		// Labelled back, it is one too many.
		controllertest.Change(c, "default", "orphan", func(pod *corev1.Pod) { pod.Labels = map[string]string{"app": "web"} })
		c.Settle()
		if n := len(pods(c)); n != 2 {
			t.Errorf("%d pods", n)
		}
	})
}

func TestDeletionOrder(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(c *controllertest.Cluster, first, second *corev1.Pod)
	}{
		{"pod-deletion-cost", func(c *controllertest.Cluster, first, _ *corev1.Pod) {
			controllertest.Change(c, "default", first.Name, func(pod *corev1.Pod) {
				pod.Annotations = map[string]string{"controller.kubernetes.io/pod-deletion-cost": "-1"}
			})
		}},
		{"not ready", func(c *controllertest.Cluster, first, _ *corev1.Pod) { c.Unready(first) }},
		{"restarts", func(c *controllertest.Cluster, first, _ *corev1.Pod) {
			controllertest.ChangeStatus(c, "default", first.Name, func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", RestartCount: 3}}
			})
		}},
		{"ready for a shorter time", func(c *controllertest.Cluster, first, _ *corev1.Pod) {
			c.Unready(first)
			c.Pass(time.Hour)
			c.Ready(first, 9)
			c.Pass(time.Minute)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				create(c, 2)
				for i, pod := range pods(c) {
					c.Bind(pod, "worker-1")
					c.Ready(pod, i)
				}
				c.Settle()
				first, second := pods(c)[0], pods(c)[1]
				test.before(c, first, second)
				c.Settle()
				scale(c, 1)
				if left := pods(c); len(left) != 1 || left[0].Name != second.Name {
					t.Errorf("%s is left, wanted %s", left[0].Name, second.Name)
				}
			})
		})
	}
}

func TestFailureToCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		attempts := 0
		c.Faults.Set(func(verb, resource, _ string) error {
			if verb == "create" && resource == "pods" {
				attempts++
				return errors.New("exceeded quota: small")
			}
			return nil
		})
		create(c, 100)
		if attempts > 3 { // the first, and one more for the set's own change of status
			t.Errorf("%d attempts at once: the slow start should try one by one", attempts)
		}
		conditions := get(c).Status.Conditions
		if len(conditions) != 1 || conditions[0].Type != appsv1.ReplicaSetReplicaFailure || conditions[0].Reason != "FailedCreate" || conditions[0].Message != "exceeded quota: small" {
			t.Errorf("conditions are %+v", conditions)
		}
		if got := c.Events("ReplicaSet", "web"); len(got) == 0 || got[0] != "FailedCreate: Error creating: exceeded quota: small" {
			t.Errorf("events are %v", got)
		}
		c.Faults.Set(nil)
		c.Pass(30 * time.Minute)
		if n := len(pods(c)); n != 100 {
			t.Errorf("%d pods after recovery", n)
		}
		if conditions := get(c).Status.Conditions; len(conditions) != 0 {
			t.Errorf("conditions after recovery are %+v", conditions)
		}
	})
}

func TestConflictingStatusWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		failures := 3
		c.Faults.Set(func(verb, resource, name string) error {
			if verb == "update/status" && failures > 0 {
				failures--
				return fmt.Errorf("etcdserver: request timed out")
			}
			return nil
		})
		create(c, 2)
		c.Pass(time.Second)
		c.ReadyAll("default")
		if got := get(c).Status.ReadyReplicas; got != 2 {
			t.Errorf("%d ready", got)
		}
		if n := len(pods(c)); n != 2 {
			t.Errorf("%d pods: failed status writes must not make more", n)
		}
	})
}

func TestDeletedSetMakesNoPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 1)
		controllertest.Delete[*appsv1.ReplicaSet](c, "default", "web", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)})
		c.Settle()
		controllertest.Delete[*corev1.Pod](c, "default", pods(c)[0].Name)
		c.Pass(time.Minute)
		if n := len(pods(c)); n != 0 {
			t.Errorf("%d pods were made for a set on its way out", n)
		}
	})
}

func TestReplicationController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		template := controllertest.Template("old", "nginx")
		controllertest.Create(c, &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "default"},
			Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To(int32(2)), Selector: map[string]string{"app": "old"}, Template: &template}})
		c.ReadyAll("default")
		want := corev1.ReplicationControllerStatus{Replicas: 2, FullyLabeledReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, ObservedGeneration: 1}
		if diff := cmp.Diff(want, controllertest.Get[*corev1.ReplicationController](c, "default", "old").Status); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if owner := pods(c)[0].OwnerReferences[0]; owner.Kind != "ReplicationController" || owner.APIVersion != "v1" {
			t.Errorf("owner is %+v", owner)
		}
	})
}
