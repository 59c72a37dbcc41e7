package kubelet

import (
	"context"
	"io"
	"io/fs"
	"time"

	"kubette/kubelet/runtime"
)

// What a runtime may be able to do beside runtime.Runtime. The kubelet asks for each by type assertion and does without
// where it is missing.

// sandboxGetter shows one sandbox without listing all; the error of an unknown one is runtime.ErrNotFound.
type sandboxGetter interface {
	PodSandbox(ctx context.Context, id string) (runtime.Sandbox, error)
}

// addressDialer dials a pod's address without falling back to its loopback, so that a probe fails for a program that
// listens on localhost only, as in Kubernetes.
type addressDialer interface {
	DialAddress(ctx context.Context, sandbox string, port int32) (io.ReadWriteCloser, error)
}

// simulator says of a container that it is only on paper: there is no program that could answer a probe or run a hook, so
// both are taken to succeed.
type simulator interface {
	Simulated(container string) bool
}

// statsSimulator makes up what a container uses; the pod's present annotations may say how much that is to be.
type statsSimulator interface {
	SimulatedStats(container string, annotations map[string]string) (runtime.Stats, error)
}

// hostFiles looks at the files of the machine that runs the containers, for hostPath volumes with a type. The error of a
// path that is not there is fs.ErrNotExist.
type hostFiles interface {
	StatHost(ctx context.Context, path string) (fs.FileMode, error)
	MakeHost(ctx context.Context, path string, directory bool) error
}

// machineRooms says what the machine under a node has left; without it a node has its capacity, and its pods use it up.
type machineRooms interface {
	Rooms(ctx context.Context) (runtime.Rooms, error)
}

// diskUser says how many bytes a pod's volumes and its containers' own layers hold, by their names.
type diskUser interface {
	DiskUse(ctx context.Context, podUID string, volumes []string) (inVolumes, inContainers map[string]int64, err error)
}

// imageCollector removes images that kubette brought and nothing uses, and has not for minAge, until so many bytes are
// free; it returns how many were freed.
type imageCollector interface {
	CollectImages(ctx context.Context, bytes int64, minAge time.Duration) (int64, error)
}

// powered can be switched off as a whole, as a machine.
type powered interface {
	PowerOff()
	PowerOn()
}

// simulated says whether a container is only on paper.
func (k *Kubelet) simulated(container string) bool {
	s, ok := k.runtime.(simulator)
	return ok && s.Simulated(container)
}
