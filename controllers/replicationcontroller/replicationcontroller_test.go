package replicationcontroller_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/replicationcontroller"
)

func start(t *testing.T, replicas int32) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{replicationcontroller.New(base)}
	})
	template := controllertest.Template("web", "nginx")
	controllertest.Create(c, &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, Selector: map[string]string{"app": "web"}, Template: &template}})
	c.Settle()
	return c
}

func want(c *controllertest.Cluster, replicas, ready int32) {
	c.T.Helper()
	rc := controllertest.Get[*corev1.ReplicationController](c, "default", "web")
	s := rc.Status
	if s.Replicas != replicas || s.FullyLabeledReplicas != replicas || s.ReadyReplicas != ready || s.AvailableReplicas != ready || s.ObservedGeneration != rc.Generation {
		c.T.Errorf("status %+v of generation %d, want %d replicas, %d ready", s, rc.Generation, replicas, ready)
	}
	if pods := controllertest.List[*corev1.Pod](c, "default"); len(pods) != int(replicas) {
		c.T.Errorf("%d pods, want %d", len(pods), replicas)
	}
}

func scale(c *controllertest.Cluster, replicas int32) {
	controllertest.Change(c, "default", "web", func(rc *corev1.ReplicationController) { rc.Spec.Replicas = ptr.To(replicas) })
	c.ReadyAll("default")
}

func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		want(c, 3, 0)
		c.ReadyAll("default")
		want(c, 3, 3)
		scale(c, 5)
		want(c, 5, 5)
		scale(c, 1)
		want(c, 1, 1)
		pod := controllertest.List[*corev1.Pod](c, "default")[0]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.APIVersion != "v1" || owner.Kind != "ReplicationController" || owner.Name != "web" {
			t.Errorf("the owner is %+v", owner)
		}
		scale(c, 0)
		want(c, 0, 0)
	})
}

func TestAPodThatFailsOrGoesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		c.ReadyAll("default")
		pods := controllertest.List[*corev1.Pod](c, "default")
		controllertest.Delete[*corev1.Pod](c, "default", pods[0].Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
		c.Phase(pods[1], corev1.PodFailed)
		c.ReadyAll("default")
		left := slices.DeleteFunc(controllertest.List[*corev1.Pod](c, "default"), controllers.IsFinished)
		if len(left) != 2 || slices.ContainsFunc(left, func(p *corev1.Pod) bool { return p.Name == pods[0].Name || p.Name == pods[1].Name }) {
			t.Errorf("%d pods run", len(left))
		}
	})
}

// While writes are refused no pod is lost or made twice, and a status that somebody else overtook is written in the end.
func TestConflictsAndRefusedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		var count atomic.Int32 // pods are made at once
		c.Faults.Set(func(verb, resource, name string) error {
			if count.Add(1)%3 == 0 {
				return nil
			}
			if verb == "update/status" {
				return apierrors.NewConflict(schema.GroupResource{Resource: resource}, name, nil)
			}
			return apierrors.NewInternalError(errLost)
		})
		scale(c, 6)
		for range 20 {
			c.Pass(30 * time.Second)
			c.ReadyAll("default")
		}
		c.Faults.Set(nil)
		c.Pass(20 * time.Minute)
		c.ReadyAll("default")
		want(c, 6, 6)
	})
}

type text string

func (e text) Error() string { return string(e) }

const errLost = text("lost")

func TestReplicaFailureIsSaidAndTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		c.Faults.Set(func(verb, resource, name string) error {
			if verb == "create" && resource == "pods" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", errLost)
			}
			return nil
		})
		scale(c, 2)
		rc := controllertest.Get[*corev1.ReplicationController](c, "default", "web")
		if len(rc.Status.Conditions) != 1 || rc.Status.Conditions[0].Type != corev1.ReplicationControllerReplicaFailure || rc.Status.Conditions[0].Reason != "FailedCreate" {
			t.Errorf("conditions %+v", rc.Status.Conditions)
		}
		c.Faults.Set(nil)
		c.Pass(20 * time.Minute)
		if rc := controllertest.Get[*corev1.ReplicationController](c, "default", "web"); len(rc.Status.Conditions) != 0 {
			t.Errorf("conditions %+v", rc.Status.Conditions)
		}
		want(c, 2, 1)
	})
}
