package statefulset_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/garbagecollector"
	"kubette/controllers/statefulset"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{statefulset.New(base), garbagecollector.New(base, controllertest.Discovery)}
	})
}

func create(c *controllertest.Cluster, replicas int32, change func(*appsv1.StatefulSetSpec)) {
	c.T.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(replicas), ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		Template: controllertest.Template("db", "db:1"),
	}}
	if change != nil {
		change(&set.Spec)
	}
	controllertest.Create(c, set)
	c.Settle()
}

func withClaims(s *appsv1.StatefulSetSpec) {
	s.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}}
	s.Template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
}

// pods are name and image, with a mark for those on their way out.
func pods(c *controllertest.Cluster) []string {
	var list []string
	for _, pod := range controllertest.List[*corev1.Pod](c, "default") {
		text := pod.Name + " " + strings.TrimPrefix(pod.Spec.Containers[0].Image, "db:")
		if pod.DeletionTimestamp != nil {
			text += " ending"
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

func wantPods(c *controllertest.Cluster, when string, want ...string) {
	c.T.Helper()
	if diff := cmp.Diff(want, pods(c)); diff != "" {
		c.T.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// play lets the pods that are there now become ready, or go, once.
func play(c *controllertest.Cluster) {
	c.T.Helper()
	for i, pod := range controllertest.List[*corev1.Pod](c, "default") {
		switch {
		case pod.DeletionTimestamp != nil:
			controllertest.Delete[*corev1.Pod](c, "default", pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		case !controllers.IsReady(pod) && !controllers.IsFinished(pod):
			if pod.Spec.NodeName == "" {
				c.Bind(pod, "worker-1")
			}
			c.Ready(pod, i)
		}
	}
	c.Settle()
}

func get(c *controllertest.Cluster) *appsv1.StatefulSet {
	return controllertest.Get[*appsv1.StatefulSet](c, "default", "db")
}

func change(c *controllertest.Cluster, f func(*appsv1.StatefulSetSpec)) {
	c.T.Helper()
	controllertest.Change(c, "default", "db", func(set *appsv1.StatefulSet) { f(&set.Spec) })
	c.Settle()
}

func image(name string) func(*appsv1.StatefulSetSpec) {
	return func(s *appsv1.StatefulSetSpec) { s.Template.Spec.Containers[0].Image = name }
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 3, withClaims)
		wantPods(c, "at first", "db-0 1")
		play(c)
		wantPods(c, "when the first is ready", "db-0 1", "db-1 1")
		c.ReadyAll("default")
		wantPods(c, "in the end", "db-0 1", "db-1 1", "db-2 1")
		pod := controllertest.Get[*corev1.Pod](c, "default", "db-1")
		if pod.Spec.Hostname != "db-1" || pod.Spec.Subdomain != "db" || pod.Labels["apps.kubernetes.io/pod-index"] != "1" ||
			pod.Labels["statefulset.kubernetes.io/pod-name"] != "db-1" || pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-db-1" {
			t.Errorf("identity of db-1 is %+v, %v", pod.Spec, pod.Labels)
		}
		set := get(c)
		if pod.Labels["controller-revision-hash"] != set.Status.UpdateRevision || set.Status.CurrentRevision != set.Status.UpdateRevision {
			t.Errorf("revisions: pod %s, set %+v", pod.Labels["controller-revision-hash"], set.Status)
		}
		if set.Status.Replicas != 3 || set.Status.ReadyReplicas != 3 || set.Status.AvailableReplicas != 3 || set.Status.CurrentReplicas != 3 || set.Status.UpdatedReplicas != 3 {
			t.Errorf("status is %+v", set.Status)
		}
		if set.Status.CollisionCount == nil || *set.Status.CollisionCount != 0 {
			t.Errorf("collision count is %v", set.Status.CollisionCount)
		}
		if got := controllertest.Get[*corev1.Pod](c, "default", "db-0").GenerateName; got != "db-" {
			t.Errorf("generateName is %q", got)
		}
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(1)) })
		wantPods(c, "scaled down, the last goes first", "db-0 1", "db-1 1", "db-2 1 ending")
		play(c)
		wantPods(c, "then the next", "db-0 1", "db-1 1 ending")
		c.ReadyAll("default")
		if claims := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(claims) != 3 {
			t.Errorf("%d claims are left, wanted 3", len(claims))
		}
		if got := c.Events("StatefulSet", "db"); !slices.Contains(got, "SuccessfulCreate: Create Pod db-0 in StatefulSet db successful") ||
			!slices.Contains(got, "SuccessfulCreate: Create Claim data-db-0 Pod db-0 in StatefulSet db success") ||
			!slices.Contains(got, "SuccessfulDelete: Delete Pod db-2 in StatefulSet db successful") {
			t.Errorf("events are %v", got)
		}
	})
}

func TestParallelAndOrdinals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 3, func(s *appsv1.StatefulSetSpec) {
			s.PodManagementPolicy, s.Ordinals = appsv1.ParallelPodManagement, &appsv1.StatefulSetOrdinals{Start: 5}
		})
		wantPods(c, "all at once", "db-5 1", "db-6 1", "db-7 1")
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(0)) })
		for _, pod := range pods(c) {
			if !strings.HasSuffix(pod, "ending") {
				t.Errorf("%s goes on", pod)
			}
		}
	})
}

func TestRollingUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 3, nil)
		c.ReadyAll("default")
		before := get(c).Status.CurrentRevision
		change(c, image("db:2"))
		wantPods(c, "the last goes first", "db-0 1", "db-1 1", "db-2 1 ending")
		play(c)
		wantPods(c, "it comes back", "db-0 1", "db-1 1", "db-2 2")
		play(c)
		wantPods(c, "when it is ready the next goes", "db-0 1", "db-1 1 ending", "db-2 2")
		if status := get(c).Status; status.CurrentRevision != before || status.UpdatedReplicas != 1 {
			t.Errorf("status in between is %+v", status)
		}
		c.ReadyAll("default")
		wantPods(c, "in the end", "db-0 2", "db-1 2", "db-2 2")
		if status := get(c).Status; status.CurrentRevision == before || status.CurrentRevision != status.UpdateRevision {
			t.Errorf("status at the end is %+v", status)
		}
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 3, func(s *appsv1.StatefulSetSpec) {
			s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To(int32(2))}}
		})
		c.ReadyAll("default")
		change(c, image("db:2"))
		c.ReadyAll("default")
		wantPods(c, "only the last is new", "db-0 1", "db-1 1", "db-2 2")
		controllertest.Delete[*corev1.Pod](c, "default", "db-0", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.ReadyAll("default")
		wantPods(c, "a lost pod below the partition comes back as it was", "db-0 1", "db-1 1", "db-2 2")
	})
}

func TestOnDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 2, func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType })
		c.ReadyAll("default")
		change(c, image("db:2"))
		c.ReadyAll("default")
		wantPods(c, "nothing changes by itself", "db-0 1", "db-1 1")
		controllertest.Delete[*corev1.Pod](c, "default", "db-1")
		c.ReadyAll("default")
		wantPods(c, "a deleted pod is new", "db-0 1", "db-1 2")
	})
}

func TestMaxUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 4, func(s *appsv1.StatefulSetSpec) {
			s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: ptr.To(intstr.FromInt32(2))}}
		})
		c.ReadyAll("default")
		change(c, image("db:2"))
		wantPods(c, "two at once", "db-0 1", "db-1 1", "db-2 1 ending", "db-3 1 ending")
	})
}

func TestFailedPodIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 1, nil)
		c.ReadyAll("default")
		first := controllertest.Get[*corev1.Pod](c, "default", "db-0")
		c.Phase(first, corev1.PodFailed)
		c.ReadyAll("default")
		if again := controllertest.Get[*corev1.Pod](c, "default", "db-0"); again.UID == first.UID || !controllers.IsReady(again) {
			t.Error("the failed pod is still there")
		}
		wantEvents(c, // the deletion is all that Kubernetes tells
			"SuccessfulCreate: Create Pod db-0 in StatefulSet db successful", "SuccessfulDelete: Delete Pod db-0 in StatefulSet db successful")
	})
}

func TestClaimRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 2, func(s *appsv1.StatefulSetSpec) {
			withClaims(s)
			s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
		})
		c.ReadyAll("default")
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(1)) })
		c.ReadyAll("default")
		c.Pass(time.Second)
		if claims := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(claims) != 1 || claims[0].Name != "data-db-0" {
			t.Errorf("after the scale-down the claims are %v", claims)
		}
		controllertest.Delete[*appsv1.StatefulSet](c, "default", "db")
		c.ReadyAll("default")
		c.Pass(time.Second)
		if claims := controllertest.List[*corev1.PersistentVolumeClaim](c, "default"); len(claims) != 0 {
			t.Errorf("after the deletion the claims are %v", claims)
		}
	})
}

func TestUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 1, nil)
		c.ReadyAll("default")
		change(c, image("db:2"))
		c.ReadyAll("default")
		revisions := controllertest.List[*appsv1.ControllerRevision](c, "default")
		slices.SortFunc(revisions, func(a, b *appsv1.ControllerRevision) int { return int(a.Revision - b.Revision) })
		if len(revisions) != 2 || revisions[0].Revision != 1 || revisions[1].Revision != 2 {
			t.Fatalf("revisions are %v", revisions)
		}
		// What kubectl rollout undo does.
		if _, err := client.Of[*appsv1.StatefulSet](c.Client).Patch(context.Background(), "default", "db", types.StrategicMergePatchType, revisions[0].Data.Raw); err != nil {
			t.Fatal(err)
		}
		c.ReadyAll("default")
		wantPods(c, "undone", "db-0 1")
		var numbers []string
		for _, revision := range controllertest.List[*appsv1.ControllerRevision](c, "default") {
			numbers = append(numbers, fmt.Sprint(revision.Revision))
		}
		slices.Sort(numbers)
		if diff := cmp.Diff([]string{"2", "3"}, numbers); diff != "" {
			t.Errorf("revisions after undo (-want +got):\n%s", diff)
		}
	})
}

// wantEvents compares which events there are, each once however often it came.
func wantEvents(c *controllertest.Cluster, want ...string) {
	c.T.Helper()
	got := c.Events("StatefulSet", "db")
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got), cmpopts.EquateEmpty()); diff != "" {
		c.T.Errorf("events (-want +got):\n%s", diff)
	}
}

// A pod of the set's name that belongs to somebody else is waited for without a word; one that can be adopted gets its
// identity.
func TestAPodThatIsThereBefore(t *testing.T) {
	for name, test := range map[string]struct {
		labels map[string]string
		events []string
	}{
		"of somebody else": {map[string]string{"app": "other"}, nil},
		"adopted": {map[string]string{"app": "db"}, []string{ // it is of no revision, and replaced at once
			"SuccessfulDelete: Delete Pod db-0 in StatefulSet db successful", "SuccessfulUpdate: Update Pod db-0 in StatefulSet db successful"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				there := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-0", Namespace: "default", Labels: test.labels},
					Spec: controllertest.Template("db", "db:1").Spec})
				c.Bind(there, "worker-1")
				c.Ready(there, 1)
				create(c, 1, nil)
				c.Pass(10 * time.Second)
				wantEvents(c, test.events...)
			})
		})
	}
}

// A claim that is being deleted keeps a new pod waiting, and that is told; one that runs is none the worse.
func TestAClaimThatIsBeingDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 1, withClaims)
		play(c)
		controllertest.Change(c, "default", "data-db-0", func(claim *corev1.PersistentVolumeClaim) { claim.Finalizers = []string{"example.com/keep"} })
		controllertest.Delete[*corev1.PersistentVolumeClaim](c, "default", "data-db-0")
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(2)) })
		wantPods(c, "the first runs", "db-0 1", "db-1 1")
		controllertest.Delete[*corev1.Pod](c, "default", "db-0", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		c.Pass(time.Second)
		want := "FailedCreate: Create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"
		if got := c.Events("StatefulSet", "db"); !slices.Contains(got, want) {
			t.Errorf("events are %v", got)
		}
	})
}

// A claim that goes with an earlier pod of the name is waited for without a word.
func TestAClaimOfAnEarlierPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		create(c, 2, func(s *appsv1.StatefulSetSpec) {
			withClaims(s)
			s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
		})
		play(c)
		play(c)
		controllertest.Change(c, "default", "data-db-1", func(claim *corev1.PersistentVolumeClaim) { claim.Finalizers = []string{"example.com/keep"} })
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(1)) })
		play(c)
		change(c, func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To(int32(2)) })
		c.Pass(time.Second)
		wantPods(c, "while the claim goes", "db-0 1")
		for _, event := range c.Events("StatefulSet", "db") {
			if strings.HasPrefix(event, "FailedCreate") {
				t.Error(event)
			}
		}
		controllertest.Change(c, "default", "data-db-1", func(claim *corev1.PersistentVolumeClaim) { claim.Finalizers = nil })
		c.Pass(time.Second)
		wantPods(c, "when it is gone", "db-0 1", "db-1 1")
	})
}
