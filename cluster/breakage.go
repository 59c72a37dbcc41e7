package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	resourcehelper "k8s.io/component-helpers/resource"

	"kubette/apiserver"
	"kubette/client"
	"kubette/kubelet"
)

// crash ends a container of a pod: the one that is named, or its first that runs.
func (c *Cluster) crash(ctx context.Context, fault *Fault) error {
	if fault.Container == "" {
		pod, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, fault.Namespace, fault.Target)
		if err != nil {
			return err
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Running != nil {
				fault.Container = status.Name
				break
			}
		}
		if fault.Container == "" {
			return fmt.Errorf("pod %s/%s has no running container", fault.Namespace, fault.Target)
		}
	}
	return c.KillContainer(ctx, fault.Namespace, fault.Target, fault.Container)
}

func (c *Cluster) nodeNamed(name string) (*kubelet.Kubelet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.kubelets[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

// stopNode is a power cut: the node's containers end, and nobody is told.
func (c *Cluster) stopNode(ctx context.Context, name string) (func(context.Context) error, error) {
	k, err := c.nodeNamed(name)
	if err != nil {
		return nil, err
	}
	if !k.Powered() {
		return nil, fmt.Errorf("node %s is off already", name)
	}
	return k.Start, k.Stop(ctx)
}

// cutNode pulls a node's cable: its kubelet does not reach the API server, and nothing that begins after that goes between its
// pods and the rest: no request through an ingress or a service, no question to the DNS server. What runs on it goes on, and
// what was connected before stays so until it ends. On Docker, where all nodes share one bridge, a pod that knows the address
// of another one still reaches it there.
func (c *Cluster) cutNode(name string) (func(context.Context) error, error) {
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.cuts[name]
	switch {
	case found == nil:
		return nil, fmt.Errorf("there is no node %q", name)
	case !found.set(true):
		return nil, fmt.Errorf("node %s is cut off already", name)
	}
	cut := func(off bool) {
		c.cutting.Lock()
		defer c.cutting.Unlock()
		nodes := slices.DeleteFunc(c.table.CutNodes(), func(node string) bool { return node == name })
		if off {
			nodes = append(nodes, name)
		}
		c.table.Cut(nodes)
		c.ingress.DropUnreachable()
	}
	cut(true)
	return func(context.Context) error {
		found.set(false)
		cut(false)
		return nil
	}, nil
}

// cut is the client of a node whose way to the API server can be cut.
type cut struct {
	client.Interface
	mu      sync.Mutex
	off     bool
	watches map[*cutWatch]struct{}
}

// set cuts the way, or opens it again; it says whether that is a change.
func (c *cut) set(off bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.off != off
	c.off = off
	if off {
		for w := range c.watches {
			w.Interface.Stop()
		}
	}
	return changed
}

var errCut = errors.New("connect to the API server: i/o timeout (a fault cuts this node off)")

func (c *cut) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errCut
	}
	return nil
}

// Get implements client.Interface.
func (c *cut) Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, o metav1.GetOptions) (runtime.Object, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Interface.Get(ctx, resource, namespace, name, o)
}

// List implements client.Interface.
func (c *cut) List(ctx context.Context, resource schema.GroupVersionResource, namespace string, o metav1.ListOptions) (*client.List, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Interface.List(ctx, resource, namespace, o)
}

// Watch implements client.Interface. A watch that is open when the way is cut ends.
func (c *cut) Watch(ctx context.Context, resource schema.GroupVersionResource, namespace string, o metav1.ListOptions) (watch.Interface, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	opened, err := c.Interface.Watch(ctx, resource, namespace, o)
	if err != nil {
		return nil, err
	}
	w := &cutWatch{Interface: opened, cut: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		opened.Stop()
		return nil, errCut
	}
	if c.watches == nil {
		c.watches = map[*cutWatch]struct{}{}
	}
	c.watches[w] = struct{}{}
	return w, nil
}

type cutWatch struct {
	watch.Interface
	cut *cut
}

// Stop implements watch.Interface.
func (w *cutWatch) Stop() {
	w.cut.mu.Lock()
	delete(w.cut.watches, w)
	w.cut.mu.Unlock()
	w.Interface.Stop()
}

// Create implements client.Interface.
func (c *cut) Create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, o metav1.CreateOptions, subresource ...string) (runtime.Object, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Interface.Create(ctx, resource, namespace, name, object, o, subresource...)
}

// Update implements client.Interface.
func (c *cut) Update(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, object runtime.Object, o metav1.UpdateOptions, subresource ...string) (runtime.Object, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Interface.Update(ctx, resource, namespace, name, object, o, subresource...)
}

// Patch implements client.Interface.
func (c *cut) Patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, kind types.PatchType, data []byte, o metav1.PatchOptions, subresource ...string) (runtime.Object, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Interface.Patch(ctx, resource, namespace, name, kind, data, o, subresource...)
}

// Delete implements client.Interface.
func (c *cut) Delete(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, o metav1.DeleteOptions) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Interface.Delete(ctx, resource, namespace, name, o)
}

// fillImage is the image of the pod that fills a node: it does nothing, it only requests.
const fillImage = "registry.k8s.io/pause:3.10"

// fillable are what a node runs short of, by the words that a user types.
var fillable = map[string]corev1.ResourceName{"memory": corev1.ResourceMemory, "disk": corev1.ResourceEphemeralStorage, "pids": "pids"}

// fillNode uses a node up: what pods may request, or what its kubelet believes that the machine has left. The machine itself
// is spared.
func (c *Cluster) fillNode(ctx context.Context, name, with string) (func(context.Context) error, error) {
	if with == "" {
		return c.fillRequests(ctx, name)
	}
	what, ok := fillable[with]
	if !ok {
		return nil, fmt.Errorf("a node can be filled with %s, not with %q", strings.Join(slices.Sorted(maps.Keys(fillable)), ", "), with)
	}
	k, err := c.nodeNamed(name)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error {
		k.Unfill(what)
		return nil
	}, k.Fill(what)
}

// fillRequests makes a pod that requests all of a node's cpu and memory that no other pod has requested. It is bound as a pod
// with a nodeName is, and deleted to undo it.
func (c *Cluster) fillRequests(ctx context.Context, name string) (func(context.Context) error, error) {
	api := c.AdminClient()
	node, err := client.Of[*corev1.Node](api).Get(ctx, "", name)
	if err != nil {
		return nil, err
	}
	pods, err := client.Of[*corev1.Pod](api).List(ctx, "", metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return nil, err
	}
	free := corev1.ResourceList{}
	for _, what := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		left := node.Status.Allocatable[what].DeepCopy()
		for _, pod := range pods {
			if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
				left.Sub(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})[what])
			}
		}
		if left.Sign() < 0 {
			left = resource.Quantity{}
		}
		free[what] = left
	}
	if free.Cpu().IsZero() && free.Memory().IsZero() {
		return nil, fmt.Errorf("node %s is full already", name)
	}
	filler := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: FaultFillNode + "-" + name, Namespace: metav1.NamespaceSystem,
			Annotations: map[string]string{"kubette.io/fault": "it was made by `kubette fault fill-node`, and only takes room"}},
		Spec: corev1.PodSpec{
			NodeName: name, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{Name: "filler", Image: fillImage, ImagePullPolicy: corev1.PullIfNotPresent,
				Resources: corev1.ResourceRequirements{Requests: free}}},
		},
	}
	if _, err := client.Of[*corev1.Pod](api).Create(ctx, filler); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		err := client.Of[*corev1.Pod](api).Delete(ctx, filler.Namespace, filler.Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}, nil
}

// probed names the containers of a pod whose probes fail; an empty container means all.
type probed struct{ namespace, pod, container string }

// failProbes makes the probes of a pod's containers fail. Its programs run on, and are not asked.
func (c *Cluster) failProbes(ctx context.Context, fault *Fault) (func(context.Context) error, error) {
	pod, err := client.Of[*corev1.Pod](c.AdminClient()).Get(ctx, fault.Namespace, fault.Target)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(pod.Spec.Containers, func(each corev1.Container) bool {
		return (fault.Container == "" || fault.Container == each.Name) &&
			(each.LivenessProbe != nil || each.ReadinessProbe != nil || each.StartupProbe != nil)
	}) {
		return nil, fmt.Errorf("pod %s/%s has no probe that could fail", fault.Namespace, fault.Target)
	}
	key := probed{fault.Namespace, fault.Target, fault.Container}
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.probes == nil {
		l.probes = map[probed]bool{}
	}
	l.probes[key] = true
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.probes, key)
		return nil
	}, nil
}

// failProbe tells a kubelet whether a container's probes are to fail.
func (c *Cluster) failProbe(namespace, pod, container string) string {
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.probes[probed{namespace, pod, ""}] || l.probes[probed{namespace, pod, container}] {
		return "a fault makes it fail (fail-probes-" + pod + ")"
	}
	return ""
}

// maxDelay keeps a slow API usable: kubectl gives up after a while.
const maxDelay = 10 * time.Second

// slowAPI makes every write of everybody, and every request over HTTP, take longer.
func (c *Cluster) slowAPI(text string) (func(context.Context) error, error) {
	duration, err := time.ParseDuration(text)
	if err != nil || duration <= 0 || duration > maxDelay {
		return nil, fmt.Errorf("the delay must be a duration up to %s, for example 500ms, not %q", maxDelay, text)
	}
	d := &c.explaining.faults.delay
	d.duration.Store(int64(duration))
	return func(context.Context) error {
		d.duration.Store(0)
		return nil
	}, nil
}

// delay is the step of admission, and of serving HTTP, that a fault makes slow. It does nothing by default.
type delay struct{ duration atomic.Int64 }

func (d *delay) wait(ctx context.Context) {
	duration := time.Duration(d.duration.Load())
	if duration == 0 {
		return
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Name implements apiserver.Admission.
func (d *delay) Name() string { return "SlowAPI" }

// Admit implements apiserver.Admission: it waits.
func (d *delay) Admit(ctx context.Context, _ *apiserver.AdmissionRequest) error {
	d.wait(ctx)
	return ctx.Err()
}

// Validate implements apiserver.Admission.
func (d *delay) Validate(context.Context, *apiserver.AdmissionRequest) error { return nil }

// reads delays what is read over HTTP; writes wait in admission. kubette's own API is never slow: a fault must be undone.
func (d *delay) reads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/api") {
			d.wait(r.Context())
		}
		next.ServeHTTP(w, r)
	})
}
