package test

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/store"
	"kubette/store/etcdtest"
)

// Two servers share an etcd. The one that leads is killed in the middle of its work; the other takes over, and nothing is
// made twice: not by two leaders at once, and not by one who does not know what the other made.
func TestLeaderIsKilled(t *testing.T) {
	t.Setenv("KUBETTE_HOME", t.TempDir())
	etcd := etcdtest.Start(t)
	one := startServer(t, "one", etcd.URL)
	waitUntil(t, "one leads", func() bool { return holder(t, one) != "" })
	first := holder(t, one)
	two := startServer(t, "two", etcd.URL)

	const deployments, replicas = 6, 5
	for i := range deployments {
		by := []server{one, two}[i%2]
		if i == deployments/2 {
			by = two
			if err := one.Process.Kill(); err != nil { // while it works on the ones before
				t.Fatal(err)
			}
		}
		if i > deployments/2 {
			by = two
		}
		if _, err := by.AppsV1().Deployments(metav1.NamespaceDefault).Create(t.Context(), deployment(fmt.Sprintf("web-%d", i), replicas), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "two leads", func() bool { now := holder(t, two); return now != "" && now != first })
	waitUntil(t, "all pods are there and have a node", func() bool {
		placed := 0
		for _, pod := range podsOf(t, two) {
			if pod.Spec.NodeName != "" {
				placed++
			}
		}
		return placed >= deployments*replicas
	})
	waitUntil(t, "the deployments are seen", func() bool {
		for i := range deployments {
			d, err := two.AppsV1().Deployments(metav1.NamespaceDefault).Get(t.Context(), fmt.Sprintf("web-%d", i), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Status.ObservedGeneration != d.Generation || d.Status.Replicas != replicas {
				return false
			}
		}
		return true
	})
	sets, err := two.AppsV1().ReplicaSets(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(sets.Items) != deployments {
		t.Errorf("%d deployments have %d replica sets", deployments, len(sets.Items))
	}
	// Also what was made and deleted again would be too much: all that was ever written is in the store.
	if made := podsEverMade(t, etcd.URL); made != deployments*replicas {
		t.Errorf("%d pods were made where %d are wanted", made, deployments*replicas)
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "nginx"}}}}},
	}
}

// holder is who leads the controllers.
func holder(t *testing.T, s server) string {
	t.Helper()
	lease, err := s.CoordinationV1().Leases(metav1.NamespaceSystem).Get(t.Context(), "kube-controller-manager", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func podsOf(t *testing.T, s server) []corev1.Pod {
	t.Helper()
	list, err := s.CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func podsEverMade(t *testing.T, url string) int {
	t.Helper()
	s, err := store.OpenEtcd(t.Context(), store.EtcdOptions{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	watcher, err := s.Watch("/registry/core/pods/default/", s.CompactedRevision())
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Write(t.Context(), store.Write{Key: "/registry/core/pods/default/end"}) // the watch is read up to here
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for {
		events, err := watcher.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Revision == last.Revision {
				return made
			}
			if e.Version == 1 && !e.Deleted {
				made++
			}
		}
	}
}
