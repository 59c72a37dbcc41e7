// Package etcdtest runs an etcd for tests.
package etcdtest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Required is the environment variable that, set to "required", makes tests fail where there is no etcd.
const Required = "KUBETTE_TEST_ETCD"

// Server is an etcd of one member, which a test may kill and start again.
type Server struct {
	URL  string
	t    testing.TB
	args []string
	run  *exec.Cmd

	health string
	said   bytes.Buffer
}

// Start runs an etcd until the test ends, over TLS when the arguments have certificates. The test is skipped on a machine
// without one.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv(Required) == "required" {
			t.Fatal("there is no etcd; Debian's package etcd-server has it")
		}
		t.Skip("there is no etcd; Debian's package etcd-server has it")
	}
	s := &Server{t: t, URL: "http://" + freeAddress(t)}
	if slices.Contains(args, "--cert-file") {
		s.URL = "https" + strings.TrimPrefix(s.URL, "http")
	}
	peer, metrics := "http://"+freeAddress(t), "http://"+freeAddress(t)
	s.health = metrics + "/health"
	s.args = append([]string{"--data-dir", filepath.Join(t.TempDir(), "etcd"), "--name", "one", "--logger", "zap", "--log-level", "fatal",
		"--listen-client-urls", s.URL, "--advertise-client-urls", s.URL, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "one=" + peer, "--listen-metrics-urls", metrics}, args...)
	t.Cleanup(s.Kill)
	s.Run()
	return s
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Run starts it, also after it was killed, and returns when it answers.
func (s *Server) Run() {
	s.t.Helper()
	s.run = exec.Command("etcd", s.args...)
	s.said.Reset()
	s.run.Stderr = &s.said
	if err := s.run.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.answers()
}

// answers waits until it takes part in its cluster of one, which it says on its port for metrics.
func (s *Server) answers() {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(s.health)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	s.Kill()
	s.t.Fatalf("etcd does not answer:\n%s", &s.said)
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	_ = s.run.Process.Kill()
	_ = s.run.Wait()
	s.run = nil
}
