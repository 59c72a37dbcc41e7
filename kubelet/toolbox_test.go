package kubelet_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet"
	"kubette/kubelet/runtime/sim"
	"kubette/toolbox"
)

// withToolbox runs kubette's own images and programs.
func withToolbox(_ *kubelet.Config, s *sim.Config) {
	s.Images, s.Programs = toolbox.Images(), toolbox.Programs()
}

func TestBuiltInImagesAnswer(t *testing.T) {
	inBubble(t, withToolbox, func(b *bubble) {
		b.pod("web", `{containers: [{name: web, image: nginx, readinessProbe: {httpGet: {port: 80}}}]}`)
		b.pod("backend", `{containers: [{name: app, image: ragatzino/backend-demo-conception-logicielle, readinessProbe: {httpGet: {path: /health, port: 8000}}}]}`)
		b.pod("shell", `{containers: [{name: app, image: busybox, command: [sh, -c, "echo started; sleep 3600"]}]}`)
		b.pass(time.Second)
		b.want("web", "Running | web:Running ready")
		b.want("backend", "Running | app:Running ready")
		address := b.get("backend").Status.PodIP
		if got, err := b.exec("shell", "app", "wget", "-qO-", "http://"+address+":8000/health"); err != nil || !strings.Contains(got, "healthy") {
			t.Errorf("the back end answers a neighbour %q, %v", got, err)
		}
		if got, err := b.exec("shell", "app", "sh", "-c", "echo note > /tmp/x && cat /tmp/x && hostname"); err != nil || got != "note\nshell\n" {
			t.Errorf("the shell says %q, %v", got, err)
		}
		if got, err := b.logs("shell", corev1.PodLogOptions{}); err != nil || got != "started\n" {
			t.Errorf("the log is %q, %v", got, err)
		}
		b.delete("shell", nil)
		b.pass(31 * time.Second)
		if !b.gone("shell") {
			t.Errorf("the shell is still there: %s", b.summary("shell"))
		}
	})
}
