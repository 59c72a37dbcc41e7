package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"kubette/kubelet/runtime"
)

// sandbox is what a node knows of a pod's sandbox beyond its labels.
type sandbox struct {
	address   netip.Addr
	shared    bool            // containers share its process namespace
	described runtime.Sandbox // for as long as it is being started
	ready     chan struct{}   // closed when its network is made, or err is set
	err       error
	// started is when its process started, in the engine's words, once that is known. A process that was started again has
	// no network, so nothing may join it.
	started atomic.Value
}

// same says whether the process is still the one whose network was made.
func (s *sandbox) same(state *container.State) bool {
	started, known := s.started.Load().(string)
	return state.Running && (!known || started == state.StartedAt)
}

// RunPodSandbox implements runtime.Runtime. It returns as soon as the sandbox has an identifier and an address; the
// process is started and the network made while the kubelet prepares the pod's containers, and StartContainer waits for
// it. An error shows there, and as a sandbox that is not ready.
func (n *Node) RunPodSandbox(ctx context.Context, config *runtime.SandboxConfig) (string, error) {
	if err := n.adopt(ctx); err != nil {
		return "", err
	}
	made := &sandbox{ready: make(chan struct{}), shared: config.ShareProcesses}
	if !config.HostNetwork {
		address, err := n.addresses.take()
		if err != nil {
			return "", err
		}
		made.address = address
	}
	name := containerName(n.engine.config.Name, config.Namespace, config.Name, "POD", config.UID, config.Attempt)
	prepared := n.sandboxConfig(config, made.address)
	id, err := n.engine.createWorker(ctx, name, prepared, n.sandboxHost(config, made.address), true)
	if err != nil {
		n.addresses.free(made.address)
		return "", fmt.Errorf("make the sandbox of the pod %s/%s: %w", config.Namespace, config.Name, err)
	}
	made.described = describeSandbox(id, prepared.Labels, time.Now(), true)
	n.mu.Lock()
	n.sandboxes[id] = made
	n.mu.Unlock()
	n.engine.start(func(ctx context.Context) {
		made.err = n.launch(ctx, id, config, made.address)
		close(made.ready)
		if details, err := n.engine.inspect(ctx, id); err == nil {
			made.started.Store(details.State.StartedAt)
		}
	})
	return id, nil
}

func (n *Node) sandboxConfig(config *runtime.SandboxConfig, address netip.Addr) *container.Config {
	labels := n.sandboxLabels(config)
	if address.IsValid() {
		labels[labelAddress] = address.String()
	}
	return &container.Config{Hostname: config.Hostname, Labels: labels}
}

// sandboxHost is how the sandbox' process runs: in the host's network at first, with what it needs to leave it. The
// engine writes the pod's /etc/hosts, /etc/resolv.conf and /etc/hostname, and mounts them into whatever joins.
func (n *Node) sandboxHost(config *runtime.SandboxConfig, address netip.Addr) *container.HostConfig {
	host := &container.HostConfig{
		NetworkMode: "host",
		IpcMode:     "shareable",
		CapDrop:     []string{"ALL"},
		DNS:         config.DNS.Servers, DNSSearch: config.DNS.Searches, DNSOptions: config.DNS.Options,
		Mounts:  n.engine.memory.mounts(config.UID),
		Sysctls: map[string]string{},
	}
	if n.engine.remapped() {
		host.UsernsMode = "host"
	}
	if len(host.DNS) > 0 && len(host.DNSSearch) == 0 {
		host.DNSSearch = []string{"."} // or the engine takes those of its machine
	}
	if address.IsValid() {
		host.CapAdd = []string{"SYS_ADMIN", "NET_ADMIN"}
		host.ExtraHosts = append(host.ExtraHosts, hostLine(address.String(), hostNames(config)))
	}
	for _, entry := range config.Hosts {
		host.ExtraHosts = append(host.ExtraHosts, hostLine(entry.Address, entry.Names))
	}
	for name, value := range config.Sysctls {
		if !strings.HasPrefix(name, "net.") { // those of the network are set in it
			host.Sysctls[name] = value
		}
	}
	return host
}

// hostNames are the pod's own, the fully qualified one first, which makes it the one that `hostname -f` prints.
func hostNames(config *runtime.SandboxConfig) []string {
	if config.Domain == "" {
		return []string{config.Hostname}
	}
	return []string{config.Hostname + "." + config.Domain, config.Hostname}
}

// hostLine makes one line of /etc/hosts: the engine separates name and address at the first colon.
func hostLine(address string, names []string) string {
	return strings.Join(names, "\t") + ":" + address
}

// launch starts a sandbox' process and makes the pod's network.
func (n *Node) launch(ctx context.Context, id string, config *runtime.SandboxConfig, address netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	worker, err := n.engine.launchWorker(ctx, id)
	if err != nil {
		return fmt.Errorf("start the sandbox of the pod %s/%s: %w", config.Namespace, config.Name, err)
	}
	defer worker.close()
	if address.IsValid() {
		sysctls := maps.Clone(config.Sysctls)
		maps.DeleteFunc(sysctls, func(name, _ string) bool { return !strings.HasPrefix(name, "net.") })
		network := n.engine.network
		err = worker.wire(ctx, podNetwork{
			bridge: network.Bridge, outside: "kb" + short(id), address: address, prefix: network.Prefix.Bits(),
			gateway: network.Gateway, mtu: uint32(network.MTU), sysctls: sysctls,
		})
	} else {
		_, err = worker.do(ctx, call{what: "close", number: sysClose, args: []argument{number(0)}})
	}
	if err != nil {
		return fmt.Errorf("make the network of the pod %s/%s: %w", config.Namespace, config.Name, err)
	}
	return nil
}

// joinable waits until containers may join a sandbox.
func (n *Node) joinable(ctx context.Context, id string) error {
	if err := n.adopt(ctx); err != nil {
		return err
	}
	known := n.known(id)
	if known == nil {
		return fmt.Errorf("sandbox %s: %w", short(id), runtime.ErrNotFound)
	}
	select {
	case <-known.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, settled := known.started.Load().(string); known.err != nil || !settled { // it started just now
		return known.err
	}
	details, err := n.engine.inspect(ctx, id)
	if err != nil {
		return err
	}
	if !known.same(details.State) {
		return fmt.Errorf("the pod's sandbox %s has ended", short(id))
	}
	return nil
}

// ListPodSandboxes implements runtime.Runtime.
func (n *Node) ListPodSandboxes(ctx context.Context) ([]runtime.Sandbox, error) {
	if err := n.adopt(ctx); err != nil {
		return nil, err
	}
	there, err := n.engine.list(ctx, n.mine(roleSandbox)...)
	if err != nil {
		return nil, err
	}
	sandboxes := make([]runtime.Sandbox, 0, len(there))
	for _, summary := range there {
		ready := n.isReady(ctx, summary.ID, summary.State == container.StateRunning || summary.State == container.StatePaused)
		sandboxes = append(sandboxes, describeSandbox(summary.ID, summary.Labels, time.Unix(summary.Created, 0), ready))
	}
	return sandboxes, nil
}

// PodSandbox returns one sandbox, which is cheaper than to look for it among all.
func (n *Node) PodSandbox(ctx context.Context, id string) (runtime.Sandbox, error) {
	if err := n.adopt(ctx); err != nil {
		return runtime.Sandbox{}, err
	}
	if known := n.known(id); known != nil {
		select {
		case <-known.ready:
		default:
			return known.described, nil
		}
	}
	details, err := n.engine.inspect(ctx, id)
	if err != nil {
		return runtime.Sandbox{}, err
	}
	return describeSandbox(id, details.Config.Labels, moment(details.Created), n.isReady(ctx, id, details.State.Running)), nil
}

func describeSandbox(id string, labels map[string]string, created time.Time, ready bool) runtime.Sandbox {
	address, _ := netip.ParseAddr(labels[labelAddress]) // none on the host's network
	return runtime.Sandbox{
		ID: id, Namespace: labels[labelNamespace], Name: labels[labelPod], UID: labels[labelUID],
		Attempt: attemptOf(labels), Address: address, CreatedAt: created, Ready: ready,
	}
}

// isReady says whether a sandbox is there for containers, or will be in a moment.
func (n *Node) isReady(ctx context.Context, id string, running bool) bool {
	known := n.known(id)
	if known == nil {
		return false
	}
	select {
	case <-known.ready:
	default:
		return true
	}
	if known.err != nil || !running {
		return false
	}
	details, err := n.engine.inspect(ctx, id)
	return err == nil && known.same(details.State)
}

// adopt takes over, once, the sandboxes of an earlier run. Its proof that a sandbox was finished is a container that
// started in it; one that has none is left unknown, which makes it not ready, and the kubelet replaces it.
func (n *Node) adopt(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.adopted {
		return nil
	}
	there, err := n.engine.list(ctx, n.mine(roleSandbox)...)
	if err != nil {
		return err
	}
	joined, err := n.engine.list(ctx, n.mine(roleContainer)...)
	if err != nil {
		return err
	}
	lastStart := map[string]time.Time{} // of a sandbox' containers
	for _, summary := range joined {
		if summary.State == container.StateCreated {
			continue
		}
		details, err := n.engine.inspect(ctx, summary.ID)
		if err != nil && !isGone(err) {
			return err
		}
		if err != nil {
			continue
		}
		if id, started := summary.Labels[labelSandbox], moment(details.State.StartedAt); started.After(lastStart[id]) {
			lastStart[id] = started
		}
	}
	for _, summary := range there {
		address, err := netip.ParseAddr(summary.Labels[labelAddress])
		if err == nil {
			n.addresses.keep(address)
		}
		details, err := n.engine.inspect(ctx, summary.ID)
		if err != nil && !isGone(err) {
			return err
		}
		if err == nil && lastStart[summary.ID].After(moment(details.State.StartedAt)) {
			adopted := &sandbox{address: address, shared: summary.Labels[labelShared] == "true", ready: make(chan struct{})}
			adopted.started.Store(details.State.StartedAt)
			close(adopted.ready)
			n.sandboxes[summary.ID] = adopted
		}
	}
	n.adopted = true
	return nil
}

// known is what this process knows of a sandbox, or nil.
func (n *Node) known(id string) *sandbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sandboxes[id]
}

// StopPodSandbox implements runtime.Runtime.
func (n *Node) StopPodSandbox(ctx context.Context, id string) error {
	_, joined, err := n.members(ctx, id)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, summary := range joined {
		if summary.State != container.StateCreated && summary.State != container.StateExited {
			group.Go(func() error { return n.kill(ctx, summary.ID) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return n.kill(ctx, id)
}

// members returns all containers of a sandbox' pod, and those of them that joined the sandbox: the pod's own, and helpers
// of connections into it. A sandbox that is being started is waited for: only then it can be stopped.
func (n *Node) members(ctx context.Context, id string) (pod, joined []container.Summary, err error) {
	if err := n.adopt(ctx); err != nil {
		return nil, nil, err
	}
	if known := n.known(id); known != nil {
		select {
		case <-known.ready:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	details, err := n.engine.inspect(ctx, id)
	if isGone(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	pod, err = n.engine.list(ctx, labelCluster+"="+n.engine.config.Name, labelUID+"="+details.Config.Labels[labelUID])
	for _, summary := range pod {
		if summary.Labels[labelSandbox] == id {
			joined = append(joined, summary)
		}
	}
	return pod, joined, err
}

// RemovePodSandbox implements runtime.Runtime.
func (n *Node) RemovePodSandbox(ctx context.Context, id string) error {
	pod, joined, err := n.members(ctx, id)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, summary := range joined {
		group.Go(func() error { return n.engine.remove(ctx, summary.ID) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := n.engine.remove(ctx, id); err != nil {
		return err
	}
	n.mu.Lock()
	delete(n.sandboxes, id)
	n.mu.Unlock()
	uid, others := "", 0
	for _, summary := range pod {
		switch {
		case summary.ID == id:
			uid = summary.Labels[labelUID]
			if address, err := netip.ParseAddr(summary.Labels[labelAddress]); err == nil {
				n.addresses.free(address)
			}
		case summary.Labels[labelRole] == roleSandbox:
			others++
		}
	}
	if uid != "" && others == 0 { // the volumes are the pod's, and another sandbox of it may be in use
		return n.RemoveVolumes(ctx, uid)
	}
	return nil
}
