package kubelet

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// plan is what must be done for a pod now: the difference between its spec and what the runtime says.
type plan struct {
	// sandbox asks for a new sandbox; what ran in an old one is killed first.
	sandbox bool
	kill    []victim
	start   []launch
	resize  []resizing
	// reset asks for all containers to be removed, so that the pod starts over; source is whose end began that, if known.
	reset  bool
	source *corev1.Container
	wait   []waiting
	again  time.Duration // when to look again though nothing happens, 0 for never
}

// waiting is a container that would be started if it were not too soon, for the trace.
type waiting struct {
	container, why string
	left           time.Duration
}

func (p *plan) hold(container, why string, left time.Duration) {
	p.wait = append(p.wait, waiting{container, why, left})
	p.again = soonest(p.again, left)
}

// victim is a container to be killed.
type victim struct {
	container runtime.Container
	spec      *corev1.Container // nil when the pod no longer says
	message   string            // the event's text
	grace     *int64            // seconds, instead of the pod's own
}

// launch is a container to be started.
type launch struct {
	spec    *corev1.Container
	init    bool
	debug   bool   // an ephemeral container
	target  string // the container whose processes it sees; "" for none but its own
	attempt uint32
}

func (p *plan) empty() bool {
	return !p.sandbox && !p.reset && len(p.kill) == 0 && len(p.start) == 0 && len(p.resize) == 0
}

// plan compares. It changes nothing but the waiting reasons that come out of a back-off; the worker's lock is held.
func (s *session) plan(w *worker, pod *corev1.Pod, seen *observation, now time.Time) *plan {
	p := &plan{}
	if !seen.up() {
		s.planSandbox(p, w, pod, seen, now)
		return p
	}
	if s.planRestartAll(p, w, pod, seen, now) {
		return p
	}
	for i := range pod.Spec.EphemeralContainers {
		spec := (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if seen.latest(spec.Name) == nil {
			s.planStart(p, w, pod, seen, launch{spec: spec, debug: true, target: pod.Spec.EphemeralContainers[i].TargetContainerName}, now)
		}
	}
	if !s.planInit(p, w, pod, seen, now) {
		return p
	}
	for i := range pod.Spec.Containers {
		s.planContainer(p, w, pod, seen, launch{spec: &pod.Spec.Containers[i]}, now)
	}
	p.resize = s.planResize(w, pod, seen)
	return p
}

// planSandbox decides about a pod whose sandbox is missing or has stopped: it starts over, with its init containers,
// unless all that it was for is done.
func (s *session) planSandbox(p *plan, w *worker, pod *corev1.Pod, seen *observation, now time.Time) {
	for name, list := range seen.containers {
		if list[0].State == runtime.Running {
			p.kill = append(p.kill, victim{container: list[0], spec: containerOf(pod, name),
				message: "Pod sandbox changed, it will be killed and re-created."})
		}
	}
	wanted := seen.sandbox == nil
	for i := range pod.Spec.Containers {
		latest := seen.latest(pod.Spec.Containers[i].Name)
		if latest == nil || latest.State != runtime.Exited || shouldRestart(pod, &pod.Spec.Containers[i], latest.ExitCode) {
			wanted = true
		}
	}
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever && seen.sandbox != nil && len(seen.containers) > 0 {
		wanted = false // a pod that may not restart is not begun again
	}
	if !wanted {
		return
	}
	if wait := max(w.mountRetry.remaining(now), w.boxRetry.remaining(now)); wait > 0 {
		p.again = soonest(p.again, wait)
		return
	}
	p.sandbox = true
	if len(pod.Spec.InitContainers) > 0 {
		s.planStart(p, w, pod, seen, launch{spec: &pod.Spec.InitContainers[0], init: true}, now)
		return
	}
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		if latest := seen.latest(spec.Name); latest != nil && latest.State == runtime.Exited && !shouldRestart(pod, spec, latest.ExitCode) {
			continue
		}
		s.planStart(p, w, pod, seen, launch{spec: spec}, now)
	}
}

// planInit walks the init containers in their order, and says whether the pod is initialised. A sidecar (an init container
// that always restarts) lets the next one start as soon as it has started itself.
func (s *session) planInit(p *plan, w *worker, pod *corev1.Pod, seen *observation, now time.Time) bool {
	begun := initialised(pod, seen)
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		latest := seen.latest(spec.Name)
		inSandbox := latest != nil && latest.SandboxID == seen.sandbox.ID
		switch {
		case isSidecar(spec):
			s.planContainer(p, w, pod, seen, launch{spec: spec, init: true}, now)
			if !begun && !(inSandbox && latest.State == runtime.Running && w.hasStarted(spec, latest.ID)) {
				return false
			}
		case begun:
		case latest == nil || !inSandbox || latest.State == runtime.Created:
			s.planStart(p, w, pod, seen, launch{spec: spec, init: true}, now)
			return false
		case latest.State == runtime.Running:
			return false
		case latest.ExitCode != 0:
			if shouldRestart(pod, spec, latest.ExitCode) {
				s.planStart(p, w, pod, seen, launch{spec: spec, init: true}, now)
			}
			return false
		}
	}
	return true
}

// initialised says that a regular container was made in this sandbox, so every init container has done its work, even if
// its record is gone.
func initialised(pod *corev1.Pod, seen *observation) bool {
	for i := range pod.Spec.Containers {
		if latest := seen.latest(pod.Spec.Containers[i].Name); latest != nil && seen.up() && latest.SandboxID == seen.sandbox.ID {
			return true
		}
	}
	return false
}

// planContainer decides about one container of an initialised pod, or a sidecar.
func (s *session) planContainer(p *plan, w *worker, pod *corev1.Pod, seen *observation, l launch, now time.Time) {
	latest := seen.latest(l.spec.Name)
	switch {
	case latest == nil || latest.State == runtime.Created:
		s.planStart(p, w, pod, seen, l, now)
	case latest.State == runtime.Exited:
		if latest.SandboxID == seen.sandbox.ID || l.init {
			if shouldRestart(pod, l.spec, latest.ExitCode) || l.init && isSidecar(l.spec) {
				s.planStart(p, w, pod, seen, l, now)
			}
		} else if shouldRestart(pod, l.spec, latest.ExitCode) || pod.Spec.RestartPolicy != corev1.RestartPolicyNever && latest.ExitCode != 0 {
			s.planStart(p, w, pod, seen, l, now)
		}
	default:
		s.planRunning(p, w, pod, l, latest)
	}
}

// planRunning kills a running container that must be replaced. It is started again once it has ended.
func (s *session) planRunning(p *plan, w *worker, pod *corev1.Pod, l launch, latest *runtime.Container) {
	c := w.current(l.spec.Name, latest.ID)
	v := victim{container: *latest, spec: l.spec}
	switch {
	case latest.Image != l.spec.Image:
		v.message = fmt.Sprintf("Container %s definition changed, will be restarted", l.spec.Name)
	case c.unhealthy != nil:
		v.message, v.grace = fmt.Sprintf("Container %s failed %s", l.spec.Name, c.unhealthy.text), c.unhealthy.grace
		if shouldRestart(pod, l.spec, 137) {
			v.message += ", will be restarted"
		}
	case latest.Paused:
		now := int64(0)
		v.message, v.grace = fmt.Sprintf("Container %s was paused from outside, will be restarted", l.spec.Name), &now
	default:
		return
	}
	p.kill = append(p.kill, v)
}

// planStart asks for a container to be started, unless it must wait.
func (s *session) planStart(p *plan, w *worker, pod *corev1.Pod, seen *observation, l launch, now time.Time) {
	c := w.state(l.spec.Name)
	latest := seen.latest(l.spec.Name)
	l.attempt = nextAttempt(pod, latest, l.spec.Name)
	if s.crashWait(p, w, pod, l.spec, latest, now) {
		return
	}
	if wait := s.pullWait(pod, l.spec, c, now); wait > 0 {
		p.hold(l.spec.Name, "ImagePullBackOff", wait)
		return
	}
	if wait := c.retryAt.Sub(now); wait > 0 {
		p.hold(l.spec.Name, c.waiting.Reason, wait)
		return
	}
	p.start = append(p.start, l)
}

// crashWait says whether a container that has ended must wait before it is started again, and tells of it. The lock is held.
func (s *session) crashWait(p *plan, w *worker, pod *corev1.Pod, spec *corev1.Container, latest *runtime.Container, now time.Time) bool {
	if latest == nil || latest.State != runtime.Exited {
		return false
	}
	c := w.state(spec.Name)
	wait := c.restart.remaining(latest.EndedAt, now)
	if wait <= 0 {
		return false
	}
	p.hold(spec.Name, "CrashLoopBackOff", wait)
	message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", c.restart.delay, spec.Name, nameOf(pod))
	if c.waiting == nil || c.waiting.Reason != "CrashLoopBackOff" || c.waiting.Message != message {
		s.event(pod, spec.Name, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s", spec.Name, nameOf(pod))
	}
	c.waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: message}
	return true
}

// nextAttempt counts the restarts: from the runtime's newest container, or from the API when somebody removed that.
func nextAttempt(pod *corev1.Pod, latest *runtime.Container, name string) uint32 {
	if latest != nil && latest.State == runtime.Created {
		return latest.Attempt
	}
	next := uint32(0)
	if latest != nil {
		next = latest.Attempt + 1
	}
	if told := findStatus(&pod.Status, name); told != nil && told.ContainerID != "" {
		next = max(next, uint32(told.RestartCount)+1)
	}
	return next
}

// shouldRestart applies the restart policy of the container, or else the pod's, to an exit code.
func shouldRestart(pod *corev1.Pod, spec *corev1.Container, exitCode int) bool {
	if spec.RestartPolicy != nil {
		if ruleFor(spec, exitCode) != "" { // alone, or with all others
			return true
		}
		return restarts(corev1.RestartPolicy(*spec.RestartPolicy), exitCode)
	}
	policy := pod.Spec.RestartPolicy
	if policy == corev1.RestartPolicyAlways && isInit(pod, spec.Name) {
		policy = corev1.RestartPolicyOnFailure
	}
	return restarts(policy, exitCode)
}

func restarts(policy corev1.RestartPolicy, exitCode int) bool {
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return exitCode != 0
	}
	return true
}

func matches(codes *corev1.ContainerRestartRuleOnExitCodes, exitCode int) bool {
	in := slices.Contains(codes.Values, int32(exitCode))
	return in == (codes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}

// isSidecar: an init container that always restarts.
func isSidecar(spec *corev1.Container) bool {
	return spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func isInit(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return true
		}
	}
	return false
}

// containerOf finds a container of any kind by its name.
func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		}
	}
	return nil
}

// hasStarted says whether a container counts as started: its hook has ended, and its startup probe has succeeded if it has
// one. The lock is held.
func (w *worker) hasStarted(spec *corev1.Container, id string) bool {
	c := w.current(spec.Name, id)
	if spec.StartupProbe != nil && !c.started {
		return false
	}
	return c.postStarted || spec.Lifecycle == nil || spec.Lifecycle.PostStart == nil
}
