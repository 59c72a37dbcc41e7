// Package runtime is the container runtime interface: what a kubelet asks of whatever runs containers. The vocabulary is
// that of Kubernetes' CRI (sandbox, container, image), the shape is Go's. Two runtimes implement it: docker, with real
// containers on a Docker engine, and sim, with simulated ones.
package runtime

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// Errors that a kubelet decides on.
var (
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the runtime cannot be reached just now; try again.
	ErrUnavailable = errors.New("the container runtime does not answer")
)

// Runtime runs the pods of one node. Calls are idempotent where they remove or stop. It is safe for concurrent use.
type Runtime interface {
	// Info describes the runtime for the node's status.
	Info(ctx context.Context) (Info, error)

	// RunPodSandbox makes the pod's shared surroundings: its address, its namespaces. It returns an identifier.
	RunPodSandbox(ctx context.Context, config *SandboxConfig) (string, error)
	// StopPodSandbox stops what still runs in a sandbox and frees its address.
	StopPodSandbox(ctx context.Context, sandbox string) error
	// RemovePodSandbox forgets a sandbox and its containers, and the pod's volumes that are not persistent.
	RemovePodSandbox(ctx context.Context, sandbox string) error
	// ListPodSandboxes returns this node's sandboxes, also those made before a restart of kubette.
	ListPodSandboxes(ctx context.Context) ([]Sandbox, error)

	// CreateContainer prepares a container; StartContainer starts it. The image must be there.
	CreateContainer(ctx context.Context, sandbox string, config *ContainerConfig) (string, error)
	StartContainer(ctx context.Context, container string) error
	// StopContainer sends the stop signal, and kills after grace. It returns when the container has ended.
	StopContainer(ctx context.Context, container string, grace time.Duration) error
	RemoveContainer(ctx context.Context, container string) error
	// ListContainers returns this node's containers, ended ones too; with a pod UID only that pod's.
	ListContainers(ctx context.Context, podUID string) ([]Container, error)
	// UpdateContainerResources changes the limits of a running container.
	UpdateContainerResources(ctx context.Context, container string, resources Resources) error

	// PullImage makes an image present, and returns its identifier. The error of a failed pull is an *ImageError.
	PullImage(ctx context.Context, image string, auth *ImageAuth, progress func(text string)) (ImageStatus, error)
	// ImageStatus returns ErrNotFound for an image that is not present.
	ImageStatus(ctx context.Context, image string) (ImageStatus, error)
	ListImages(ctx context.Context) ([]ImageStatus, error)

	// WriteVolume makes a volume of a pod, or brings its files up to date, all at once as a reader sees it.
	WriteVolume(ctx context.Context, podUID, name string, volume Volume) error
	// RemoveVolumes removes a pod's volumes.
	RemoveVolumes(ctx context.Context, podUID string) error
	// ReadFile reads a file inside a container, at most limit bytes from its end, also after it has ended.
	ReadFile(ctx context.Context, container, path string, limit int64) ([]byte, error)

	// Logs copies a container's output to the writers. Timestamps are the runtime's own, RFC3339Nano.
	Logs(ctx context.Context, container string, options LogOptions, stdout, stderr io.Writer) error
	// Exec runs a command in a running container until it ends, and returns its exit code.
	Exec(ctx context.Context, container string, command []string, streams Streams) (int, error)
	Attach(ctx context.Context, container string, streams Streams) error
	// Dial connects to a TCP port inside a pod's network, on its loopback if nothing listens on its address.
	Dial(ctx context.Context, sandbox string, port int32) (io.ReadWriteCloser, error)
	// Stats returns the present use of a running container.
	Stats(ctx context.Context, container string) (Stats, error)

	// Events delivers what happens to this node's containers, until the context ends. Events may be lost: list again when
	// the channel closes, and now and then.
	Events(ctx context.Context) (<-chan Event, error)
}

// Info describes a runtime.
type Info struct {
	Name, Version   string // docker 28.2.2
	OperatingSystem string
	KernelVersion   string
	Architecture    string
	CPUs            int64
	MemoryBytes     int64
}

// SandboxConfig is the part of a pod that all its containers share.
type SandboxConfig struct {
	Namespace, Name, UID string
	Attempt              uint32
	Hostname             string
	Domain               string // for the fully qualified host name; may be empty
	DNS                  DNSConfig
	Hosts                []HostEntry // extra lines of /etc/hosts
	Labels, Annotations  map[string]string
	ShareProcesses       bool
	Sysctls              map[string]string
	// Containers is how many containers the pod will ever have in this sandbox, init containers included; a runtime may do
	// without a sandbox process for one.
	Containers  int
	HostNetwork bool
}

// DNSConfig is what goes into /etc/resolv.conf.
type DNSConfig struct{ Servers, Searches, Options []string }

// HostEntry is a line of /etc/hosts.
type HostEntry struct {
	Address string
	Names   []string
}

// Sandbox is a sandbox as the runtime sees it.
type Sandbox struct {
	ID                   string
	Namespace, Name, UID string
	Attempt              uint32
	Address              netip.Addr
	Ready                bool
	CreatedAt            time.Time
}

// ContainerConfig is a container to be made.
type ContainerConfig struct {
	PodNamespace, PodName, PodUID string
	Name                          string
	Attempt                       uint32 // how often it was restarted
	Image                         string // the reference from the pod, for names
	ImageID                       string // what PullImage or ImageStatus returned
	Command, Args                 []string
	WorkingDir                    string
	Env                           []EnvVar
	Mounts                        []Mount
	Stdin, StdinOnce, TTY         bool
	Resources                     Resources
	Security                      Security
	// TerminationLog is the path of the termination message file, made empty and writable.
	TerminationLog string
	// Target is the container whose processes this one sees, for an ephemeral container that looks into another; or "".
	Target string
}

// EnvVar is a variable, expanded.
type EnvVar struct{ Name, Value string }

// Mount puts a volume, a part of one, or a path of the host into a container.
type Mount struct {
	Volume   string // the pod's volume, made by WriteVolume
	SubPath  string // a part of it
	HostPath string // instead of a volume
	Path     string // inside the container
	ReadOnly bool
}

// Volume is what a pod's volume holds.
type Volume struct {
	// Files makes a volume of exactly these files, replaced at once when they change; nil makes a writable directory.
	Files map[string]File
	// Memory keeps the volume in memory. SizeLimit is in bytes, 0 for none.
	Memory    bool
	SizeLimit int64
	// Persistent names a directory that outlives the pod, instead of one made for it.
	Persistent string
	Group      *int64 // fsGroup: the group that owns the files
}

// File of a volume.
type File struct {
	Data string // shared by all pods that have the same
	Mode uint32 // permission bits
}

// Resources are limits; 0 is none.
type Resources struct {
	CPUMilli, MemoryBytes int64 // limits
	CPURequestMilli       int64 // the share under contention
	PIDs                  int64
}

// Security of a container.
type Security struct {
	User                  string // uid, or uid:gid; empty is the image's
	Groups                []int64
	ReadOnlyRoot          bool
	Privileged            bool
	AddCapabilities       []string
	DropCapabilities      []string
	NoPrivilegeEscalation bool
	RunAsNonRoot          bool
}

// Container states.
const (
	Created = "Created"
	Running = "Running"
	Exited  = "Exited"
)

// Container is a container as the runtime sees it.
type Container struct {
	ID, SandboxID                 string
	PodNamespace, PodName, PodUID string
	Name                          string
	Attempt                       uint32
	Image, ImageID                string
	State                         string
	CreatedAt, StartedAt, EndedAt time.Time
	ExitCode                      int
	OOMKilled                     bool
	// Error is why the container could not be started, in the engine's words.
	Error string
	// Paused: frozen from outside.
	Paused bool
}

// ImageAuth are the credentials of a registry.
type ImageAuth struct{ Username, Password, ServerAddress string }

// ImageStatus is an image that is present.
type ImageStatus struct {
	ID        string // sha256:…
	Digest    string // name@sha256:…, if known
	Tags      []string
	SizeBytes int64
	User      string
	// StandIn is set when the image is one of kubette's own in place of the one asked for, and says why in a sentence.
	StandIn string
}

// ImageError is why an image could not be pulled.
type ImageError struct {
	Image  string
	Reason string // ErrImagePull, InvalidImageName, RegistryUnavailable
	Err    error
}

func (e *ImageError) Error() string { return e.Err.Error() }
func (e *ImageError) Unwrap() error { return e.Err }

// LogOptions choose a part of a log.
type LogOptions struct {
	Follow     bool
	Timestamps bool
	Since      time.Time // zero for all
	Tail       int64     // lines; negative for all
}

// Streams of a process; those not asked for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan Size
}

// Size of a terminal in characters.
type Size struct{ Width, Height uint16 }

// Stats is a container's use of the machine.
type Stats struct {
	Time        time.Time
	CPUNanos    uint64 // in total
	MemoryBytes uint64 // working set
	PIDs        int64  // processes and threads; 0 when not known
}

// Room is how much there is of something, and how much of it nobody uses.
type Room struct{ Capacity, Available int64 }

// Rooms are what a machine has left, in bytes, and of numbers for processes.
type Rooms struct{ Memory, Disk, PIDs Room }

// Event says that a container changed; look at it again.
type Event struct {
	PodUID, ContainerID string
	Kind                string // started, died, removed, …
}
