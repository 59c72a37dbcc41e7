package explain

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// running judges a container that runs: whether its probes succeed.
func (d *diagnosis) running(p *corev1.Pod, c *corev1.Container, status *corev1.ContainerStatus) {
	started := status.State.Running.StartedAt.Time
	switch {
	case c.StartupProbe != nil && !deref(status.Started):
		d.probe(p, c, status, c.StartupProbe, "Startup")
	case c.LivenessProbe != nil && d.unhealthy(p, c.Name, "Liveness") != nil && !eventTime(d.unhealthy(p, c.Name, "Liveness")).Before(started):
		d.probe(p, c, status, c.LivenessProbe, "Liveness")
	case c.ReadinessProbe != nil && !status.Ready:
		d.probe(p, c, status, c.ReadinessProbe, "Readiness")
	}
	if t := status.LastTerminationState.Terminated; t != nil && status.RestartCount > 0 {
		d.add(Notice, "RestartedBefore", p, "container", c.Name, "restarts", status.RestartCount, "exitCode", t.ExitCode,
			"reason", t.Reason, "finished", clock(t.FinishedAt.Time))
	}
}

// probe tells what a probe asks, and what came back.
func (d *diagnosis) probe(p *corev1.Pod, c *corev1.Container, status *corev1.ContainerStatus, probe *corev1.Probe, kind string) {
	asked, port := asks(c, probe)
	e := d.unhealthy(p, c.Name, kind)
	if e == nil {
		d.add(Waiting, "ProbeNotYet", p, "container", c.Name, "probe", strings.ToLower(kind), "asked", asked,
			"period", max(probe.PeriodSeconds, 1), "delay", probe.InitialDelaySeconds)
		return
	}
	_, said, _ := strings.Cut(e.Message, "probe failed: ")
	f := d.add(Problem, kind+"ProbeFailing", p, "container", c.Name, "asked", asked, "answer", said, "times", max(e.Count, 1),
		"restarts", status.RestartCount)
	f.Log = d.log(p, c.Name, false)
	if port == 0 {
		return
	}
	var declared []string
	for _, each := range c.Ports {
		declared = append(declared, fmt.Sprint(each.ContainerPort))
	}
	if strings.Contains(said, "connection refused") {
		f.advise("ProbeRefused", "port", port, "declared", orNone(declared))
	}
}

// livenessKilled tells that the kubelet ended a container because its liveness probe failed.
func (d *diagnosis) livenessKilled(p *corev1.Pod, status corev1.ContainerStatus, t *corev1.ContainerStateTerminated) {
	asked, said := "?", "?"
	if c := containerOf(p, status.Name); c != nil && c.LivenessProbe != nil {
		asked, _ = asks(c, c.LivenessProbe)
	}
	if e := d.unhealthy(p, status.Name, "Liveness"); e != nil {
		_, said, _ = strings.Cut(e.Message, "probe failed: ")
	}
	d.add(Problem, "LivenessKilled", p, "container", status.Name, "asked", asked, "answer", said, "restarts", status.RestartCount,
		"exitCode", t.ExitCode).Log = d.log(p, status.Name, status.State.Terminated == nil)
}

// unhealthy is the last event of a failed probe.
func (d *diagnosis) unhealthy(p *corev1.Pod, container, kind string) *corev1.Event {
	return d.lastEvent(refOf(p), func(e *corev1.Event) bool {
		return strings.HasPrefix(e.Message, kind+" probe") && (e.InvolvedObject.FieldPath == "" || strings.HasSuffix(e.InvolvedObject.FieldPath, "{"+container+"}"))
	}, "Unhealthy")
}

// asks is what a probe does, in words that can be tried by hand, and the port that it goes to.
func asks(c *corev1.Container, probe *corev1.Probe) (string, int32) {
	switch {
	case probe.HTTPGet != nil:
		port := portNumber(c, probe.HTTPGet.Port)
		scheme := strings.ToLower(string(probe.HTTPGet.Scheme))
		if scheme == "" {
			scheme = "http"
		}
		return fmt.Sprintf("GET %s://%s:%d%s", scheme, probe.HTTPGet.Host, port, probe.HTTPGet.Path), port
	case probe.TCPSocket != nil:
		port := portNumber(c, probe.TCPSocket.Port)
		return fmt.Sprintf("tcp :%d", port), port
	case probe.GRPC != nil:
		return fmt.Sprintf("grpc :%d", probe.GRPC.Port), probe.GRPC.Port
	case probe.Exec != nil:
		return strings.Join(probe.Exec.Command, " "), 0
	}
	return "?", 0
}

func portNumber(c *corev1.Container, port intstr.IntOrString) int32 {
	if port.Type == intstr.Int {
		return port.IntVal
	}
	for _, each := range c.Ports {
		if each.Name == port.StrVal {
			return each.ContainerPort
		}
	}
	return 0
}

func orNone(texts []string) string {
	if len(texts) == 0 {
		return "—"
	}
	return strings.Join(texts, ", ")
}
