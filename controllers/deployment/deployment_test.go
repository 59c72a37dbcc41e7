package deployment_test

import (
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
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/deployment"
	"kubette/controllers/replicaset"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{replicaset.New(base), deployment.New(base)}
	})
}

func web(replicas int32, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: controllertest.Template("web", "nginx:1"),
		},
	}
	for _, f := range change {
		f(d)
	}
	return d
}

func budgets(surge, unavailable intstr.IntOrString) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable}}
	}
}

func image(name string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = name }
}

func get(c *controllertest.Cluster) *appsv1.Deployment {
	return controllertest.Get[*appsv1.Deployment](c, "default", "web")
}

func change(c *controllertest.Cluster, f func(*appsv1.Deployment)) {
	c.T.Helper()
	controllertest.Change(c, "default", "web", f)
	c.Settle()
}

// sizes are the replicas of each image's ReplicaSet.
func sizes(c *controllertest.Cluster) map[string]int32 {
	found := map[string]int32{}
	for _, set := range controllertest.List[*appsv1.ReplicaSet](c, "default") {
		found[set.Spec.Template.Spec.Containers[0].Image] = *set.Spec.Replicas
	}
	return found
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) string {
	for _, c := range d.Status.Conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s %s", c.Status, c.Reason)
		}
	}
	return ""
}

func TestRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(3))
		c.Settle()
		d := get(c)
		if got := condition(d, appsv1.DeploymentProgressing); got != "True ReplicaSetUpdated" {
			t.Errorf("progressing is %q before any pod is ready", got)
		}
		if got := condition(d, appsv1.DeploymentAvailable); got != "False MinimumReplicasUnavailable" {
			t.Errorf("available is %q before any pod is ready", got)
		}
		c.ReadyAll("default")
		d = get(c)
		if got := condition(d, appsv1.DeploymentProgressing); got != "True NewReplicaSetAvailable" {
			t.Errorf("progressing is %q at the end", got)
		}
		set := controllertest.List[*appsv1.ReplicaSet](c, "default")[0]
		hash := controllers.ComputeHash(&d.Spec.Template, nil)
		if set.Name != "web-"+hash || set.Labels["pod-template-hash"] != hash || set.Spec.Selector.MatchLabels["pod-template-hash"] != hash {
			t.Errorf("replica set %s does not bear the hash %s", set.Name, hash)
		}
		if d.Annotations["deployment.kubernetes.io/revision"] != "1" || set.Annotations["deployment.kubernetes.io/revision"] != "1" {
			t.Errorf("revisions are %v and %v", d.Annotations, set.Annotations)
		}
		change(c, image("nginx:2"))
		if diff := cmp.Diff(map[string]int32{"nginx:1": 3, "nginx:2": 1}, sizes(c)); diff != "" {
			t.Errorf("the first step of 25%% surge of 3 (-want +got):\n%s", diff)
		}
		c.ReadyAll("default")
		if diff := cmp.Diff(map[string]int32{"nginx:1": 0, "nginx:2": 3}, sizes(c)); diff != "" {
			t.Errorf("the end of the rollout (-want +got):\n%s", diff)
		}
		want := appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, TerminatingReplicas: ptr.To(int32(0))}
		got := get(c).Status
		got.Conditions = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		second := controllers.ComputeHash(&get(c).Spec.Template, nil)
		events := c.Events("Deployment", "web")
		slices.Sort(events)
		wanted := []string{
			"ScalingReplicaSet: Scaled down replica set web-" + hash + " from 1 to 0",
			"ScalingReplicaSet: Scaled down replica set web-" + hash + " from 2 to 1",
			"ScalingReplicaSet: Scaled down replica set web-" + hash + " from 3 to 2",
			"ScalingReplicaSet: Scaled up replica set web-" + hash + " from 0 to 3",
			"ScalingReplicaSet: Scaled up replica set web-" + second + " from 0 to 1",
			"ScalingReplicaSet: Scaled up replica set web-" + second + " from 1 to 2",
			"ScalingReplicaSet: Scaled up replica set web-" + second + " from 2 to 3",
		}
		slices.Sort(wanted)
		if diff := cmp.Diff(wanted, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestBudgets(t *testing.T) {
	number, percent := intstr.FromInt32, intstr.FromString
	for _, test := range []struct {
		name               string
		surge, unavailable intstr.IntOrString
		replicas, up, down int32 // sizes of the new and old version after the first step
	}{
		{"the defaults of 10", percent("25%"), percent("25%"), 10, 5, 8},
		{"surge rounds up", percent("10%"), number(0), 5, 1, 5},
		{"unavailable rounds down, but not both to nothing", number(0), percent("10%"), 5, 1, 4},
		{"unavailable only", number(0), number(2), 4, 2, 2},
		{"all at once", percent("100%"), percent("100%"), 3, 3, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				controllertest.Create(c, web(test.replicas, budgets(test.surge, test.unavailable)))
				c.ReadyAll("default")
				change(c, image("nginx:2"))
				if diff := cmp.Diff(map[string]int32{"nginx:1": test.down, "nginx:2": test.up}, sizes(c)); diff != "" {
					t.Errorf("sizes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestProgressDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(1, func(d *appsv1.Deployment) { d.Spec.ProgressDeadlineSeconds = ptr.To(int32(60)) }))
		c.Pass(59 * time.Second)
		if got := condition(get(c), appsv1.DeploymentProgressing); got != "True ReplicaSetUpdated" {
			t.Errorf("progressing is %q before the deadline", got)
		}
		c.Pass(3 * time.Second)
		if got := condition(get(c), appsv1.DeploymentProgressing); got != "False ProgressDeadlineExceeded" {
			t.Errorf("progressing is %q after the deadline", got)
		}
		c.ReadyAll("default")
		if got := condition(get(c), appsv1.DeploymentProgressing); got != "True NewReplicaSetAvailable" {
			t.Errorf("progressing is %q after recovery", got)
		}
	})
}

func TestRecreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(2, func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }))
		c.ReadyAll("default")
		change(c, image("nginx:2"))
		if diff := cmp.Diff(map[string]int32{"nginx:1": 0}, sizes(c)); diff != "" {
			t.Errorf("while the old pods stop (-want +got):\n%s", diff)
		}
		c.ReadyAll("default")
		if diff := cmp.Diff(map[string]int32{"nginx:1": 0, "nginx:2": 2}, sizes(c)); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}

// The last old pod goes right after the controller has written how many are left, while its copy of the Deployment does not
// show that yet. All the same it is told that the new ReplicaSet was made: if that does not get ready, the Deployment says so.
func TestRecreateThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(3, func(d *appsv1.Deployment) {
			d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
			d.Spec.ProgressDeadlineSeconds = new(int32(20))
		}))
		c.ReadyAll("default")
		change(c, image("nginx:2"))
		c.Faults.Lag("deployments", time.Second)
		for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
			controllertest.Delete[*corev1.Pod](c, "default", pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
			c.Settle()
		}
		c.Pass(30 * time.Second)
		d := get(c)
		if got := condition(d, appsv1.DeploymentProgressing); d.Status.UpdatedReplicas != 3 || got != "False ProgressDeadlineExceeded" {
			t.Errorf("%d updated, progressing is %s", d.Status.UpdatedReplicas, got)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(2))
		c.ReadyAll("default")
		change(c, func(d *appsv1.Deployment) { d.Spec.Paused = true })
		change(c, image("nginx:2"))
		if got := condition(get(c), appsv1.DeploymentProgressing); got != "Unknown DeploymentPaused" {
			t.Errorf("progressing is %q while paused", got)
		}
		if diff := cmp.Diff(map[string]int32{"nginx:1": 2}, sizes(c)); diff != "" {
			t.Errorf("while paused (-want +got):\n%s", diff)
		}
		change(c, func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(int32(4)) })
		if diff := cmp.Diff(map[string]int32{"nginx:1": 4}, sizes(c)); diff != "" {
			t.Errorf("scaled while paused (-want +got):\n%s", diff)
		}
		change(c, func(d *appsv1.Deployment) { d.Spec.Paused = false })
		c.ReadyAll("default")
		if diff := cmp.Diff(map[string]int32{"nginx:1": 0, "nginx:2": 4}, sizes(c)); diff != "" {
			t.Errorf("resumed (-want +got):\n%s", diff)
		}
	})
}

func TestProportionalScaling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(10, budgets(intstr.FromInt32(3), intstr.FromInt32(2))))
		c.ReadyAll("default")
		change(c, image("nginx:2")) // does not start: 8 old, 5 new, as in Kubernetes' documentation
		if diff := cmp.Diff(map[string]int32{"nginx:1": 8, "nginx:2": 5}, sizes(c)); diff != "" {
			t.Fatalf("stuck rollout (-want +got):\n%s", diff)
		}
		change(c, func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(int32(15)) })
		if diff := cmp.Diff(map[string]int32{"nginx:1": 11, "nginx:2": 7}, sizes(c)); diff != "" {
			t.Errorf("scaled in mid-rollout (-want +got):\n%s", diff)
		}
	})
}

func TestHistoryAndUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(1, func(d *appsv1.Deployment) { d.Spec.RevisionHistoryLimit = ptr.To(int32(2)) }))
		c.ReadyAll("default")
		for i := 2; i <= 5; i++ {
			c.Pass(time.Second)
			change(c, image(fmt.Sprintf("nginx:%d", i)))
			c.ReadyAll("default")
		}
		if diff := cmp.Diff(map[string]int32{"nginx:3": 0, "nginx:4": 0, "nginx:5": 1}, sizes(c)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		change(c, image("nginx:3")) // what kubectl rollout undo --to-revision=3 does
		c.ReadyAll("default")
		for _, set := range controllertest.List[*appsv1.ReplicaSet](c, "default") {
			if set.Spec.Template.Spec.Containers[0].Image != "nginx:3" {
				continue
			}
			if set.Annotations["deployment.kubernetes.io/revision"] != "6" || set.Annotations["deployment.kubernetes.io/revision-history"] != "3" {
				t.Errorf("annotations of the restored set are %v", set.Annotations)
			}
		}
		if got := get(c).Annotations["deployment.kubernetes.io/revision"]; got != "6" {
			t.Errorf("revision is %s", got)
		}
		change(c, func(d *appsv1.Deployment) { d.Annotations["deprecated.deployment.rollback.to"] = "5" })
		c.ReadyAll("default")
		if got := get(c).Spec.Template.Spec.Containers[0].Image; got != "nginx:5" {
			t.Errorf("rolled back to %s", got)
		}
	})
}

func TestHashCollision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		d := controllertest.Create(c, web(1, func(d *appsv1.Deployment) { d.Spec.Paused = true }))
		c.Settle()
		foreign := &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Name: "web-" + controllers.ComputeHash(&d.Spec.Template, nil), Namespace: "default"},
			Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}},
				Template: controllertest.Template("other", "busybox")},
		}
		controllertest.Create(c, foreign)
		change(c, func(d *appsv1.Deployment) { d.Spec.Paused = false })
		c.Pass(time.Second)
		c.ReadyAll("default")
		if count := get(c).Status.CollisionCount; count == nil || *count != 1 {
			t.Errorf("collision count is %v", count)
		}
		if got := get(c).Status.ReadyReplicas; got != 1 {
			t.Errorf("%d ready", got)
		}
	})
}

func TestMinReadySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(2, func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 10 }))
		c.ReadyAll("default")
		if got := get(c).Status; got.ReadyReplicas != 2 || got.AvailableReplicas != 0 {
			t.Errorf("at once: %d ready, %d available", got.ReadyReplicas, got.AvailableReplicas)
		}
		c.Pass(10 * time.Second)
		if got := get(c).Status; got.AvailableReplicas != 2 {
			t.Errorf("after 10 s: %d available", got.AvailableReplicas)
		}
	})
}

func TestReplicaFailureShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		c.Faults.Set(func(verb, resource, _ string) error {
			if verb == "create" && resource == "pods" {
				return fmt.Errorf("exceeded quota: small")
			}
			return nil
		})
		controllertest.Create(c, web(2))
		c.Pass(time.Second)
		if got := condition(get(c), appsv1.DeploymentReplicaFailure); got != "True FailedCreate" {
			t.Errorf("replica failure is %q", got)
		}
		c.Faults.Set(nil)
		c.Pass(time.Minute)
		c.ReadyAll("default")
		if got := condition(get(c), appsv1.DeploymentReplicaFailure); got != "" {
			t.Errorf("replica failure is still %q", got)
		}
		if pods := controllertest.List[*corev1.Pod](c, "default"); len(pods) != 2 {
			t.Errorf("%d pods after recovery", len(pods))
		}
	})
}

// A ReplicaSet that its controller has not looked at yet has no pods on their way out.
func TestTerminatingReplicasOfANewReplicaSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		c.Machine.Gate(replicaset.Name).Pause()
		controllertest.Create(c, web(1))
		c.Settle()
		if got := get(c).Status.TerminatingReplicas; got == nil || *got != 0 {
			t.Errorf("they are %v", got)
		}
	})
}

// An annotation that asks for no number asks for nothing, and stays.
func TestRollbackToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, web(1, func(d *appsv1.Deployment) {
			d.Annotations = map[string]string{appsv1.DeprecatedRollbackTo: "the first"}
		}))
		c.ReadyAll("default")
		if got := get(c); got.Annotations[appsv1.DeprecatedRollbackTo] != "the first" || got.Status.AvailableReplicas != 1 {
			t.Errorf("annotations are %v, %d are available", got.Annotations, got.Status.AvailableReplicas)
		}
	})
}

// A long name is cut, so that the ReplicaSet's has room for the hash.
func TestReplicaSetOfALongName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		d := controllertest.Create(c, web(1, func(d *appsv1.Deployment) { d.Name = strings.Repeat("w", 250) }))
		c.Settle()
		hash := controllers.ComputeHash(&d.Spec.Template, nil)
		want := d.Name[:252-len(hash)] + "-" + hash
		if sets := controllertest.List[*appsv1.ReplicaSet](c, "default"); len(sets) != 1 || sets[0].Name != want {
			t.Errorf("%d sets, events are %v", len(sets), c.Events("Deployment", d.Name))
		}
	})
}
