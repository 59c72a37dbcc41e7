package docker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/strslice"

	"kubette/kubelet/runtime"
)

// Logs are kept by the engine, as long as a kubelet keeps them by default.
const logSize, logFiles = "10m", "5"

// CreateContainer implements runtime.Runtime.
func (n *Node) CreateContainer(ctx context.Context, sandbox string, config *runtime.ContainerConfig) (string, error) {
	if err := n.checkUser(ctx, config); err != nil {
		return "", err
	}
	host, err := n.hostConfig(ctx, sandbox, config)
	if err != nil {
		return "", fmt.Errorf("prepare the container %s: %w", config.Name, err)
	}
	name := containerName(n.engine.config.Name, config.PodNamespace, config.PodName, config.Name, config.PodUID, config.Attempt)
	id, err := n.engine.create(ctx, name, n.containerConfig(sandbox, config), host)
	if err != nil {
		return "", fmt.Errorf("create the container %s: %w", config.Name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.containers[id] = sandbox
	return id, nil
}

// containerConfig is what runs. The engine treats command and arguments as Kubernetes does: a command replaces the
// image's entry point and its arguments, arguments alone replace only the image's arguments.
func (n *Node) containerConfig(sandbox string, config *runtime.ContainerConfig) *container.Config {
	env := make([]string, len(config.Env))
	for i, variable := range config.Env {
		env[i] = variable.Name + "=" + variable.Value
	}
	return &container.Config{
		Image: config.ImageID, Entrypoint: strslice.StrSlice(config.Command), Cmd: strslice.StrSlice(config.Args),
		Env: env, WorkingDir: config.WorkingDir, User: config.Security.User,
		OpenStdin: config.Stdin, StdinOnce: config.StdinOnce, Tty: config.TTY,
		Labels: n.containerLabels(sandbox, config),
		// The kubelet probes; a check of the image's own would only cost.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
}

func (n *Node) hostConfig(ctx context.Context, sandbox string, config *runtime.ContainerConfig) (*container.HostConfig, error) {
	security := config.Security
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode("container:" + sandbox),
		IpcMode:        container.IpcMode("container:" + sandbox),
		ReadonlyRootfs: security.ReadOnlyRoot,
		Privileged:     security.Privileged,
		CapAdd:         capabilities(security.AddCapabilities),
		CapDrop:        capabilities(security.DropCapabilities),
		LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logSize, "max-file": logFiles}},
		Resources:      limits(config.Resources),
	}
	if known := n.known(sandbox); known == nil {
		return nil, fmt.Errorf("sandbox %s: %w", short(sandbox), runtime.ErrNotFound)
	} else if known.shared {
		host.PidMode = container.PidMode("container:" + sandbox)
	} else if config.Target != "" {
		host.PidMode = container.PidMode("container:" + config.Target)
	}
	for _, group := range security.Groups {
		host.GroupAdd = append(host.GroupAdd, strconv.FormatInt(group, 10))
	}
	if slices.ContainsFunc(n.engine.info.SecurityOptions, func(on string) bool { return strings.HasPrefix(on, "name=selinux") }) {
		host.SecurityOpt = append(host.SecurityOpt, "label=disable") // or the cluster's volume cannot be read
	}
	if security.NoPrivilegeEscalation {
		host.SecurityOpt = append(host.SecurityOpt, "no-new-privileges")
	}
	var err error
	host.Binds, host.Mounts, err = n.mounts(ctx, config)
	return host, err
}

// capabilities are named by Kubernetes without the prefix CAP_, as by the engine; a prefix is tolerated.
func capabilities(names []string) []string {
	all := slices.Clone(names)
	for i, name := range all {
		all[i] = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	}
	return all
}

// limits are a container's resources in the engine's terms. Swap is not used, so that memory means memory.
func limits(resources runtime.Resources) container.Resources {
	result := container.Resources{
		NanoCPUs: resources.CPUMilli * 1e6, Memory: resources.MemoryBytes, MemorySwap: resources.MemoryBytes,
	}
	if resources.CPURequestMilli > 0 {
		result.CPUShares = max(2, resources.CPURequestMilli*1024/1000)
	}
	if resources.PIDs > 0 {
		result.PidsLimit = &resources.PIDs
	}
	return result
}

// checkUser refuses a container that must not run as root and would.
func (n *Node) checkUser(ctx context.Context, config *runtime.ContainerConfig) error {
	if !config.Security.RunAsNonRoot {
		return nil
	}
	user, _, _ := strings.Cut(config.Security.User, ":")
	if user == "" {
		image, err := n.ImageStatus(ctx, config.ImageID)
		if err != nil {
			return err
		}
		user, _, _ = strings.Cut(image.User, ":")
	}
	switch _, err := strconv.ParseInt(user, 10, 64); {
	case user == "" || user == "0" || user == "root":
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", config.PodName+"_"+config.PodNamespace+"("+config.PodUID+")", config.Name)
	case err != nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)", user, config.PodName+"_"+config.PodNamespace+"("+config.PodUID+")", config.Name)
	}
	return nil
}

// StartContainer implements runtime.Runtime. The engine keeps why a start failed; ListContainers returns it.
func (n *Node) StartContainer(ctx context.Context, id string) error {
	n.mu.Lock()
	sandbox, ok := n.containers[id]
	delete(n.containers, id)
	n.mu.Unlock()
	if !ok {
		details, err := n.engine.inspect(ctx, id)
		if err != nil {
			return err
		}
		sandbox = details.Config.Labels[labelSandbox]
	}
	if err := n.joinable(ctx, sandbox); err != nil {
		return err
	}
	err := n.engine.startContainer(ctx, id)
	n.engine.forget(id)
	return err
}

// startContainer has the engine start a container. Only some start at once: each takes a processor for a good while, and
// a hundred at once would all be late.
func (e *Engine) startContainer(ctx context.Context, id string) error {
	select {
	case e.starts <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.starts }()
	return e.call(ctx, startTimeout, func(ctx context.Context) error {
		return e.api.ContainerStart(ctx, id, container.StartOptions{})
	})
}

// StopContainer implements runtime.Runtime. A pod's sandbox is left alone.
func (n *Node) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	if grace <= 0 {
		return n.kill(ctx, id)
	}
	// Whole seconds are all that the engine takes; a pause would keep the signal from arriving.
	seconds := int((grace + time.Second - 1) / time.Second)
	n.unpause(ctx, id)
	err := n.engine.call(ctx, grace+startTimeout, func(ctx context.Context) error {
		return n.engine.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
	})
	if isGone(err) {
		return nil
	}
	return err
}

// kill ends a container at once, and waits until it has ended. One that is not there or does not run is no error.
func (n *Node) kill(ctx context.Context, id string) error {
	err := n.engine.call(ctx, startTimeout, func(ctx context.Context) error {
		err := n.engine.api.ContainerKill(ctx, id, "SIGKILL")
		if err != nil && !isConflict(err) { // a conflict: it does not run
			return err
		}
		ended, failed := n.engine.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
		select {
		case <-ended:
			return nil
		case err := <-failed:
			return err
		}
	})
	if isGone(err) {
		return nil
	}
	return err
}

func (n *Node) unpause(ctx context.Context, id string) {
	if details, err := n.engine.inspect(ctx, id); err == nil && details.State.Paused {
		n.engine.call(ctx, callTimeout, func(ctx context.Context) error { return n.engine.api.ContainerUnpause(ctx, id) })
	}
}

// RemoveContainer implements runtime.Runtime.
func (n *Node) RemoveContainer(ctx context.Context, id string) error {
	n.mu.Lock()
	delete(n.containers, id)
	n.mu.Unlock()
	return n.engine.remove(ctx, id)
}

// UpdateContainerResources implements runtime.Runtime.
func (n *Node) UpdateContainerResources(ctx context.Context, id string, resources runtime.Resources) error {
	err := n.engine.call(ctx, callTimeout, func(ctx context.Context) error {
		_, err := n.engine.api.ContainerUpdate(ctx, id, container.UpdateConfig{Resources: limits(resources)})
		return err
	})
	if err != nil {
		return fmt.Errorf("change the resources of the container %s: %w", short(id), err)
	}
	return nil
}
