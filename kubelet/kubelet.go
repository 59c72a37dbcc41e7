package kubelet

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/kubelet/runtime"
	"kubette/loop"
)

// Config is what a kubelet is made from. NodeName, Client and Runtime are needed.
type Config struct {
	NodeName string
	Client   client.Interface // as system:node:NAME
	Runtime  runtime.Runtime
	Events   *client.Recorder // for component "kubelet" on this node; whoever makes it runs it. Nil for no events
	Machine  *loop.Machine    // nil for no pausing and no trace

	Labels      map[string]string // beside kubernetes.io/hostname, os and arch
	Annotations map[string]string
	Taints      []corev1.Taint
	// Capacity of the node: cpu, memory, pods, ephemeral-storage; what is missing comes from the runtime.
	Capacity corev1.ResourceList
	// Addresses of the node; the first InternalIP is its pods' host address.
	Addresses     []corev1.NodeAddress
	PodCIDR       string
	ClusterDomain string   // cluster.local when empty
	ClusterDNS    []string // name servers for pods with ClusterFirst; none means the node's own
	// NodeDNS is what pods with dnsPolicy Default get, the node's own resolver.
	NodeDNS runtime.DNSConfig
	Version string // kubelet version in the node's info; v1.37.2 when empty

	// What pods may ask of the machine itself; refused by default.
	AllowPrivileged  bool
	AllowHostPath    bool
	AllowHostNetwork bool
	// VolumeRoot is where persistent volumes may lie. A persistent volume outside of it counts as a host path.
	VolumeRoot string
	// FailProbe, if it is not nil, says of a container whether a user wants its probes to fail, and in which words; "" is not.
	FailProbe func(namespace, pod, container string) string
	// Workers is how many pods are reconciled at a time; 4 when zero.
	Workers int
}

// Kubelet keeps one node's pods. Run does the work; the other methods may be called while it runs.
type Kubelet struct {
	config   Config
	client   client.Interface
	runtime  runtime.Runtime
	images   *imageManager
	power    power
	group    sync.WaitGroup // operations, probes and streams
	streams  context.Context
	stop     context.CancelFunc
	hostAddr string

	scheme   string // of container identifiers; guarded by mu
	pressure pressure

	mu      sync.Mutex
	session *session // nil while the node is off
}

// session is the kubelet between switching on and off: what it knows is lost with the power.
type session struct {
	*Kubelet
	ctx       context.Context
	started   time.Time
	informers *client.Informers
	pods      client.Informer[*corev1.Pod]
	services  client.Informer[*corev1.Service]
	loop      *loop.Loop[key]
	refs      *references
	probes    *prober
	sums      maphash.Seed // of what volumes hold
	scratch   sync.Pool    // of *[]byte, to compare encodings in
	node      *nodeStatus

	pressed         map[corev1.NodeConditionType]bool // at the last look; this and the next are watchPressure's
	imagesCollected time.Time

	operations sync.WaitGroup

	mu      sync.Mutex
	workers map[types.UID]*worker
	env     []runtime.EnvVar // the environment of the last container: that of the next is often the same
	dnsFor  string           // the namespace whose pods' resolver is kept, and that
	dnsKept runtime.DNSConfig
}

// key names one pod, not just its name: a pod that was replaced under the same name is another.
type key struct {
	namespace, name string
	uid             types.UID
}

func keyOf(pod *corev1.Pod) key { return key{pod.Namespace, pod.Name, pod.UID} }

func (k key) String() string { return k.namespace + "/" + k.name }

// New makes a kubelet; Run starts it.
func New(config Config) (*Kubelet, error) {
	switch {
	case config.NodeName == "":
		return nil, errors.New("kubelet: the node has no name")
	case config.Client == nil || config.Runtime == nil:
		return nil, fmt.Errorf("kubelet %s: a client and a runtime are needed", config.NodeName)
	}
	if config.ClusterDomain == "" {
		config.ClusterDomain = "cluster.local"
	}
	if config.Version == "" {
		config.Version = "v1.37.2"
	}
	if config.Workers == 0 {
		config.Workers = 4
	}
	k := &Kubelet{config: config, client: config.Client, runtime: config.Runtime, images: newImageManager(), pressure: newPressure()}
	k.streams, k.stop = context.WithCancel(context.Background())
	for _, address := range config.Addresses {
		if address.Type == corev1.NodeInternalIP && k.hostAddr == "" {
			k.hostAddr = address.Address
		}
	}
	return k, nil
}

// Run keeps the node's pods until the context ends, and returns when everything that it started has. Containers go on
// running: a kubelet that starts later adopts them.
func (k *Kubelet) Run(ctx context.Context) {
	defer k.group.Wait()
	defer k.stop()
	for ctx.Err() == nil {
		on, changed := k.power.state()
		if !on {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		period, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			select {
			case <-changed:
				cancel()
			case <-period.Done():
			}
		}()
		k.runSession(period)
		cancel()
		<-ended
		k.power.settled()
	}
}

// runSession is one period of power.
func (k *Kubelet) runSession(ctx context.Context) {
	s := k.newSession(ctx)
	k.mu.Lock()
	k.session = s
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.session = nil
		k.mu.Unlock()
	}()

	var group sync.WaitGroup
	defer group.Wait()
	s.informers.Start(ctx)
	defer s.informers.Wait()
	group.Go(func() { s.node.run(ctx) })
	group.Go(func() { s.renewLease(ctx) })
	if !s.informers.Sync(ctx) {
		return
	}
	s.adopt(ctx)
	group.Go(func() { s.refs.run(ctx) })
	group.Go(func() { s.probes.run(ctx) })
	group.Go(func() { s.watchRuntime(ctx) })
	group.Go(func() { s.watchPressure(ctx) })
	s.loop.Run(ctx)
	s.cancelOperations()
	s.operations.Wait()
}

func (k *Kubelet) newSession(ctx context.Context) *session {
	s := &session{Kubelet: k, ctx: ctx, started: time.Now(), workers: map[types.UID]*worker{}}
	s.informers = client.NewInformers(k.client, selectorsFor(k.config.NodeName))
	s.pods = client.InformerFor[*corev1.Pod](s.informers)
	s.services = client.InformerFor[*corev1.Service](s.informers)
	s.loop = loop.New("kubelet-"+k.config.NodeName, s.reconcile, loop.Options{
		Workers: k.config.Workers, Machine: k.config.Machine, MaxBackoff: 10 * time.Second,
	})
	s.refs = newReferences(k.client, s.referenceChanged)
	s.probes = newProber(s)
	s.sums = maphash.MakeSeed()
	s.node = newNodeStatus(k)
	s.pods.Handle(client.Handler[*corev1.Pod]{
		Add:    func(pod *corev1.Pod) { s.loop.Add(keyOf(pod), "pods/"+keyOf(pod).String()+" bound to this node") },
		Update: s.podUpdated,
		Delete: func(pod *corev1.Pod) { s.loop.Add(keyOf(pod), "pods/"+keyOf(pod).String()+" deleted") },
	})
	return s
}

// current returns the session, or an error while the node is off.
func (k *Kubelet) current() (*session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session == nil {
		return nil, fmt.Errorf("the kubelet of node %s does not run", k.config.NodeName)
	}
	return k.session, nil
}

// event says something about a pod; container adds which of its containers, as Kubernetes does.
func (k *Kubelet) event(pod *corev1.Pod, container, kind, reason, format string, args ...any) {
	if k.config.Events == nil {
		return
	}
	ref := corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
	}
	if container != "" {
		ref.FieldPath = fieldPathOf(pod, container)
	}
	k.config.Events.EventRef(ref, kind, reason, format, args...)
}

// fieldPathOf is spec.containers{name}, or the same for an init or ephemeral container.
func fieldPathOf(pod *corev1.Pod, name string) string {
	list := "containers"
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			list = "initContainers"
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			list = "ephemeralContainers"
		}
	}
	return "spec." + list + "{" + name + "}"
}

// nameOf is how the kubelet names a pod in its texts: name_namespace(uid).
func nameOf(pod *corev1.Pod) string {
	var b strings.Builder
	b.Grow(len(pod.Name) + len(pod.Namespace) + len(pod.UID) + 3)
	b.WriteString(pod.Name + "_" + pod.Namespace + "(" + string(pod.UID) + ")")
	return b.String()
}
