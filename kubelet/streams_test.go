package kubelet_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/exec"
)

func TestLogs(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [say, hello, world]}]}`)
		five, tail := int64(5), int64(0)
		for name, c := range map[string]struct {
			options corev1.PodLogOptions
			want    string
		}{
			"all":      {corev1.PodLogOptions{}, "hello world\n"},
			"previous": {corev1.PodLogOptions{Previous: true}, "hello world\n"},
			"limited":  {corev1.PodLogOptions{LimitBytes: &five}, "hello"},
			"no tail":  {corev1.PodLogOptions{TailLines: &tail}, ""},
		} {
			if got, err := b.logs("it", c.options); err != nil || got != c.want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		stamped, _ := b.logs("it", corev1.PodLogOptions{Timestamps: true})
		if stamp, text, _ := strings.Cut(stamped, " "); text != "hello world\n" || len(stamp) != len("2000-01-01T00:00:01.000000000Z") {
			t.Errorf("with timestamps: %q", stamped)
		}
		b.pod("waits", `{containers: [{name: app, image: "busybox:missing"}]}`)
		if _, err := b.logs("waits", corev1.PodLogOptions{}); err == nil || err.Error() != `container "app" in pod "waits" is waiting to start: image can't be pulled` {
			t.Errorf("the log of a container that waits: %v", err)
		}
		if _, err := b.logs("it", corev1.PodLogOptions{Container: "none"}); err == nil || err.Error() != "container none is not valid for pod it" {
			t.Errorf("the log of no container: %v", err)
		}
	})
}

func TestFollowedLogEndsWithItsContainer(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{restartPolicy: Never, containers: [{name: app, image: busybox}]}`)
		stream, err := b.kubelet.Logs(b.ctx, "default", "it", &corev1.PodLogOptions{Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(stream)
			ended <- err
		}()
		b.pass(time.Second)
		_ = b.runtime.Kill(b.container("it", "app"))
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestExecTellsTheExitCode(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		_, err := b.exec("it", "app", "exit", "7")
		var exit exec.ExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != 7 {
			t.Errorf("the error is %v", err)
		}
		if _, err := b.exec("it", "app", "nonsense"); err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
			t.Errorf("an unknown command: %v", err)
		}
	})
}

func TestPortForward(t *testing.T) {
	s := &server{}
	s.healthy.Store(true)
	inBubble(t, withServer(s), func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox, command: [serve, "127.0.0.1:8080"]}]}`)
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- b.kubelet.PortForward(b.ctx, "default", "it", 8080, far) }()
		go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
		answer, _ := io.ReadAll(near)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") {
			t.Errorf("the answer is %q", answer)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStats(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.pod("it", `{containers: [{name: app, image: busybox}]}`)
		b.pass(10 * time.Second)
		stats, err := b.kubelet.Stats(b.ctx)
		if err != nil || len(stats) != 1 || len(stats[0].Containers) != 1 || stats[0].Containers[0].CPUNanos == 0 {
			t.Errorf("the use is %v, %v", stats, err)
		}
	})
}
