package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet/runtime"
)

const (
	// statusPeriod is how often the node's status is written though nothing changed; between, the lease is the heartbeat.
	statusPeriod = 5 * time.Minute
	// maxPods is a node's limit unless its capacity says otherwise, as in Kubernetes.
	maxPods = 110
	// maxImages bounds the list of images in the node's status, as in Kubernetes.
	maxImages = 50
)

// nodeStatus keeps the Node object: registers it, and reports its state when that changes.
type nodeStatus struct {
	*Kubelet
	wake chan struct{}

	mu      sync.Mutex
	info    runtime.Info
	problem error // why the runtime does not answer
	images  bool  // the list of images is out of date
	list    []corev1.ContainerImage
	node    *corev1.Node
}

func newNodeStatus(k *Kubelet) *nodeStatus {
	return &nodeStatus{Kubelet: k, wake: make(chan struct{}, 1), images: true}
}

// run registers the node and keeps its status until the context ends.
func (n *nodeStatus) run(ctx context.Context) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := n.sync(ctx, true, true)
		if err == nil {
			break
		}
		slog.Debug("the node is not registered yet", "node", n.config.NodeName, "error", err)
		if !sleep(ctx, wait) {
			return
		}
	}
	ticker := time.NewTicker(statusPeriod)
	defer ticker.Stop()
	for {
		beat := false
		select {
		case <-ticker.C:
			beat = true
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		if err := n.sync(ctx, beat, false); err != nil && ctx.Err() == nil {
			slog.Warn("the node's status could not be written", "node", n.config.NodeName, "error", err)
			if !sleep(ctx, time.Second) {
				return
			}
			n.poke()
		}
	}
}

func (n *nodeStatus) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// runtimeFailed notes whether the runtime answers, and reports it when that has changed.
func (n *nodeStatus) runtimeFailed(err error) {
	n.mu.Lock()
	changed := (err == nil) != (n.problem == nil)
	n.problem = err
	n.mu.Unlock()
	if changed {
		n.poke()
	}
}

// imagesChanged makes the node's list of images be read again.
func (n *nodeStatus) imagesChanged() {
	n.mu.Lock()
	n.images = true
	n.mu.Unlock()
	n.poke()
}

// current is the Node as last written, nil before it is registered.
func (n *nodeStatus) current() *corev1.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.node
}

// sync makes the Node object what it should be. As in Kubernetes a kubelet registers its node when it starts; one that was
// deleted later stays so.
func (n *nodeStatus) sync(ctx context.Context, beat, register bool) error {
	info, err := n.runtime.Info(ctx)
	n.mu.Lock()
	if err == nil {
		n.info = info
	}
	n.mu.Unlock()
	if err != nil && beat {
		n.runtimeFailed(err)
	}
	nodes := client.Of[*corev1.Node](n.client)
	node, err := nodes.Get(ctx, "", n.config.NodeName)
	if apierrors.IsNotFound(err) {
		if !register {
			return nil
		}
		node, err = nodes.Create(ctx, n.fresh())
	}
	if err != nil {
		return fmt.Errorf("register node %s: %w", n.config.NodeName, err)
	}
	if wanted := n.labels(); !contains(node.Labels, wanted) {
		changed := node.DeepCopy()
		if changed.Labels == nil {
			changed.Labels = map[string]string{}
		}
		maps.Copy(changed.Labels, wanted)
		if node, err = nodes.Update(ctx, changed); err != nil {
			return fmt.Errorf("label node %s: %w", n.config.NodeName, err)
		}
	}
	status := n.status(ctx, node, beat)
	if register {
		n.tell("Starting", "Starting kubelet.")
	}
	n.tellChanges(node.Status.Conditions, status.Conditions)
	if !equality.Semantic.DeepEqual(&node.Status, status) {
		changed := *node
		changed.Status = *status
		if node, err = nodes.UpdateStatus(ctx, &changed); err != nil {
			return fmt.Errorf("report node %s: %w", n.config.NodeName, err)
		}
	}
	n.mu.Lock()
	n.node = node
	n.mu.Unlock()
	return nil
}

// tell says something about the node. Its events name it by its name where others have a UID, as Kubernetes' do.
func (n *nodeStatus) tell(reason, text string) {
	n.event(corev1.EventTypeNormal, reason, text)
}

// warn is tell for what is not well.
func (n *nodeStatus) warn(reason, text string) { n.event(corev1.EventTypeWarning, reason, text) }

func (n *nodeStatus) event(kind, reason, text string) {
	name := n.config.NodeName
	n.config.Events.EventRef(corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: types.UID(name)}, kind, reason, "%s", text)
}

// tellChanges says which conditions have changed: "Node worker-1 status is now: NodeReady".
func (n *nodeStatus) tellChanges(before, after []corev1.NodeCondition) {
	for _, c := range after {
		changed := true
		for _, old := range before {
			changed = changed && (old.Type != c.Type || old.Status != c.Status)
		}
		reason := strings.Replace(c.Reason, "KubeletHas", "NodeHas", 1)
		if c.Type == corev1.NodeReady {
			reason = "NodeReady"
			if c.Status != corev1.ConditionTrue {
				reason = "NodeNotReady"
			}
		}
		if changed {
			n.tell(reason, fmt.Sprintf("Node %s status is now: %s", n.config.NodeName, reason))
		}
	}
}

func contains(have, want map[string]string) bool {
	for name, value := range want {
		if have[name] != value {
			return false
		}
	}
	return true
}

// fresh is the Node object as it is first registered.
func (n *nodeStatus) fresh() *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.config.NodeName, Labels: n.labels(), Annotations: n.config.Annotations},
		Spec:       corev1.NodeSpec{Taints: n.config.Taints, ProviderID: "kubette://" + n.config.NodeName},
	}
	if n.config.PodCIDR != "" {
		node.Spec.PodCIDR, node.Spec.PodCIDRs = n.config.PodCIDR, []string{n.config.PodCIDR}
	}
	return node
}

// labels are those that every node has, and the configured ones.
func (n *nodeStatus) labels() map[string]string {
	n.mu.Lock()
	arch := n.info.Architecture
	n.mu.Unlock()
	if arch == "" {
		arch = goruntime.GOARCH
	}
	labels := map[string]string{
		corev1.LabelHostname: n.config.NodeName, corev1.LabelOSStable: "linux", corev1.LabelArchStable: arch,
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": arch,
	}
	maps.Copy(labels, n.config.Labels)
	return labels
}

// capacity is what the node has, and all of it may be given to pods.
func (n *nodeStatus) capacity() corev1.ResourceList {
	n.mu.Lock()
	info := n.info
	n.mu.Unlock()
	capacity := corev1.ResourceList{
		corev1.ResourcePods:             *resource.NewQuantity(maxPods, resource.DecimalSI),
		corev1.ResourceCPU:              *resource.NewQuantity(info.CPUs, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(info.MemoryBytes, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(64<<30, resource.BinarySI),
	}
	maps.Copy(capacity, n.config.Capacity)
	return capacity
}

// status is the node's state now.
func (n *nodeStatus) status(ctx context.Context, node *corev1.Node, beat bool) *corev1.NodeStatus {
	status := node.Status.DeepCopy()
	status.Capacity = n.capacity()
	status.Allocatable = status.Capacity
	status.Addresses = slices.Clone(n.config.Addresses)
	if !slices.ContainsFunc(status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeHostName }) {
		status.Addresses = append(status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.config.NodeName})
	}
	n.mu.Lock()
	info, problem, readImages := n.info, n.problem, n.images || beat
	n.images = false
	n.mu.Unlock()
	if readImages && problem == nil {
		if list, err := n.runtime.ListImages(ctx); err == nil {
			n.mu.Lock()
			n.list = nodeImages(list)
			n.mu.Unlock()
		}
	}
	n.mu.Lock()
	status.Images = n.list
	n.mu.Unlock()
	status.NodeInfo = corev1.NodeSystemInfo{
		MachineID: n.config.NodeName, SystemUUID: n.config.NodeName, BootID: node.Status.NodeInfo.BootID, OSImage: info.OperatingSystem,
		KernelVersion: info.KernelVersion, ContainerRuntimeVersion: info.Name + "://" + info.Version, KubeletVersion: n.config.Version,
		OperatingSystem: "linux", Architecture: info.Architecture,
	}
	if status.NodeInfo.BootID == "" {
		status.NodeInfo.BootID = string(node.UID)
	}
	status.Conditions = conditionsOf(node, problem, n.underPressure(time.Now()), time.Now(), beat)
	return status
}

// conditionsOf are the node's conditions, in Kubernetes' words and order. A heartbeat moves on with each beat only.
func conditionsOf(node *corev1.Node, problem error, pressed map[corev1.NodeConditionType]bool, now time.Time, beat bool) []corev1.NodeCondition {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
	if problem != nil {
		ready.Status, ready.Reason = corev1.ConditionFalse, "KubeletNotReady"
		ready.Message = "container runtime is down: " + problem.Error()
	}
	var conditions []corev1.NodeCondition
	for _, each := range signals {
		c := corev1.NodeCondition{Type: each.condition, Status: corev1.ConditionFalse, Reason: each.enough.reason, Message: each.enough.message}
		if pressed[each.condition] {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, each.short.reason, each.short.message
		}
		conditions = append(conditions, c)
	}
	conditions = append(conditions, ready)
	for i := range conditions {
		c := &conditions[i]
		c.LastHeartbeatTime, c.LastTransitionTime = stamp(now), stamp(now)
		for _, before := range node.Status.Conditions {
			if before.Type != c.Type {
				continue
			}
			if before.Status == c.Status {
				c.LastTransitionTime = before.LastTransitionTime
				if !beat {
					c.LastHeartbeatTime = before.LastHeartbeatTime
				}
			}
		}
	}
	for _, before := range node.Status.Conditions {
		if !slices.ContainsFunc(conditions, func(c corev1.NodeCondition) bool { return c.Type == before.Type }) {
			conditions = append(conditions, before)
		}
	}
	return conditions
}

// nodeImages are the largest images of the node.
func nodeImages(list []runtime.ImageStatus) []corev1.ContainerImage {
	slices.SortFunc(list, func(a, b runtime.ImageStatus) int { return int(b.SizeBytes - a.SizeBytes) })
	images := []corev1.ContainerImage{}
	for _, image := range list[:min(len(list), maxImages)] {
		names := []string{}
		if image.Digest != "" {
			names = append(names, image.Digest)
		}
		images = append(images, corev1.ContainerImage{Names: append(names, image.Tags...), SizeBytes: image.SizeBytes})
	}
	return images
}

// runtimeName is what container identifiers begin with: docker, sim.
func (k *Kubelet) runtimeName() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.scheme == "" {
		if info, err := k.runtime.Info(context.Background()); err == nil {
			k.scheme = info.Name
		}
	}
	return k.scheme
}
