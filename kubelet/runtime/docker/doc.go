// Package docker runs the pods of a cluster's nodes on a Docker engine: the runtime.Runtime with real containers.
//
// In Kubernetes a container runtime (containerd, CRI-O) stands behind the CRI, and a CNI plugin makes the pods' networks.
// Here one Docker engine stands in for all of that, for all nodes of a cluster: each node sees the containers with its own
// label. Everything that is made in the engine is labelled, and the labels are all the state there is, so a kubette that
// was killed finds its pods again, and removing a cluster is removing what has its label.
//
// A pod is a sandbox and its containers. The sandbox is a container whose process is 260 bytes of machine code: it executes
// the system calls that kubette sends it (pause.go, syscalls.go, worker.go) and then sleeps. With them it makes the pod's network on
// the cluster's bridge (wire.go); the pod's containers join that network, so the pod keeps its address when they restart.
// The engine could make the network itself, but takes longer for that than for all the rest (the figures are in
// wire.go). A pool of sandboxes made in advance would be no use: a container gets its host name from the sandbox that it
// joins, and the engine fixes that when the sandbox is created. Instead, a sandbox starts while its pod's containers are
// prepared.
//
// The files of volumes are in one volume of the engine per cluster. Another container of the same program, the keeper,
// writes them, by system calls again: no root on the host, no files left there, owners and modes as wanted, and updates
// that are a rename (keeper.go, volumes.go, atomic.go, files.go).
//
// kubette's own images are made of its own executable (builtin.go, executable.go); a pull is a real pull, and only when no
// registry can be reached one of them may stand in (images.go, pull.go).
//
// What differs from Kubernetes: a command run by exec cannot be ended by kubette when its client goes away (the engine has
// no call for it); fsGroup changes the owner of a volume's top directory, not of files that are in it already; a subPath
// of a volume in memory must exist when the container is created; the log of a container is kept by the engine, to 50 MB.
//
// Read connect.go and engine.go (how it begins), labels.go, network.go, node.go, sandbox.go, create.go, container.go, list.go,
// events.go, then the rest as the need arises: logs.go, exec.go, dial.go, stats.go, cleanup.go.
package docker
