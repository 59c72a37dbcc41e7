package apiserver_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver"
	"kubette/apiserver/auth"
)

// A thousand watchers that read nothing share the objects: each costs a little, whatever is written.
func TestMemoryUnderManyWatchers(t *testing.T) {
	const watchers, writes, size = 1000, 300, 10_000
	s, _ := start(t)
	request := apiserver.Request{
		User: auth.Server(), Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: metav1.NamespaceDefault,
	}
	before := held()
	for range watchers {
		w, err := s.Watch(t.Context(), request, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
	}
	for i := range writes {
		object := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m-%d", i)}, Data: map[string]string{"a": strings.Repeat("x", size)},
		}
		if _, err := s.Create(t.Context(), request, object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// The objects themselves are there twice, decoded and encoded. Copies for each watcher would be three gigabytes.
	grown := held() - before
	if most := int64(watchers*20_000 + 3*writes*size); grown > most {
		t.Errorf("memory grew by %d KB, at most %d KB were expected", grown/1000, most/1000)
	}
}

// held is the memory in use after a collection.
func held() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
