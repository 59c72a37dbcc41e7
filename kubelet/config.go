package kubelet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// containerConfig turns a container's spec into what the runtime is asked for. Its errors are what a user reads as
// CreateContainerConfigError.
func (s *session) containerConfig(ctx context.Context, w *worker, pod *corev1.Pod, sandbox *runtime.Sandbox, l launch, image runtime.ImageStatus) (*runtime.ContainerConfig, error) {
	spec := l.spec
	if err := checkUser(pod, spec, image.User); err != nil {
		return nil, err
	}
	env, err := s.environment(ctx, w, pod, spec, sandbox)
	if err != nil {
		return nil, err
	}
	mounts, err := s.mounts(pod, spec, env)
	if err != nil {
		return nil, err
	}
	lookup := lookupIn(env)
	config := &runtime.ContainerConfig{
		PodNamespace: pod.Namespace, PodName: pod.Name, PodUID: string(pod.UID), Name: spec.Name, Attempt: l.attempt,
		Image: spec.Image, ImageID: image.ID, Command: expandAll(spec.Command, lookup), Args: expandAll(spec.Args, lookup),
		WorkingDir: spec.WorkingDir, Env: env, Mounts: mounts, Stdin: spec.Stdin, StdinOnce: spec.StdinOnce, TTY: spec.TTY,
		Resources: limitsOf(pod, &spec.Resources), Security: securityOf(pod, spec), TerminationLog: spec.TerminationMessagePath,
	}
	return config, nil
}

func expandAll(texts []string, lookup func(string) (string, bool)) []string {
	if texts == nil {
		return nil
	}
	expanded := make([]string, len(texts))
	for i, text := range texts {
		expanded[i] = expand(text, lookup)
	}
	return expanded
}

func lookupIn(env []runtime.EnvVar) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := len(env) - 1; i >= 0; i-- {
			if env[i].Name == name {
				return env[i].Value, true
			}
		}
		return "", false
	}
}

// limitsOf are the numbers that a runtime enforces. A container without a limit of its own may use all that its pod has.
func limitsOf(pod *corev1.Pod, resources *corev1.ResourceRequirements) runtime.Resources {
	limits := runtime.Resources{
		CPUMilli: resources.Limits.Cpu().MilliValue(), MemoryBytes: resources.Limits.Memory().Value(),
		CPURequestMilli: resources.Requests.Cpu().MilliValue(),
	}
	if whole := pod.Spec.Resources; whole != nil {
		if limits.CPUMilli == 0 {
			limits.CPUMilli = whole.Limits.Cpu().MilliValue()
		}
		if limits.MemoryBytes == 0 {
			limits.MemoryBytes = whole.Limits.Memory().Value()
		}
	}
	if limits.CPURequestMilli == 0 {
		limits.CPURequestMilli = limits.CPUMilli
	}
	return limits
}

// securityOf merges the container's security context over the pod's.
func securityOf(pod *corev1.Pod, spec *corev1.Container) runtime.Security {
	var security runtime.Security
	var uid, gid *int64
	if p := pod.Spec.SecurityContext; p != nil {
		uid, gid = p.RunAsUser, p.RunAsGroup
		security.RunAsNonRoot = valueOr(p.RunAsNonRoot, false)
		security.Groups = append(security.Groups, p.SupplementalGroups...)
		if p.FSGroup != nil {
			security.Groups = append(security.Groups, *p.FSGroup)
		}
	}
	if c := spec.SecurityContext; c != nil {
		if c.RunAsUser != nil {
			uid = c.RunAsUser
		}
		if c.RunAsGroup != nil {
			gid = c.RunAsGroup
		}
		security.RunAsNonRoot = valueOr(c.RunAsNonRoot, security.RunAsNonRoot)
		security.ReadOnlyRoot = valueOr(c.ReadOnlyRootFilesystem, false)
		security.Privileged = valueOr(c.Privileged, false)
		security.NoPrivilegeEscalation = !valueOr(c.AllowPrivilegeEscalation, true)
		if c.Capabilities != nil {
			for _, each := range c.Capabilities.Add {
				security.AddCapabilities = append(security.AddCapabilities, string(each))
			}
			for _, each := range c.Capabilities.Drop {
				security.DropCapabilities = append(security.DropCapabilities, string(each))
			}
		}
	}
	if uid != nil {
		security.User = strconv.FormatInt(*uid, 10)
	}
	if gid != nil {
		if security.User == "" {
			security.User = "0"
		}
		security.User += ":" + strconv.FormatInt(*gid, 10)
	}
	return security
}

// checkUser holds a container that must not run as root to that, as far as the identity is known.
func checkUser(pod *corev1.Pod, spec *corev1.Container, imageUser string) error {
	security := securityOf(pod, spec)
	if !security.RunAsNonRoot {
		return nil
	}
	user, _, _ := strings.Cut(security.User, ":")
	if user != "" {
		if user == "0" {
			return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", nameOf(pod), spec.Name)
		}
		return nil
	}
	user, _, _ = strings.Cut(imageUser, ":")
	if user == "" {
		user = "0"
	}
	number, err := strconv.ParseInt(user, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)",
			imageUser, nameOf(pod), spec.Name)
	case number == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", nameOf(pod), spec.Name)
	}
	return nil
}

// mounts says which volumes a container sees where.
func (s *session) mounts(pod *corev1.Pod, spec *corev1.Container, env []runtime.EnvVar) ([]runtime.Mount, error) {
	var mounts []runtime.Mount
	for _, m := range spec.VolumeMounts {
		mount := runtime.Mount{Volume: m.Name, SubPath: m.SubPath, Path: m.MountPath, ReadOnly: m.ReadOnly}
		if !strings.HasPrefix(mount.Path, "/") {
			mount.Path = "/" + mount.Path
		}
		if m.SubPathExpr != "" {
			sub, err := expandStrictly(m.SubPathExpr, lookupIn(env))
			if err != nil {
				return nil, err
			}
			mount.SubPath = sub
		}
		if mount.SubPath != "" && (strings.HasPrefix(mount.SubPath, "/") || hasDotDot(mount.SubPath)) {
			return nil, fmt.Errorf("subPath %q of volume mount %q must be a relative path without '..'", mount.SubPath, m.Name)
		}
		volume := volumeOf(pod, m.Name)
		if volume == nil {
			return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, spec.Name)
		}
		if volume.HostPath != nil {
			mount.Volume, mount.HostPath = "", volume.HostPath.Path
		}
		if projects(volume) {
			mount.ReadOnly = true
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

func hasDotDot(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func volumeOf(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}

// expand replaces $(NAME) by a variable's value; $$ is a dollar, and what names no variable stays as it is.
func expand(text string, lookup func(string) (string, bool)) string {
	expanded, _ := expandWith(text, lookup)
	return expanded
}

// expandStrictly is expand for a path: a variable that is not there is an error.
func expandStrictly(text string, lookup func(string) (string, bool)) (string, error) {
	expanded, missing := expandWith(text, lookup)
	if len(missing) > 0 {
		return "", fmt.Errorf("missing value for %q", missing[0])
	}
	if expanded == "" {
		return "", errors.New("subPathExpr expands to an empty path")
	}
	return expanded, nil
}

func expandWith(text string, lookup func(string) (string, bool)) (string, []string) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	var missing []string
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		switch text[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			name, _, closed := strings.Cut(text[i+2:], ")")
			if !closed {
				b.WriteString("$(")
				i++
				continue
			}
			if value, ok := lookup(name); ok {
				b.WriteString(value)
			} else {
				missing = append(missing, name)
				b.WriteString("$(" + name + ")")
			}
			i += len(name) + 2
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), missing
}
