package kubelet_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
	"kubette/toolbox"
)

// server is a program whose answers a test switches.
type server struct {
	healthy atomic.Bool
	asked   atomic.Int32
}

func (s *server) program(ctx context.Context, p *toolbox.Process) int {
	address := ":8080"
	if len(p.Args) > 1 {
		address = p.Args[1]
	}
	listener, err := p.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		ok := s.healthy.Load()
		if r.URL.Path == "/grpc.health.v1.Health/Check" {
			status := byte(2)
			if ok {
				status = 1
			}
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "pay") {
				w.Header().Set("grpc-status", "5")
				w.Header().Set("grpc-message", "unknown%20service")
				return
			}
			w.Header().Set("Trailer", "grpc-status")
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, status})
			w.Header().Set("grpc-status", "0")
			return
		}
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	_ = h.Serve(listener)
	return 0
}

// withServer adds the program "serve".
func withServer(s *server) func(*kubelet.Config, *sim.Config) {
	return func(_ *kubelet.Config, c *sim.Config) { c.Programs["serve"] = s.program }
}

func TestReadinessFollowsTheProbe(t *testing.T) {
	for _, action := range []string{`httpGet: {port: 8080, path: /healthz}`, `grpc: {port: 8080}`} {
		s := &server{}
		inBubble(t, withServer(s), func(b *bubble) {
			b.pod("it", `{containers: [{name: app, image: busybox, command: [serve], readinessProbe: {`+action+`, periodSeconds: 5, failureThreshold: 2, initialDelaySeconds: 3}}]}`)
			b.pass(4 * time.Second)
			b.want("it", "Running | app:Running")
			s.healthy.Store(true)
			b.pass(5 * time.Second)
			b.want("it", "Running | app:Running ready")
			s.healthy.Store(false)
			b.pass(5 * time.Second)
			b.want("it", "Running | app:Running ready") // one failure is not enough
			b.pass(5 * time.Second)
			b.want("it", "Running | app:Running")
			b.wantEvent("it", "Unhealthy: Readiness probe failed: ")
		})
	}
}

func TestFailedGRPCProbeInKubernetesWords(t *testing.T) {
	s := &server{}
	inBubble(t, withServer(s), func(b *bubble) {
		b.pod("nobody", `{containers: [{name: app, image: busybox, readinessProbe: {grpc: {port: 9}, timeoutSeconds: 2}}]}`)
		b.pod("other", `{containers: [{name: app, image: busybox, command: [serve], readinessProbe: {grpc: {port: 8080, service: pay}}}]}`)
		b.pass(3 * time.Second)
		b.wantEvent("nobody", `Readiness probe failed: timeout: failed to connect service "`+b.get("nobody").Status.PodIP+`:9" within 2s: context deadline exceeded`)
		b.wantEvent("other", `Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service`)
	})
}

func TestLivenessKillsAndRestarts(t *testing.T) {
	s := &server{}
	s.healthy.Store(true)
	inBubble(t, withServer(s), func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [serve], livenessProbe: {httpGet: {port: 8080}, periodSeconds: 10, failureThreshold: 3}}]}`)
		b.pass(time.Minute)
		b.want("it", "Running | app:Running ready")
		s.healthy.Store(false)
		b.pass(21 * time.Second)
		b.want("it", "Running | app:Running ready")
		b.pass(10 * time.Second)
		b.want("it", "Running | app:Running last Completed(0) ready restarts=1")
		b.wantEvent("it", "Liveness probe failed: HTTP probe failed with statuscode: 503 (x3)")
		b.wantEvent("it", "Killing: Container app failed liveness probe, will be restarted")
	})
}

func TestStartupHoldsTheOthersBack(t *testing.T) {
	s := &server{}
	inBubble(t, withServer(s), func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [serve],
			startupProbe: {httpGet: {port: 8080}, periodSeconds: 10, failureThreshold: 30},
			livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 1}}]}`)
		b.pass(2 * time.Minute)
		b.want("it", "Running | app:Running")
		s.healthy.Store(true)
		b.pass(10 * time.Second)
		if got := b.summary("it"); !strings.Contains(got, "restarts=1") {
			t.Errorf("once started, the liveness probe should have killed it: %s", got)
		}
		b.wantEvent("it", "connection refused")
	})
}

func TestExecProbe(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1}}]}`)
		b.pass(3 * time.Second)
		b.want("it", "Running | app:Running")
		if text, err := b.exec("it", "app", "write", "/ready", "yes"); err != nil {
			t.Fatal(err, text)
		}
		b.pass(2 * time.Second)
		b.want("it", "Running | app:Running ready")
	})
}

func TestProbeTimesOut(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, readinessProbe: {exec: {command: [wait]}, timeoutSeconds: 2}}]}`)
		b.pass(3 * time.Second)
		b.wantEvent("it", `Readiness probe failed: command timed out: "wait" timed out after 2s`)
	})
}

// A program that listens on localhost only answers nobody but its own pod: a mistake that a probe shows.
func TestProbeOfLocalhost(t *testing.T) {
	s := &server{}
	s.healthy.Store(true)
	inBubble(t, withServer(s), func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [serve, "127.0.0.1:8080"], readinessProbe: {httpGet: {port: 8080}}}]}`)
		b.pass(time.Second)
		b.want("it", "Running | app:Running")
		b.wantEvent("it", "connect: connection refused")
	})
}

func TestHundredsOfProbesKeepTime(t *testing.T) {
	s := &server{}
	s.healthy.Store(true)
	inBubble(t, withServer(s), func(b *bubble) {
		for i := range 100 {
			b.pod(fmt.Sprintf("p%d", i), `{containers: [{name: app, image: busybox, command: [serve], readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}}]}`)
		}
		b.pass(time.Second)
		before := s.asked.Load()
		b.pass(10 * time.Second)
		if got := s.asked.Load() - before; got != 1000 {
			t.Errorf("100 probes of a second's period asked %d times in 10 s", got)
		}
	})
}
