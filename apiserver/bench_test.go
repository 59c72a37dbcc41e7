package apiserver_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver"
	"kubette/client"
	"kubette/store"
)

// Start-up is part of every `kubette up`.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := apiserver.New(apiserver.Config{Store: store.NewMemory()}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	_, c := start(b)
	maps := client.Of[*corev1.ConfigMap](c)
	i := 0
	for b.Loop() {
		i++
		must(maps.Create(b.Context(), configMap(fmt.Sprint("c-", i), nil)))(b)
	}
}

func BenchmarkGet(b *testing.B) {
	_, c := start(b)
	maps := client.Of[*corev1.ConfigMap](c)
	must(maps.Create(b.Context(), configMap("one", nil)))(b)
	for b.Loop() {
		must(maps.Get(b.Context(), "default", "one"))(b)
	}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nginx", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
	}
}

// A pod's life as its kubelet writes it.
func BenchmarkPodStatus(b *testing.B) {
	_, c := start(b)
	pods := client.Of[*corev1.Pod](c)
	p := must(pods.Create(b.Context(), pod("one")))(b)
	for i := 0; b.Loop(); i++ {
		p = p.DeepCopy()
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(time.Now().Unix(), 0)}}
		p.Status.PodIP = fmt.Sprintf("10.97.%d.%d", i/250%250, i%250+1)
		p = must(pods.UpdateStatus(b.Context(), p))(b)
	}
}

func BenchmarkPodCreate(b *testing.B) {
	_, c := start(b)
	pods := client.Of[*corev1.Pod](c)
	i := 0
	for b.Loop() {
		i++
		must(pods.Create(b.Context(), pod(fmt.Sprint("p-", i))))(b)
	}
}
