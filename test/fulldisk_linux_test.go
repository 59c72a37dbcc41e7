package test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The disk under a running cluster is full: writes are refused with what to do, reads go on. When there is room again,
// everything goes on; and after a crash all that was acknowledged is there, and nothing that was refused.
func TestFullDisk(t *testing.T) {
	t.Setenv("KUBETTE_HOME", t.TempDir())
	s := startServer(t, "full", "")
	maps := s.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	info, err := os.Stat(filepath.Join(filepath.Dir(s.kubeconfig), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	before := limitFiles(t, s, uint64(info.Size()))

	written, refused := []string{}, []string{}
	noise := make([]byte, 300_000)
	for i := 0; len(refused) < 5; i++ {
		if i > 1000 {
			t.Fatal("the disk does not become full")
		}
		_, _ = rand.Read(noise)
		name := fmt.Sprintf("m-%d", i)
		_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, BinaryData: map[string][]byte{"noise": noise}}, metav1.CreateOptions{})
		if err == nil {
			written = append(written, name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "the disk is full: make room on it and try again") || !strings.Contains(text, "nothing was changed") {
			t.Fatalf("a full disk says %q", text)
		}
		refused = append(refused, name)
	}
	check := func(s server) {
		t.Helper()
		list, err := s.CoreV1().ConfigMaps(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, m := range list.Items {
			there[m.Name] = true
		}
		for _, name := range written {
			if !there[name] {
				t.Errorf("%s was acknowledged and is lost", name)
			}
		}
		for _, name := range refused {
			if there[name] {
				t.Errorf("%s was refused and is there", name)
			}
		}
	}
	check(s) // reads go on
	if len(written) == 0 {
		t.Fatal("nothing was written")
	}
	limitFiles(t, s, before)
	if _, err := s.AppsV1().Deployments(metav1.NamespaceDefault).Create(t.Context(), deployment("web", 2), metav1.CreateOptions{}); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	waitUntil(t, "the cluster goes on", func() bool {
		d, err := s.AppsV1().Deployments(metav1.NamespaceDefault).Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 2
	})
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait()
	check(startServer(t, "full", ""))
}

// limitFiles bounds the size of files that a server may write, as a full disk does, and returns the bound before.
func limitFiles(t *testing.T, s server, size uint64) (before uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	return old.Cur
}
