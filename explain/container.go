package explain

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// containers judges a pod's containers in the order in which they start.
func (d *diagnosis) containers(p *corev1.Pod) {
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		status := statusOf(p, c.Name)
		if status == nil {
			continue
		}
		before := len(d.findings)
		d.container(p, c, status)
		done := status.State.Terminated != nil && status.State.Terminated.ExitCode == 0 || sidecar && deref(status.Started)
		if !done {
			if len(d.findings) == before && status.State.Running != nil {
				d.add(Waiting, "InitRunning", p, "container", c.Name).Log = d.log(p, c.Name, false)
			}
			return // the others wait for it
		}
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		if status := statusOf(p, c.Name); status != nil {
			d.container(p, c, status)
		}
	}
}

// container judges one container by its state.
func (d *diagnosis) container(p *corev1.Pod, c *corev1.Container, status *corev1.ContainerStatus) {
	switch state := status.State; {
	case state.Waiting != nil:
		d.waiting(p, c, status, state.Waiting)
	case state.Terminated != nil && (state.Terminated.ExitCode != 0 || p.Spec.RestartPolicy == corev1.RestartPolicyAlways && !isInit(p, c.Name)):
		d.ended(p, *status, state.Terminated, "ContainerEnded")
	case state.Running != nil:
		d.running(p, c, status)
	}
}

func isInit(p *corev1.Pod, container string) bool {
	for i := range p.Spec.InitContainers {
		if p.Spec.InitContainers[i].Name == container {
			return true
		}
	}
	return false
}

// waiting judges a container that does not run, by the reason that the kubelet gives.
func (d *diagnosis) waiting(p *corev1.Pod, c *corev1.Container, status *corev1.ContainerStatus, w *corev1.ContainerStateWaiting) {
	switch w.Reason {
	case "ImagePullBackOff", "ErrImagePull", "RegistryUnavailable", "ImageInspectError":
		d.image(p, c, w)
	case "InvalidImageName":
		d.add(Problem, "InvalidImageName", p, "container", c.Name, "image", c.Image, "message", w.Message)
	case "ErrImageNeverPull":
		d.add(Problem, "ImageNeverPull", p, "container", c.Name, "image", c.Image)
	case "CreateContainerConfigError":
		d.configError(p, c, w)
	case "CreateContainerError", "RunContainerError", "StartError":
		d.cannotStart(p, c, w.Message)
	case "CrashLoopBackOff":
		if t := status.LastTerminationState.Terminated; t != nil {
			f := d.ended(p, *status, t, "CrashLoop")
			if f != nil {
				d.nextTry(f, w, t)
			}
			return
		}
		d.add(Problem, "CrashLoopUnknown", p, "container", c.Name, "restarts", status.RestartCount, "message", w.Message)
	case "ContainerCreating", "PodInitializing", "":
		d.creating(p, c)
	default:
		d.add(Problem, "ContainerWaiting", p, "container", c.Name, "reason", w.Reason, "message", w.Message)
	}
}

// imageProblems tell failed pulls apart by what the registry or the engine said.
var imageProblems = []struct {
	reason string
	said   *regexp.Regexp
}{
	{"RegistryUnreachable", regexp.MustCompile(`(?i)no such host|dial tcp|i/o timeout|connection refused|registry is unavailable|cannot be reached|TLS handshake`)},
	{"ImageDenied", regexp.MustCompile(`(?i)unauthorized|authentication required|denied|forbidden|no basic auth`)},
	{"ImageNotFound", regexp.MustCompile(`(?i)not found|manifest unknown|does not exist`)},
}

// image judges an image that cannot be pulled.
func (d *diagnosis) image(p *corev1.Pod, c *corev1.Container, w *corev1.ContainerStateWaiting) {
	said := w.Message
	if e := d.lastEvent(refOf(p), func(e *corev1.Event) bool {
		return strings.HasPrefix(e.Message, "Failed to pull image") && strings.Contains(e.Message, c.Image)
	}, "Failed"); e != nil {
		said = e.Message
	}
	reason := "ImagePullFailed"
	for _, each := range imageProblems {
		if each.said.MatchString(said) {
			reason = each.reason
			break
		}
	}
	d.add(Problem, reason, p, "container", c.Name, "image", c.Image, "message", said)
}

// cannotStart judges a container that the runtime could not start.
func (d *diagnosis) cannotStart(p *corev1.Pod, c *corev1.Container, message string) {
	reason := "CannotStart"
	if noCommand.MatchString(message) {
		reason = "CommandNotFound"
	}
	d.add(Problem, reason, p, "container", c.Name, "command", strings.Join(append(append([]string{}, c.Command...), c.Args...), " "), "message", message)
}

var noCommand = regexp.MustCompile(`(?i)executable file not found|no such file or directory`)

// ended judges how a container ended: other is the reason when nothing more precise is recorded.
func (d *diagnosis) ended(p *corev1.Pod, status corev1.ContainerStatus, t *corev1.ContainerStateTerminated, other string) *Finding {
	reason := other
	killed := d.lastEvent(refOf(p), func(e *corev1.Event) bool {
		return strings.Contains(e.Message, "Container "+status.Name+" failed liveness probe") && !eventTime(e).Before(t.StartedAt.Time)
	}, "Killing")
	switch {
	case t.Reason == "OOMKilled":
		reason = "OutOfMemory"
	case noCommand.MatchString(t.Message) || t.ExitCode == 127:
		reason = "CommandNotFound"
	case t.ExitCode == 126:
		reason = "CommandNotExecutable"
	case killed != nil: // with whatever code the program answered that
		d.livenessKilled(p, status, t)
		return nil
	case t.ExitCode == 0:
		reason = "ProgramEnds"
	case t.ExitCode == 137 && other != "PodFailed":
		reason = "ContainerKilled"
	}
	args := []any{"container", status.Name, "exitCode", t.ExitCode, "restarts", status.RestartCount, "finished", clock(t.FinishedAt.Time), "message", t.Message}
	if c := containerOf(p, status.Name); c != nil {
		args = append(args, "command", strings.Join(append(append([]string{}, c.Command...), c.Args...), " "), "image", c.Image,
			"limit", c.Resources.Limits.Memory().String())
	}
	f := d.add(Problem, reason, p, args...)
	f.Log = d.log(p, status.Name, status.State.Terminated == nil)
	return f
}

var backOff = regexp.MustCompile(`back-off (\S+) restarting`)

// nextTry adds when the kubelet starts the container again, from the back-off that it reports.
func (d *diagnosis) nextTry(f *Finding, w *corev1.ContainerStateWaiting, t *corev1.ContainerStateTerminated) {
	found := backOff.FindStringSubmatch(w.Message)
	if found == nil {
		return
	}
	wait, err := time.ParseDuration(found[1])
	if err != nil {
		return
	}
	next := t.FinishedAt.Add(wait)
	f.Args["backOff"], f.Args["next"] = found[1], clock(next)
	f.Try = append([]Advice{{Key: "NextTry", Args: map[string]any{"backOff": found[1], "next": clock(next),
		"left": max(next.Sub(d.Now).Round(time.Second), 0).String()}}}, f.Try...)
}

// creating judges a container whose surroundings are not there yet.
func (d *diagnosis) creating(p *corev1.Pod, c *corev1.Container) {
	if d.missingReferences(p, nil) > 0 {
		return
	}
	if e := d.lastEvent(refOf(p), nil, "FailedMount", "FailedCreatePodSandBox"); e != nil && e.Type == corev1.EventTypeWarning {
		d.add(Problem, e.Reason, p, "message", e.Message)
		return
	}
	if e := d.lastEvent(refOf(p), func(e *corev1.Event) bool { return strings.Contains(e.Message, `"`+c.Image) }, "Pulling", "Pulled"); e != nil && e.Reason == "Pulling" {
		d.add(Waiting, "ImagePulling", p, "container", c.Name, "image", c.Image, "since", clock(eventTime(e)))
	}
}

func containerOf(p *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// clock is a moment as people read it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.Local().Format(time.TimeOnly)
}
