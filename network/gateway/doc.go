// Package gateway is the cluster's foot in the container network. On a Docker engine it is one container per cluster,
// running kubette's own executable, with three tasks: it answers on the addresses of all services (Kubernetes' kube-proxy
// does that on every node, in the kernel), it is the cluster's DNS server (CoreDNS), and it carries connections between
// the host process and the pods where there is no route between them, and from pods to the API server.
//
// The containers' network holds the range of service addresses, so a pod asks by ARP for a service's address, and the
// gateway answers for all of them: its kernel takes the whole range for its own (a local route). Nothing in the pods
// needs to know, no port of the host is used, and no process on the host needs root.
//
// The link to the host process is the container's own standard input and output, over the engine's API, with many
// streams in it (yamux). When the host process dies, the gateway goes on with what it knew last, as kube-proxy does when
// the API server is away; the next host process starts a new one.
//
// Read message.go (what goes over the link), link.go (the host's end), gateway.go (the container's end), ports.go (the
// services' ports), address_linux.go.
package gateway
